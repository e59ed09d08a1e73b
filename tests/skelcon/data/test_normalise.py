from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from skelcon.data import KINECT_V1, KINECT_V2, Normalisation, SkeletonLayout, normalise

X, Z = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
OPTIONS = [
    Normalisation(centre=centre, spine_to_z=spine, shoulders_to_x=shoulders)
    for centre, spine, shoulders in product((False, True), repeat=3)
]
NOTHING, ALL = OPTIONS[0], OPTIONS[-1]
LAYOUTS = (KINECT_V1, KINECT_V2)
seeds = st.integers(0, 2**32 - 1)


def turned(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """``point`` under the smallest rotation from ``start`` to ``end``, as two reflections."""
    if not start.any():
        return point
    one = start / np.linalg.norm(start)
    middle = (one + end) / np.linalg.norm(one + end)
    point = point - 2 * (point @ one) * one
    return point - 2 * (point @ middle) * middle


def reference(clip: np.ndarray, layout: SkeletonLayout, options: Normalisation) -> np.ndarray:
    """The description word by word, joint by joint."""
    out = np.array(clip, np.float64)
    bodies, frames, joints, _ = out.shape
    main = next((body for body in range(bodies) if out[body].any()), 0)
    first = next((frame for frame in range(frames) if out[main, frame].any()), 0)
    if options.centre:
        centres = [point.copy() for point in out[main, :, layout.centre]]
        known = [point for point in centres if point.any()]
        origin = known[0] if known else np.zeros(3)
        for frame in range(frames):
            origin = centres[frame] if centres[frame].any() else origin
            for body in range(bodies):
                for joint in range(joints):
                    if out[body, frame, joint].any():
                        out[body, frame, joint] -= origin
    for wanted, (start, end), axis in (
        (options.spine_to_z, layout.spine, Z),
        (options.shoulders_to_x, layout.shoulders[::-1], X),
    ):
        if wanted:
            bone = out[main, first, end] - out[main, first, start]
            for body, frame, joint in product(range(bodies), range(frames), range(joints)):
                out[body, frame, joint] = turned(out[body, frame, joint], bone, axis)
    return out


def some_clip(layout: SkeletonLayout, seed: int) -> np.ndarray:
    """One to three bodies of 1 to 4 frames; joints, frames and whole bodies may be absent."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 4), rng.integers(1, 5), layout.num_joints)
    clip = rng.normal((0.3, -0.2, 3.0), 0.5, (*shape, 3))
    if rng.random() < 0.6:
        clip[rng.random(shape) < 0.15] = 0
    if rng.random() < 0.4:
        clip[rng.random(shape[:2]) < 0.3] = 0
    if rng.random() < 0.2:
        clip[rng.integers(shape[0])] = 0
    return clip


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@settings(max_examples=12, deadline=None)
@given(seeds)
def test_as_described(layout: SkeletonLayout, options: Normalisation, seed: int):
    clip = some_clip(layout, seed)
    before = clip.copy()
    found = normalise(clip, layout, options)
    np.testing.assert_array_equal(clip, before)  # the caller's own is not touched
    assert found.dtype == np.float64
    assert not np.shares_memory(found, clip)
    np.testing.assert_allclose(found, reference(clip, layout, options), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
@settings(max_examples=12, deadline=None)
@given(seeds)
def test_the_absent_stay_zero_and_bones_keep_their_lengths(options: Normalisation, seed: int):
    clip = some_clip(KINECT_V2, seed)
    found = normalise(clip, KINECT_V2, options)
    present = clip.any(axis=-1)
    assert not found[~present].any()
    child, parent = np.array(KINECT_V2.bones).T
    both = present[..., child] & present[..., parent]
    lengths = [np.linalg.norm(c[..., child, :] - c[..., parent, :], axis=-1) for c in (clip, found)]
    np.testing.assert_allclose(lengths[0][both], lengths[1][both], rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_what_each_option_promises(seed: int):
    clip = np.random.default_rng(seed).normal(1, 0.5, (2, 3, 25, 3))
    (low, top), (right, left) = KINECT_V2.spine, KINECT_V2.shoulders
    centred = normalise(clip, KINECT_V2, Normalisation(spine_to_z=False, shoulders_to_x=False))
    assert not centred[0, :, KINECT_V2.centre].any()
    upright = normalise(clip, KINECT_V2, Normalisation(centre=False, shoulders_to_x=False))
    bone = upright[0, 0, top] - upright[0, 0, low]
    np.testing.assert_allclose(bone, Z * np.linalg.norm(bone), rtol=0, atol=1e-12)
    for options in OPTIONS:
        if options.shoulders_to_x:
            found = normalise(clip, KINECT_V2, options)
            line = found[0, 0, right] - found[0, 0, left]
            np.testing.assert_allclose(line, X * np.linalg.norm(line), rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_each_option_alone_is_idempotent(seed: int):
    clip = np.random.default_rng(seed).normal(1, 0.5, (2, 3, 25, 3))
    for name in ("centre", "spine_to_z", "shoulders_to_x"):
        options = NOTHING.model_copy(update={name: True})
        once = normalise(clip, KINECT_V2, options)
        again = normalise(once, KINECT_V2, options)
        np.testing.assert_allclose(again, once, rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_where_a_body_stands_does_not_matter(seed: int):
    rng = np.random.default_rng(seed)
    clip = rng.normal(0, 0.5, (2, 3, 25, 3))
    moved = clip + rng.normal(0, 3, (1, 3, 1, 3))  # another place in each frame
    found = [normalise(c, KINECT_V2, ALL) for c in (clip, moved)]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_level_shoulders_make_it_independent_of_the_camera(seed: int):
    """With shoulders at right angles to the spine all three steps are also idempotent."""
    rng = np.random.default_rng(seed)
    clip = rng.normal(0, 0.5, (2, 3, 25, 3))
    spine, shoulders = list(KINECT_V2.spine), list(KINECT_V2.shoulders)
    clip[0, 0, spine] = [[0, 0, 0.1], [0, 0, 0.5]]
    clip[0, 0, shoulders] = [[0.2, 0, 0.8], [-0.2, 0, 0.8]]
    clip[0, 0, KINECT_V2.centre] = clip[0, 0, KINECT_V2.spine[1]]
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    once = normalise(clip, KINECT_V2, ALL)
    seen = normalise(clip @ turn.T, KINECT_V2, ALL)
    np.testing.assert_allclose(seen, once, rtol=0, atol=1e-5)
    np.testing.assert_allclose(normalise(once, KINECT_V2, ALL), once, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("what", ["same point", "absent", "parallel", "opposite"])
def test_a_degenerate_bone_turns_nothing(layout: SkeletonLayout, what: str):
    clip = np.random.default_rng(0).normal(1, 0.5, (1, 3, layout.num_joints, 3))
    options = NOTHING.model_copy(update={"spine_to_z": True, "shoulders_to_x": True})
    for (start, end), axis in ((layout.spine, Z), (layout.shoulders[::-1], X)):
        point = {"same point": clip[0, 0, 0], "absent": np.zeros(3)}.get(what, np.ones(3))
        step = {"parallel": 0.25, "opposite": -0.25}.get(what, 0.0)
        clip[0, 0, start], clip[0, 0, end] = point, point + step * axis
    np.testing.assert_array_equal(normalise(clip, layout, options), clip)


def test_where_the_main_body_is_absent_the_others_stay_where_they_would_be():
    """It comes late and is lost in between: no body jumps, and its first frame turns the clip."""
    clip = np.random.default_rng(0).normal(1, 0.5, (2, 6, 25, 3))
    clip[0, :, KINECT_V2.centre] = (1.0, 2.0, 3.0)  # who stands still
    whole = normalise(clip[:, 2:], KINECT_V2, ALL)
    clip[0, :2] = clip[0, 4] = 0
    found = normalise(clip, KINECT_V2, ALL)
    np.testing.assert_array_equal(found[1, 2:], whole[1])
    np.testing.assert_array_equal(found[0, [2, 3, 5]], whole[0, [0, 1, 3]])
    assert not found[0, [0, 1, 4]].any()


def test_a_first_body_that_is_never_there_is_not_the_main_one():
    clip = np.random.default_rng(0).normal(1, 0.5, (2, 6, 25, 3))
    clip[0] = 0
    expected = normalise(clip[1:], KINECT_V2, ALL)
    np.testing.assert_array_equal(normalise(clip, KINECT_V2, ALL)[1:], expected)


@pytest.mark.parametrize("shape", [(1, 1, 20, 3), (3, 5, 20, 3)])
def test_all_absent_stays_zero(shape: tuple[int, ...]):
    assert not normalise(np.zeros(shape), KINECT_V1, ALL).any()


def test_float32_is_worked_on_in_double_precision():
    clip = some_clip(KINECT_V1, 5).astype(np.float32)
    expected = reference(clip, KINECT_V1, ALL)
    np.testing.assert_allclose(normalise(clip, KINECT_V1, ALL), expected, rtol=0, atol=1e-12)
