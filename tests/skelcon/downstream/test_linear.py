"""The linear probe: resumes, its crops, and a weight decay that is chosen on the training side."""

import io

import numpy as np
import pytest
import scipy.optimize
import torch
from joint_means import Joints
from torch import Tensor

from skelcon import augment
from skelcon.config import Json
from skelcon.data import ClipBank
from skelcon.downstream import EvaluationResult, Inputs, LinearConfig, RetrievalConfig, retrieval
from skelcon.downstream.config import FOLDS, WEIGHT_DECAYS
from skelcon.downstream.linear import LinearEvaluation, kind_of
from skelcon.downstream.regularised import assign_folds, fit_path
from skelcon.downstream.tasks import completed

FRAMES, CLASSES = 16, 4
TRAIN = torch.tensor([21, 0, 3, 6, 1, 4, 9, 12, 15, 7, 10, 18, 13, 16])
TEST = torch.tensor([5, 2, 8, 23, 11, 20, 14, 17])
GROUPS = torch.tensor([3, 3, 9, 9, 9, 7, 7, 7, 7, 3, 3, 9, 9, 7])

KINDS: list[Json] = [
    {"epochs": 3},
    {"epochs": 25, "crops": 3},
    {"epochs": 25, "crops": 0},
    {"crops": 2, "weight_decay": "auto"},
    {"crops": 0, "weight_decay": "auto"},
]


ITERATIONS = "skelcon.downstream.regularised.ITERATIONS"


@pytest.fixture(autouse=True)
def _few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests need no minimum."""
    monkeypatch.setattr(ITERATIONS, 3)


def config_of(changes: Json) -> LinearConfig:
    return LinearConfig.model_validate({"batch": 5, "lr": 0.3, "standardise": True, **changes})


def inputs_of(bank: ClipBank, test: Tensor = TEST, seed: int = 0) -> Inputs:
    return Inputs([Joints()], bank, TRAIN, test, CLASSES, FRAMES, seed, GROUPS)


def evaluated(inputs: Inputs, config: LinearConfig) -> EvaluationResult:
    return completed(kind_of(config)(inputs, config))


def started(bank: ClipBank, changes: Json, seed: int = 3) -> LinearEvaluation:
    config = config_of(changes)
    return kind_of(config)(inputs_of(bank, seed=seed), config)


def copied(state: Json) -> Json:
    """A state after it was written to a file and read again."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: Json = torch.load(buffer, weights_only=True)
    return loaded


def features_of(bank: ClipBank, clips: Tensor) -> np.ndarray:
    return Joints()(augment.evaluation_view(bank, clips, 0.95, FRAMES)).double().numpy()


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_an_evaluation_that_was_killed_resumes_bit_by_bit(small_bank: ClipBank, changes: Json):
    whole = started(small_bank, changes)
    states = [copied(whole.state_dict())]
    lines = []
    while not whole.done:
        lines.append(whole.run_epoch())
        states.append(copied(whole.state_dict()))
    assert len(lines) == whole.epochs > 1
    for at, state in enumerate(states):
        resumed = started(small_bank, changes)
        resumed.load_state_dict(state)
        assert resumed.epoch == at
        for line in lines[at:]:
            again = resumed.run_epoch()
            assert (again.epoch, again.loss, again.top1) == (line.epoch, line.loss, line.top1)
        assert resumed.result().metrics == whole.result().metrics
        assert resumed.result().predictions.tolist() == whole.result().predictions.tolist()
        np.testing.assert_array_equal(resumed.result().scores, whole.result().scores)
        assert torch.equal(resumed.classifier.weight, whole.classifier.weight)


def test_there_is_no_result_before_the_end(small_bank: ClipBank):
    with pytest.raises(RuntimeError, match="3 of 3 epochs"):
        started(small_bank, {"epochs": 3}).result()


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_each_crop_passes_through_the_encoder_once(small_bank: ClipBank, changes: Json):
    inputs, config = inputs_of(small_bank), config_of(changes)
    evaluated(inputs, config)
    crops = config.epochs if config.crops is None else config.crops
    assert inputs.encoders[0].seen == (crops + 1) * len(TRAIN) + len(TEST)
    assert config.passes == crops + 1


def test_the_crop_that_is_tested_takes_the_place_of_random_ones(small_bank: ClipBank):
    """Training and test side are then the same features; with auto nothing is drawn."""
    config = config_of({"crops": 0, "epochs": 30, "batch": 64})
    for seed in (0, 1):
        run = evaluated(inputs_of(small_bank, TRAIN, seed), config)
        assert run.metrics["top1"] == run.metrics["nn_top1"] == 1.0
    assert started(small_bank, {"crops": 0, "weight_decay": "auto"}, 0).run_epoch().loss == (
        started(small_bank, {"crops": 0, "weight_decay": "auto"}, 1).run_epoch().loss
    )


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_the_nearest_neighbour_is_that_of_retrieval(small_bank: ClipBank, changes: Json):
    config = config_of({**changes, "test_ratio": 0.7})
    result = evaluated(inputs_of(small_bank), config)
    expected = retrieval(inputs_of(small_bank), RetrievalConfig(test_ratio=0.7)).metrics
    assert result.metrics["nn_top1"] == expected["top1"] == expected["nn_top1"]


def reference(features: np.ndarray, labels: np.ndarray, weight_decay: float) -> np.ndarray:
    """Softmax regression with a free bias, by scipy in float64: (classes, D + 1)."""
    rows = np.hstack([features, np.ones((len(features), 1))])
    size = CLASSES, rows.shape[1]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(size)
        logits = rows @ weight.T
        logits -= logits.max(axis=1, keepdims=True)
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        decayed = weight.copy()
        decayed[:, -1] = 0
        loss = -np.log(share[np.arange(len(labels)), labels]).mean()
        share[np.arange(len(labels)), labels] -= 1
        gradient = share.T @ rows / len(labels) + weight_decay * decayed
        return loss + weight_decay / 2 * (decayed**2).sum(), gradient.ravel()

    start = np.zeros(size[0] * size[1])
    options = {"maxiter": 5000, "gtol": 1e-10, "ftol": 1e-14}
    found = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(size)


def test_the_path_ends_at_the_minimum_of_each_weight_decay(
    small_bank: ClipBank, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ITERATIONS, 100)
    features = features_of(small_bank, TRAIN)
    labels = small_bank.labels[TRAIN]
    decays = (1.0, 0.1, 0.01)
    given = torch.from_numpy(features).float()
    for decay, (weight, bias) in zip(decays, fit_path(given, labels, CLASSES, decays), strict=True):
        expected = reference(features, labels.numpy(), decay)
        np.testing.assert_allclose(weight.numpy(), expected[:, :-1], atol=2e-3)
        logits = features @ weight.numpy().T + bias.numpy()
        shown = features @ expected[:, :-1].T + expected[:, -1]
        # a constant for all classes changes nothing
        np.testing.assert_allclose(
            logits - logits.mean(axis=1, keepdims=True),
            shown - shown.mean(axis=1, keepdims=True),
            atol=5e-3,
        )


@pytest.mark.parametrize("standardise", [False, True])
def test_auto_is_cross_validation_over_the_groups(
    small_bank: ClipBank, standardise: bool, monkeypatch: pytest.MonkeyPatch
):
    """Hits of each weight decay with each group left out, counted in float64."""
    monkeypatch.setattr(ITERATIONS, 50)
    train, labels = features_of(small_bank, TRAIN), small_bank.labels[TRAIN].numpy()
    groups = GROUPS.numpy()

    def normed(kept: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not standardise:
            return kept, other
        shift, scale = kept.mean(axis=0), kept.std(axis=0, ddof=1)
        return (kept - shift) / scale, (other - shift) / scale

    decays = [decay for decay in WEIGHT_DECAYS if decay >= 0.001]  # of others no minimum is near
    hits = []
    for decay in decays:
        right = 0
        for group in np.unique(groups):
            out = groups == group
            kept, tested = normed(train[~out], train[out])
            weight = reference(kept, labels[~out], decay)
            predicted = (tested @ weight[:, :-1].T + weight[:, -1]).argmax(axis=1)
            right += int((predicted == labels[out]).sum())
        hits.append(right)
    config = config_of({"crops": 0, "weight_decay": "auto", "standardise": standardise})
    evaluation = kind_of(config)(inputs_of(small_bank), config)
    completed(evaluation)
    found = evaluation.state_dict()["hits"].tolist()
    assert found[: len(decays)] == hits
    chosen = WEIGHT_DECAYS[found.index(max(found))]  # the first, and so the strongest, of equal
    metrics = evaluation.result().metrics
    assert metrics["weight_decay"] == chosen
    kept, tested = normed(train, features_of(small_bank, TEST))
    weight = fit_path(
        torch.from_numpy(kept).float(),
        torch.from_numpy(labels),
        CLASSES,
        WEIGHT_DECAYS[: WEIGHT_DECAYS.index(chosen) + 1],
    )[-1]
    predicted = (torch.from_numpy(tested).float() @ weight[0].T + weight[1]).argmax(dim=1)
    logits = tested @ weight[0].double().numpy().T + weight[1].double().numpy()
    log_sum = np.log(np.exp(logits).sum(axis=1, keepdims=True))
    scores = evaluation.result().scores
    np.testing.assert_allclose(scores, logits - log_sum, rtol=1e-3, atol=1e-3)
    assert evaluation.result().predictions.tolist() == predicted.tolist()


def test_the_test_side_does_not_choose(small_bank: ClipBank):
    config = config_of({"crops": 0, "weight_decay": "auto"})
    found = {
        evaluated(inputs_of(small_bank, test), config).metrics["weight_decay"]
        for test in (TEST, TEST[:2], TRAIN)
    }
    assert len(found) == 1


def test_folds_never_mix_a_group_and_are_balanced():
    groups = torch.tensor([4] * 10 + [1] * 7 + [2] * 5 + [8] * 3 + [9] * 3 + [5] * 2 + [0])
    folds = assign_folds(groups, torch.zeros_like(groups), 0)
    for group in groups.unique():
        assert len(folds[groups == group].unique()) == 1
    assert sorted(folds.bincount(minlength=FOLDS).tolist()) == [4, 5, 5, 7, 10]
    assert assign_folds(groups[:22], groups[:22], 0).unique().tolist() == [0, 1, 2]


def test_without_groups_the_clips_of_each_class_are_dealt():
    labels = torch.tensor([0] * 11 + [1] * 10 + [2] * 4).roll(7)
    folds = assign_folds(torch.zeros_like(labels), labels, 0)
    for label in (0, 1, 2):
        counts = folds[labels == label].bincount(minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    assert torch.equal(folds, assign_folds(torch.full_like(labels, 5), labels, 0))
    assert not torch.equal(folds, assign_folds(torch.zeros_like(labels), labels, 1))


def test_a_weight_decay_is_a_number_or_auto_and_auto_keeps_its_crops():
    for given in ("automatic", -1.0, None):
        with pytest.raises(ValueError, match="weight_decay"):
            LinearConfig.model_validate({"weight_decay": given, "crops": 1})
    with pytest.raises(ValueError, match="set crops"):
        LinearConfig(weight_decay="auto")
