"""Corrupted test clips: each corruption against numpy, and the task that counts what is left."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from joint_means import Joints
from ragged_clips import NUM_CLASSES, ragged_clips
from torch import Tensor

from skelcon.augment import evaluation_view
from skelcon.data import (
    KINECT_V1,
    ClipBank,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
)
from skelcon.downstream import Inputs
from skelcon.downstream.config import CORRUPTIONS
from skelcon.downstream.robustness import KINDS
from skelcon.downstream.tasks import completed, task
from skelcon.seeding import generator

FRAMES, CLASSES = 16, 4


def packed(path: Path, layout: SkeletonLayout, normalised: bool = False) -> SkeletonDataset:
    """The clips of the tests, of any layout."""
    steps = Normalisation(centre=normalised, spine_to_z=normalised, shoulders_to_x=normalised)
    names = [f"class {i}" for i in range(NUM_CLASSES)]
    with DatasetWriter(
        path, name="tiny", layout=layout, class_names=names, family="test", normalisation=steps
    ) as writer:
        for i, clip in enumerate(ragged_clips(layout.num_joints)):
            writer.add(ClipInfo(f"clip {i}", label=i % NUM_CLASSES, subject=i % 3), clip)
        return writer.close({"xsub": np.arange(24) % 3 == 2})


@pytest.fixture
def view(small_bank: ClipBank) -> Tensor:
    seen = evaluation_view(small_bank, torch.arange(24), 1.0, FRAMES)
    seen[3, :, :, 4] = 0  # a joint that is missing
    return seen


def corrupted(kind: str, view: Tensor, severity: float, bank: ClipBank) -> np.ndarray:
    found = KINDS[kind](view, severity, bank, generator(0, "a test"))
    again = KINDS[kind](view, severity, bank, generator(0, "a test"))
    assert torch.equal(found, again)
    assert not torch.equal(found, view)
    return found.double().numpy()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_what_is_absent_stays_absent(view: Tensor, small_bank: ClipBank, kind: str) -> None:
    found = corrupted(kind, view, {"camera": 30.0, "speed": 1.5}.get(kind, 0.3), small_bank)
    absent = ~view.numpy().any(axis=(2, 3, 4))
    assert absent.any()
    assert not found[absent].any()
    assert not found[3, :, :, 4].any()


def test_noise_has_the_standard_deviation_that_is_asked(view: Tensor, small_bank: ClipBank) -> None:
    moved = corrupted("noise", view, 0.2, small_bank) - view.numpy()
    there = view.numpy().any(axis=-1)
    assert moved[there].std() == pytest.approx(0.2, rel=0.02)
    assert abs(moved[there].mean()) < 0.01


@pytest.mark.parametrize(("share", "count"), [(0.1, 2), (0.4, 8), (0.001, 1), (0.999, 19)])
def test_a_share_of_the_joints_is_missing_everywhere(
    view: Tensor, small_bank: ClipBank, share: float, count: int
) -> None:
    whole = view + 1  # nothing is absent
    found = corrupted("missing", whole, share, small_bank)
    lost = ~found.any(axis=-1)
    assert (lost == lost[:, :1, :1]).all()
    assert (lost[:, 0, 0].sum(axis=1) == count).all()
    assert len({tuple(each) for each in lost[:, 0, 0]}) > 1
    np.testing.assert_array_equal(found[~lost], whole.numpy()[~lost])


def turned(points: np.ndarray, axis: int, degrees: float) -> np.ndarray:
    """By Rodrigues' formula."""
    along, angle = np.eye(3)[axis], np.deg2rad(degrees)
    across = points * np.cos(angle) + np.cross(along, points) * np.sin(angle)
    return across + np.outer(points @ along, along).reshape(points.shape) * (1 - np.cos(angle))


def test_a_clip_is_turned_about_the_vertical_to_either_side(
    view: Tensor, small_bank: ClipBank
) -> None:
    assert (small_bank.layout.up, small_bank.up_axis) == ("y", 1)
    found = corrupted("camera", view, 30.0, small_bank)
    sides = set()
    for clip, before in zip(found, view.double().numpy(), strict=True):
        ways = [np.abs(clip - turned(before, 1, side * 30)).max() for side in (1, -1)]
        assert min(ways) < 1e-5 < max(ways)
        sides.add(int(np.argmin(ways)))
    assert sides == {0, 1}
    standing = small_bank.oriented("first_frame")
    assert standing.up_axis == 2
    assert np.abs(corrupted("camera", view, 90.0, standing) - view.numpy())[..., 2].max() < 1e-5


def test_what_an_import_has_turned_stands_along_z(tmp_path: Path) -> None:
    assert ClipBank(packed(tmp_path / "turned", KINECT_V1, normalised=True)).up_axis == 2


def test_a_clip_is_faster_or_slower_about_its_middle(small_bank: ClipBank) -> None:
    times = torch.arange(FRAMES, dtype=torch.float32) + 1
    view = times.view(1, 1, FRAMES, 1, 1).repeat(10, 1, 1, 20, 3)
    found = corrupted("speed", view, 2.0, small_bank)[:, 0, :, 0, 0]
    middle = (FRAMES + 1) / 2
    rates = {2.0: 0, 0.5: 0}
    for clip in found:
        for rate in rates:
            shown = np.clip(middle + rate * (times.numpy() - middle), 1, FRAMES)
            rates[rate] += int(np.abs(clip - shown).max() < 1e-5)
    assert sum(rates.values()) == 10
    assert min(rates.values()) > 0


# -- the task ----------------------------------------------------------------------------------

CHANGES = {"epochs": 6, "crops": 1, "standardise": True, "lr": 0.3}


@pytest.fixture
def inputs(posed_bank: ClipBank) -> Inputs:
    train, test = torch.randperm(40, generator=torch.Generator().manual_seed(0)).split((22, 18))
    return Inputs([Joints()], posed_bank, train, test, CLASSES, FRAMES, 3, torch.arange(22) % 3)


def run(inputs: Inputs, **changes: object):
    kind = task("robustness")
    settings = kind.settings.model_validate({**CHANGES, **changes})
    evaluation = kind.start(inputs, settings)
    return completed(evaluation), evaluation, settings


@pytest.mark.parametrize("decay", [0.0, "auto"])
def test_the_classifier_is_that_of_linear_and_meets_each_severity(
    inputs: Inputs, decay: float | str
) -> None:
    severities = {"noise": (0.5, 1.0), "missing": (0.9,), "camera": (60.0, 90.0), "speed": (2.0,)}
    result, evaluation, _ = run(inputs, weight_decay=decay, **severities)
    plain = task("linear").settings.model_validate({**CHANGES, "weight_decay": decay})
    alone = completed(task("linear").start(inputs, plain))
    assert alone.metrics.items() < result.metrics.items()
    assert alone.predictions.tolist() == result.predictions.tolist()
    assert set(result.metrics) <= set(task("robustness").metrics)
    (shift, scale), classifier = evaluation._norm, evaluation.classifier
    for kind, each in severities.items():
        hits = []
        for severity in each:
            seen = evaluation_view(inputs.bank, inputs.test, 0.95, FRAMES)
            draws = generator(inputs.seed, f"robustness {kind} {severity}")
            changed = Joints()(KINDS[kind](seen, severity, inputs.bank, draws))
            features = ((changed - shift) * scale).double().numpy()
            weight, bias = (each.detach().double().numpy() for each in classifier.parameters())
            predicted = (features @ weight.T + bias).argmax(axis=1)
            hits.append((predicted == result.labels).mean())
        assert result.metrics[f"top1_{kind}"] == pytest.approx(np.mean(hits))
    assert result.metrics["top1_missing"] < result.metrics["top1"]


def test_corruptions_without_a_severity_are_left_out_and_all_passes_are_counted(
    inputs: Inputs,
) -> None:
    result, _, settings = run(inputs, noise=(), camera=[10])
    assert "top1_noise" not in result.metrics
    assert inputs.encoders[0].seen == task("robustness").clips_seen(settings, 22, 18)
    assert task("robustness").clips_seen(settings, 22, 18) == 2 * 22 + (1 + 3 + 1 + 3) * 18


def test_a_clip_in_2d_is_not_turned(tmp_path: Path) -> None:
    flat = dataclasses.replace(KINECT_V1, name="flat", dimensions=2)
    bank = ClipBank(packed(tmp_path / "flat", flat))
    inputs = Inputs(
        [Joints()], bank, torch.arange(16), torch.arange(16, 24), 4, FRAMES, 0, torch.arange(16) % 3
    )
    result, _, _ = run(inputs)
    assert {name for name in result.metrics if name.startswith("top1_")} == {
        "top1_train",
        "top1_noise",
        "top1_missing",
        "top1_speed",
    }
