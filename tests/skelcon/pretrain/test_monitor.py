"""What the epochs of a pre-training say of it, and that saying it changes nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from diagnosis_reference import numpy_alignment, numpy_potential, numpy_rank
from test_trainer import TREE, assert_same_bits

from skelcon.augment import evaluation_view
from skelcon.contrast import ContrastResult
from skelcon.data import ClipBank, SkeletonDataset, SkeletonLayout, groups_of, split
from skelcon.pretrain import PretrainConfig, Pretraining

DROPOUT_AND_NORM = {**TREE["encoders"], "img": {"channels": 4, "cooccurrence": 16, "dropout": 0.5}}
DROPOUT_AND_NORM["img"]["batch_norm"] = True
GROUPS = np.arange(24) % 3


def started(
    bank: ClipBank, layout: SkeletonLayout, groups: Any = GROUPS, **changes: object
) -> Pretraining:
    config = PretrainConfig.model_validate({**TREE, "encoders": DROPOUT_AND_NORM, **changes})
    return Pretraining(bank, np.arange(24), layout, config, 0, groups=groups)


def test_an_epoch_comes_with_its_diagnosis(
    small_bank: ClipBank, small_layout: SkeletonLayout
) -> None:
    training = started(small_bank, small_layout, representations=("img", "seq"))
    steps: list[ContrastResult] = []
    training.contrast.register_forward_hook(lambda module, views, result: steps.append(result))
    training.run_epoch()
    steps.clear()
    metrics = training.run_epoch()
    assert len(steps) == 4
    pairs = [("img", "seq"), ("seq", "img")]
    distances = [numpy_alignment(s.queries[q], s.keys[k]) for s in steps for q, k in pairs]
    potentials = [[numpy_potential(s.queries[n]) for n in ("img", "seq")] for s in steps]
    ranks = [numpy_rank(features) for features in steps[-1].features.values()]
    assert metrics.chance == pytest.approx(1 / 21)
    assert metrics.alignment == pytest.approx(np.mean(distances), rel=1e-5)
    assert metrics.uniformity == pytest.approx(np.log(np.mean(potentials, axis=0)).max(), abs=1e-5)
    assert metrics.effective_rank == pytest.approx(min(ranks), rel=1e-3)
    assert metrics.nn_top1 is None


@pytest.mark.parametrize("names", [("img",), ("stg", "seq")], ids="+".join)
def test_monitoring_changes_no_bit(
    small_bank: ClipBank, small_layout: SkeletonLayout, names: tuple[str, ...]
) -> None:
    watched = started(small_bank, small_layout, representations=names, monitor=1)
    alone = started(small_bank, small_layout, representations=names)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    for _ in range(3):
        metrics, expected = watched.run_epoch(), alone.run_epoch()
        assert (metrics.loss, metrics.effective_rank) == (expected.loss, expected.effective_rank)
        assert metrics.nn_top1 is not None
        assert expected.nn_top1 is expected.nn_top1_start is None
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_bits(watched, alone)


def test_it_is_measured_every_so_often_at_the_start_and_at_the_end(
    small_bank: ClipBank, small_layout: SkeletonLayout
) -> None:
    training = started(small_bank, small_layout, epochs=5, monitor=2)
    metrics = [training.run_epoch() for _ in range(5)]
    assert [m.nn_top1 is not None for m in metrics] == [False, True, False, True, True]
    assert [m.nn_top1_start is not None for m in metrics] == [True] + 4 * [False]


def test_the_accuracy_is_that_of_the_nearest_clip_of_another_group(
    posed_bank: ClipBank, small_layout: SkeletonLayout
) -> None:
    """By numpy; with groups that hold the nearest neighbours apart it is another number."""
    clips, found = np.arange(3, 40), []
    labels = posed_bank.labels[clips].numpy()
    for groups in (clips % 5, labels // 2, labels):
        config = PretrainConfig.model_validate({**TREE, "representations": ("stg", "seq")})
        config = config.model_copy(update={"monitor": 1})
        training = Pretraining(posed_bank, clips, small_layout, config, 0, groups=groups)
        metrics = training.run_epoch()
        accuracies = []
        view = evaluation_view(posed_bank, torch.from_numpy(clips), 0.95, 16)
        for name in ("stg", "seq"):
            encoder = training.contrast.encoder(name).eval()
            rows = encoder(view).detach().double().numpy()
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            hits = 0
            for i, row in enumerate(rows):
                others = np.flatnonzero(groups != groups[i])
                hits += labels[others[np.argmax(rows[others] @ row)]] == labels[i]
            accuracies.append(hits / len(rows))
        assert metrics.nn_top1 == pytest.approx(np.mean(accuracies))
        found.append(metrics.nn_top1)
    assert found[0] > 0.5
    assert found[2] == 0  # each class is a group of its own


def test_random_weights_are_measured_with_statistics_of_the_clips(
    small_bank: ClipBank, small_layout: SkeletonLayout
) -> None:
    """The initial values of the batch norms do not count."""
    found = []
    for offset in (0.0, 1000.0):
        training = started(small_bank, small_layout, representations=("stg",), monitor=1)
        norms = [m for m in training.contrast.encoder("stg").modules() if hasattr(m, "running_var")]
        assert norms
        for norm in norms:
            assert norm.running_var is not None
            norm.running_var += offset * torch.arange(len(norm.running_var))
        found.append(training.run_epoch().nn_top1_start)
    assert found[0] == found[1] is not None


def test_without_two_groups_nothing_is_monitored(
    small_bank: ClipBank, small_layout: SkeletonLayout
) -> None:
    for groups in (None, np.zeros(24, np.int64)):
        metrics = started(small_bank, small_layout, groups, monitor=1).run_epoch()
        assert metrics.nn_top1 is metrics.nn_top1_start is None
    with pytest.raises(ValueError, match="3 groups of 24 clips"):
        started(small_bank, small_layout, np.arange(3), monitor=1)


def test_the_groups_are_what_the_protocol_crosses_or_else_subjects(
    dataset: SkeletonDataset,
) -> None:
    train = split(dataset, "xsub", "train")
    assert groups_of(dataset, "xsub", train).tolist() == (train % 3).tolist()
    one = train[train % 3 == 1]
    assert groups_of(dataset, "xsub", one).tolist() == [0] * len(one)


def test_the_key_of_what_is_not_monitored_has_no_word_of_it() -> None:
    assert "monitor" not in PretrainConfig().resolved()
    assert PretrainConfig(monitor=3).resolved()["monitor"] == 3
