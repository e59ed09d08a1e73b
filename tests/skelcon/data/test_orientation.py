"""How encoders see a clip turned, against the import's own turn and a loop in plain numpy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from skelcon.data import (
    CENTRED,
    KINECT_V1,
    KINECT_V1_SDK,
    KINECT_V2,
    ClipBank,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
    normalise,
    turns,
)
from skelcon.data.normalise import rotation_between
from skelcon.data.orientation import rotations_to

PAPER = Normalisation()
RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
LAYOUTS = (KINECT_V1, KINECT_V1_SDK, KINECT_V2)
X, Z = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
seeds = st.integers(0, 2**32 - 1)
Clips = list[np.ndarray]
Write = Callable[..., SkeletonDataset]


def standing(rng: np.random.Generator, layout: SkeletonLayout, frames: int) -> np.ndarray:
    """Two bodies before a sensor, turned anyhow, of which the first is never nearly upside down."""
    clip = rng.normal(0, 0.25, (2, frames, layout.num_joints, 3))
    (bottom, top), (right, left) = layout.spine, layout.shoulders
    clip[:, :, top] = clip[:, :, bottom] + (0, 0.3, 0) + rng.normal(0, 0.03, (2, frames, 3))
    clip[:, :, right] = clip[:, :, top] + (0.2, 0.1, 0) + rng.normal(0, 0.03, (2, frames, 3))
    clip[:, :, left] = clip[:, :, top] + (-0.2, 0.1, 0) + rng.normal(0, 0.03, (2, frames, 3))
    tilt = Rotation.from_euler("yxz", rng.uniform(-60, 60, 3), degrees=True).as_matrix()
    return clip @ tilt.T + rng.normal((0.3, -0.2, 3.0), 0.3, (2, 1, 1, 3))


def ragged(layout: SkeletonLayout, seed: int, clips: int = 9) -> Clips:
    """Whole, late, lost in between, the first body never there, one body, single frames."""
    rng, made = np.random.default_rng(seed), []
    for kind in range(clips):
        frames = 1 if kind == 5 else int(rng.integers(4, 40))
        clip = standing(rng, layout, frames)
        if kind % 9 == 1:
            clip[0, : frames // 2] = 0
        elif kind % 9 == 2:
            clip[0, 1::3] = 0
        elif kind % 9 == 3:
            clip[0] = 0
        elif kind % 9 == 4:
            clip[1] = 0
        elif kind % 9 == 6:
            clip[1, 2:] = 0
            clip[:, 0] = 0
        elif kind % 9 == 7:  # joints get lost, after the first frame
            clip[:, 1:][rng.random(clip[:, 1:].shape[:3]) < 0.2] = 0
        made.append(clip)
    return made


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(layout: SkeletonLayout, clips: Clips, steps: Normalisation) -> SkeletonDataset:
        path = tmp_path / f"{layout.name}-{len(list(tmp_path.iterdir()))}"
        with DatasetWriter(
            path,
            name="some",
            layout=layout,
            class_names=["one"],
            family="test",
            normalisation=steps,
        ) as writer:
            for number, clip in enumerate(clips):
                writer.add(ClipInfo(f"clip {number}", 0), normalise(clip, layout, steps))
            return writer.close({})

    return write


def seen(bank: ClipBank, size: int = 16) -> np.ndarray:
    """All clips, whole, resized: (N, M, size, V, 3)."""
    clips = torch.arange(len(bank.lengths))
    return bank.resized(clips, torch.zeros_like(clips), bank.lengths, size).numpy()


def turned(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """``point`` under the smallest rotation from ``start`` to ``end``, as two reflections."""
    if not start.any():
        return point
    one = start / np.linalg.norm(start)
    middle = (one + end) / np.linalg.norm(one + end)
    point = point - 2 * (point @ one) * one
    return point - 2 * (point @ middle) * middle


def by_median(clip: np.ndarray, layout: SkeletonLayout) -> np.ndarray:
    """The description word by word: (M, T, V, 3) float64, turned."""
    out = clip.astype(np.float64)
    main = next(body for body in out if body.any())
    for (start, end), axis in ((layout.spine, Z), (layout.shoulders[::-1], X)):
        bones = [frame[end] - frame[start] for frame in main]
        bones = [bone for bone in bones if bone.any()]
        median = np.median(bones, axis=0) if bones else np.zeros(3)
        for index in np.ndindex(out.shape[:3]):
            out[index] = turned(out[index], median, axis)
    return out


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("before", [RAW, CENTRED, Normalisation(shoulders_to_x=False)], ids=repr)
def test_first_frame_is_the_turn_of_the_import(
    write: Write, layout: SkeletonLayout, before: Normalisation
):
    clips = ragged(layout, 0, 45)
    at_import = write(layout, clips, PAPER.model_copy(update={"centre": before.centre}))
    at_load = write(layout, clips, before)
    bank = ClipBank(at_load).oriented("first_frame")
    assert not np.allclose(seen(bank), seen(ClipBank(at_load)), atol=0.1)
    np.testing.assert_allclose(seen(bank), seen(ClipBank(at_import)), rtol=0, atol=1e-5)
    again = ClipBank(at_import).oriented("first_frame")
    np.testing.assert_array_equal(seen(again), seen(ClipBank(at_import)))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("before", [RAW, CENTRED, PAPER], ids=repr)
def test_median_is_as_described(write: Write, layout: SkeletonLayout, before: Normalisation):
    dataset = write(layout, ragged(layout, 1, 12), before)
    found = turns(dataset, "median")
    assert found is not None
    assert found.dtype == np.float64
    for number, turn in enumerate(found):
        clip = dataset.clip(number)
        expected = by_median(clip, layout)
        np.testing.assert_allclose(clip.astype(np.float64) @ turn.T, expected, rtol=0, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([(0, 0, 1), (1, 0, 0), (0.6, 0, -0.8)]))
def test_rotations_of_many_are_those_of_each(seed: int, target: tuple[float, float, float]):
    rng, axis = np.random.default_rng(seed), np.array(target)
    vectors = rng.normal(size=(12, 3)) * 10.0 ** rng.uniform(-3, 1, (12, 1))
    vectors[:3] = [(0, 0, 0), 2.5 * axis, -0.5 * axis]
    found = rotations_to(vectors, axis)
    expected = [rotation_between(vector, axis) for vector in vectors]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found[:3], np.tile(np.eye(3), (3, 1, 1)))


def test_noise_in_fewer_than_half_of_the_frames_does_not_turn_the_median(write: Write):
    """Bodies that keep their pose; the first frame, and others, are anything."""
    rng, clips = np.random.default_rng(5), []
    for frames in range(3, 43):
        pose = standing(rng, KINECT_V2, 1).repeat(frames, axis=1)
        noisy = pose.copy()
        bad = rng.choice(frames, rng.integers(1, (frames - 1) // 2 + 1), replace=False)
        if 0 not in bad:
            bad[0] = 0
        noisy[:, bad] += rng.normal(0, 1, (2, len(bad), 25, 3))
        clips += [pose, noisy]
    dataset = write(KINECT_V2, clips, RAW)
    median, by_first = turns(dataset, "median"), turns(dataset, "first_frame")
    assert median is not None
    assert by_first is not None
    np.testing.assert_allclose(by_first[::2], median[::2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(median[1::2], median[::2], rtol=0, atol=1e-6)
    assert np.abs(by_first[1::2] - median[::2]).max(axis=(1, 2)).min() > 1e-3


def test_what_a_turn_of_the_camera_leaves_alone(write: Write):
    """With shoulders at right angles to the spine.

    A body that keeps its pose is seen the same from anywhere. One whose trunk turns about its
    spine is seen the same after quarter turns about z: those, and no others, change places with
    the median of each coordinate.
    """
    rng, clips = np.random.default_rng(6), []
    for number in range(20):
        anywhere = Rotation.random(random_state=number).as_matrix()
        still = level(standing(rng, KINECT_V2, 1)).repeat(2 + number, axis=1)
        moving = still.copy()
        right, left = KINECT_V2.shoulders
        spine = moving[:, 0, KINECT_V2.spine[1]] - moving[:, 0, KINECT_V2.spine[0]]
        line = moving[:, 0, right] - moving[:, 0, left]
        across = np.cross(spine, line) / np.linalg.norm(spine, axis=-1, keepdims=True)
        angles = rng.uniform(-0.6, 0.6, (2, 2 + number, 1))
        swung = np.cos(angles) * line[:, None] + np.sin(angles) * across[:, None]
        moving[:, :, right] = moving[:, :, left] + swung
        quarter = Rotation.from_euler("z", 90 * (1 + number % 3), degrees=True).as_matrix()
        clips += [still, still @ anywhere.T, moving, moving @ quarter.T]
    found = turns(write(KINECT_V2, clips, RAW), "median")
    assert found is not None
    views = [clip @ turn.T for clip, turn in zip(clips, found, strict=True)]
    for one, other in zip(views[::2], views[1::2], strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-4)


def level(clip: np.ndarray) -> np.ndarray:
    """``clip`` with shoulders at right angles to the spine, in each frame."""
    (bottom, top), (right, left) = KINECT_V2.spine, KINECT_V2.shoulders
    spine, line = clip[:, :, top] - clip[:, :, bottom], clip[:, :, right] - clip[:, :, left]
    along = (line * spine).sum(-1, keepdims=True) / (spine * spine).sum(-1, keepdims=True)
    clip = clip.copy()
    clip[:, :, right] -= along * spine
    return clip


def test_frames_are_shared_and_a_turn_is_found_once(write: Write, monkeypatch: pytest.MonkeyPatch):
    dataset = write(KINECT_V2, ragged(KINECT_V2, 2), CENTRED)
    bank = ClipBank(dataset)
    median = bank.oriented("median")
    assert median._frames.data_ptr() == bank._frames.data_ptr() == dataset.frames.ctypes.data
    assert (bank.orientation, median.orientation) == ("as_recorded", "median")
    assert median.oriented("median") is median
    monkeypatch.setattr("skelcon.data.bank.turns", lambda *_: pytest.fail("found again"))
    np.testing.assert_array_equal(seen(bank.oriented("median")), seen(median))
    np.testing.assert_array_equal(seen(median.oriented("as_recorded")), seen(bank))


def test_what_is_absent_stays_zero_and_turned_frames_are_rotations(write: Write):
    dataset = write(KINECT_V1, ragged(KINECT_V1, 3), CENTRED)
    bank = ClipBank(dataset, bodies=3)
    before = seen(bank)
    for orientation in ("first_frame", "median"):
        found = turns(dataset, orientation)
        assert found is not None
        np.testing.assert_allclose(found @ found.transpose(0, 2, 1), [np.eye(3)] * 9, atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(found), 1, atol=1e-12)
        after = seen(bank.oriented(orientation))
        assert not after[before == 0].any()
        np.testing.assert_allclose(
            np.linalg.norm(after, axis=-1), np.linalg.norm(before, axis=-1), rtol=0, atol=1e-5
        )


def test_a_mapped_skeleton_is_turned_by_the_bones_that_were_recorded(write: Write):
    dataset = write(KINECT_V2, ragged(KINECT_V2, 4), CENTRED)
    bank = ClipBank(dataset, layout=KINECT_V1).oriented("first_frame")
    whole = seen(ClipBank(dataset).oriented("first_frame"))
    head = KINECT_V1.joints.index("head"), KINECT_V2.joints.index("head")
    np.testing.assert_allclose(seen(bank)[..., head[0], :], whole[..., head[1], :], atol=1e-6)
