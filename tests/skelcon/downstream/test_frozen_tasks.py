"""Neighbours that vote, clusters and a hidden layer, each against numpy or scikit-learn."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from joint_means import Joints
from torch import Tensor

from skelcon.augment import evaluation_view
from skelcon.data import ClipBank
from skelcon.downstream import Inputs
from skelcon.downstream.clustering import matched_classes
from skelcon.downstream.neighbours import vote
from skelcon.downstream.tasks import EncoderSize, completed, task

FRAMES, CLASSES = 16, 4


@pytest.fixture
def inputs(posed_bank: ClipBank) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    train, test = torch.randperm(40, generator=generator).split((22, 18))
    groups = torch.arange(22) % 3
    return Inputs([Joints()], posed_bank, train, test, CLASSES, FRAMES, 3, groups)


def features_of(inputs: Inputs, clips: Tensor) -> np.ndarray:
    view = evaluation_view(inputs.bank, clips, 0.95, FRAMES)
    found = np.concatenate([each(view).double().numpy() for each in inputs.encoders], axis=1)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def run(inputs: Inputs, name: str, **changes: object):
    kind = task(name)
    return completed(kind.start(inputs, kind.settings.model_validate(changes)))


def test_features_are_those_of_a_part_of_each_clip(inputs: Inputs) -> None:
    both = dataclasses.replace(inputs, encoders=[Joints(), Joints()])
    found = both.features(inputs.test, 0.5)
    view = evaluation_view(inputs.bank, inputs.test, 0.5, FRAMES)
    assert torch.equal(found, Joints()(view).repeat(1, 2))


def elected(queries, gallery, labels, k, temperature) -> list[int]:
    """In float64, by sorting and counting."""
    queries, gallery = (each / np.linalg.norm(each, axis=1)[:, None] for each in (queries, gallery))
    found = []
    for cosines in queries @ gallery.T:
        nearest = np.argsort(-cosines)[:k]
        if temperature is not None:
            votes = Counter()
            for row in nearest:
                votes[labels[row]] += np.exp(cosines[row] / temperature)
            found.append(max(votes, key=votes.__getitem__))
            continue
        counts = Counter(labels[row] for row in nearest)
        most = max(counts.values())
        found.append(next(labels[row] for row in nearest if counts[labels[row]] == most))
    return found


@pytest.mark.parametrize(
    ("k", "temperature"), [*itertools.product((1, 2, 5, 30), (None, 0.5, 0.01))]
)
def test_the_nearest_vote(k: int, temperature: float | None) -> None:
    random = np.random.default_rng(k)
    queries, gallery = random.normal(size=(200, 3)), random.normal(size=(30, 3))
    labels = random.integers(5, size=30)
    given = (torch.from_numpy(each) for each in (queries, gallery, labels))
    found = vote(*given, k, temperature)
    assert found.tolist() == elected(queries, gallery, labels, k, temperature)


def test_a_vote_of_very_different_weights_is_finite_and_k_is_at_most_all() -> None:
    gallery = torch.eye(3)
    found = vote(torch.tensor([[0.0, 0.2, 1.0]]), gallery, torch.tensor([4, 4, 1]), 50, 1e-6)
    assert found.tolist() == [1]
    assert vote(gallery[:1], gallery, torch.tensor([4, 0, 0]), 50, None).tolist() == [0]


def test_knn_counts_the_hits_of_the_vote_and_of_the_nearest(inputs: Inputs) -> None:
    noisy = dataclasses.replace(inputs, encoders=[Noise()])
    labels = noisy.bank.labels.numpy()
    result = run(noisy, "knn", k=5, temperature=None)
    tested, gallery = (features_of(noisy, each) for each in (noisy.test, noisy.train))
    of_test = labels[noisy.test.numpy()]
    expected = elected(tested, gallery, labels[noisy.train.numpy()], 5, None)
    assert result.predictions.tolist() == expected
    assert result.metrics["top1"] == pytest.approx(np.mean(expected == of_test))
    nearest = elected(tested, gallery, labels[noisy.train.numpy()], 1, None)
    assert result.metrics["nn_top1"] == pytest.approx(np.mean(nearest == of_test))
    assert 0 < result.metrics["top1"] < 1
    assert run(noisy, "knn", k=1).metrics["top1"] == result.metrics["nn_top1"]


class Noise(Joints):
    """Few of the coordinates, so that classes overlap."""

    feature_size = 3

    def forward(self, view: Tensor) -> Tensor:
        sums = super().forward(view)
        return torch.stack([sums[:, 0], sums[:, 1] % 0.02, sums[:, 5] % 0.02], dim=1)


def test_clusters_are_matched_to_classes_as_well_as_can_be() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        labels = random.choice([2, 3, 7, 9], size=30)
        labels[:4] = (2, 3, 7, 9)
        clusters = random.integers(4, size=30)
        found = np.mean(matched_classes(clusters, labels) == labels)
        best = max(
            np.mean(np.array(classes)[clusters] == labels)
            for classes in itertools.permutations([2, 3, 7, 9])
        )
        assert found == best


def entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def test_clusters_are_compared_with_classes(inputs: Inputs) -> None:
    result = run(inputs, "clustering")
    assert result.metrics == {"top1": 1.0, "nmi": pytest.approx(1), "ari": pytest.approx(1)}
    noisy = dataclasses.replace(inputs, encoders=[Noise()])
    result = run(noisy, "clustering", restarts=3)
    table = np.zeros((CLASSES, CLASSES))
    np.add.at(table, (result.labels, result.predictions), 1)
    parts = entropy(table.sum(axis=0)), entropy(table.sum(axis=1))
    shared = sum(parts) - entropy(table.ravel())
    assert result.metrics["nmi"] == pytest.approx(shared / np.mean(parts))
    pairs = [(counts * (counts - 1) / 2).sum() for counts in (table, table.sum(0), table.sum(1))]
    chance = pairs[1] * pairs[2] / (18 * 17 / 2)
    expected = (pairs[0] - chance) / ((pairs[1] + pairs[2]) / 2 - chance)
    assert result.metrics["ari"] == pytest.approx(expected)
    assert result.metrics["top1"] == np.mean(result.predictions == result.labels) < 1


def test_clusters_depend_on_the_seed_alone_and_on_no_training_clip(inputs: Inputs) -> None:
    noisy = dataclasses.replace(inputs, encoders=[Noise()])
    changed = dataclasses.replace(noisy, train=noisy.train[:2], groups=noisy.groups[:2])
    runs = [run(each, "clustering", restarts=1) for each in (noisy, noisy, changed)]
    assert all(each.metrics == runs[0].metrics for each in runs)
    kind = task("clustering")
    assert kind.clips_seen(kind.settings(), 100, 30) == 30
    assert kind.draws


class Collapsed(Joints):
    """One feature for all clips."""

    def forward(self, view: Tensor) -> Tensor:
        return torch.ones(len(view), 60)


def test_collapsed_features_are_one_cluster_without_a_warning(inputs: Inputs) -> None:
    collapsed = dataclasses.replace(inputs, encoders=[Collapsed()])
    result = run(collapsed, "clustering")
    labels = inputs.bank.labels[inputs.test]
    assert result.metrics["top1"] == pytest.approx(float(labels.bincount().max()) / len(labels))
    assert result.metrics["nmi"] == 0


# -- a hidden layer ----------------------------------------------------------------------------


def test_a_hidden_layer_is_trained_as_its_formulas_say(inputs: Inputs) -> None:
    """Two epochs of one batch, crops of the central part: plain gradient descent in numpy."""
    changes = {"epochs": 2, "batch": 64, "crops": 0, "hidden": 5, "lr": 0.3, "milestones": ()}
    kind = task("mlp")
    evaluation = kind.start(inputs, kind.settings.model_validate({**changes, "momentum": 0.5}))
    first, _, last = evaluation.classifier
    assert float(first.weight.detach().std()) == pytest.approx((2 / 60) ** 0.5, rel=0.1)
    assert float(last.weight.detach().abs().max()) < 0.05
    weights = [each.detach().double().numpy().copy() for each in evaluation.classifier.parameters()]
    moved = [np.zeros_like(each) for each in weights]
    clips = inputs.train
    view = evaluation_view(inputs.bank, clips, 0.95, FRAMES)
    x = Joints()(view).double().numpy()
    target = np.eye(CLASSES)[inputs.bank.labels[clips].numpy()]
    for _ in range(2):
        w1, b1, w2, b2 = weights
        hidden = np.maximum(x @ w1.T + b1, 0)
        logits = hidden @ w2.T + b2
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        of_logits = (shares - target) / len(x)
        of_hidden = (of_logits @ w2) * (hidden > 0)
        slopes = (of_hidden.T @ x, of_hidden.sum(0), of_logits.T @ hidden, of_logits.sum(0))
        moved = [0.5 * before + now for before, now in zip(moved, slopes, strict=True)]
        weights = [each - 0.3 * step for each, step in zip(weights, moved, strict=True)]
    result = completed(evaluation)
    for found, expected in zip(evaluation.classifier.parameters(), weights, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    assert set(result.metrics) == {"top1", "nn_top1", "top1_train"}


def test_a_checkpoint_of_a_hidden_layer_is_as_large_as_it_was_counted(inputs: Inputs) -> None:
    kind = task("mlp")
    settings = kind.settings(epochs=20, crops=1, hidden=7)
    evaluation = kind.start(inputs, settings)
    evaluation.run_epoch()
    state = evaluation.state_dict()
    moments = [value["momentum_buffer"] for value in state["optimiser"]["state"].values()]
    held = sum(each.numel() for each in (*state["classifier"].values(), *moments, *state["norm"]))
    assert kind.checkpoint_bytes(settings, [EncoderSize(0, 0, 60)], CLASSES) == 4 * held
