"""What is done with joints that are missing, and with joints of little confidence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data.importers.own.columns import Columns, Treatment

NAN = np.nan


def a_clip() -> np.ndarray:
    """(1, 5, 3, 3): joint 1 is missing in the frames 1 and 4, all joints in frame 2."""
    clip = np.arange(1.0, 46.0).reshape(1, 5, 3, 3)
    clip[0, [1, 4], 1] = [[NAN, NAN, NAN], [0, 0, 0]]
    clip[0, 2] = 0
    return clip


def test_missing_joints_are_zeros_by_default():
    clip, counts = Treatment()(a_clip())
    assert (clip[0, [1, 4], 1] == 0).all()
    np.testing.assert_array_equal(clip[0, 0], a_clip()[0, 0])
    assert counts == {"clips with missing joints": 1}


def test_they_are_interpolated_between_frames_and_held_at_the_ends():
    clip, counts = Treatment(missing="interpolate")(a_clip())
    straight = np.arange(1.0, 46.0).reshape(1, 5, 3, 3)
    np.testing.assert_allclose(clip[0, :4], straight[0, :4], rtol=1e-6)
    np.testing.assert_allclose(clip[0, 4, 1], straight[0, 3, 1])
    assert counts == {"clips with missing joints": 1, "frames interpolated": 3}


def test_their_frames_are_dropped():
    clip, counts = Treatment(missing="drop")(a_clip())
    np.testing.assert_array_equal(clip[0], a_clip()[0, [0, 3]])
    assert counts == {"clips with missing joints": 1, "frames dropped": 3}


def test_the_clip_is_rejected():
    with pytest.raises(ValueError, match="3 of its 5 frames"):
        Treatment(missing="reject")(a_clip())


def test_a_joint_that_no_frame_has_leaves_no_gap():
    clip = np.ones((1, 4, 3, 3))
    clip[0, :, 2] = 0
    clip, counts = Treatment(missing="reject")(clip)
    assert not counts


def test_a_second_body_may_come_and_go():
    clip = np.ones((2, 6, 3, 3))
    clip[1, [0, 3, 5]] = 0
    treated, counts = Treatment(missing="reject")(clip)
    np.testing.assert_array_equal(treated, clip)
    assert not counts


def test_little_confidence_is_missing():
    clip = np.ones((1, 3, 2, 3))
    confidence = np.array([[[0.9, 0.2], [0.9, 0.9], [NAN, 0.9]]])
    treated, counts = Treatment(min_confidence=0.5)(clip, confidence)
    assert (treated[0, 0, 1] == 0).all()
    assert (treated[0, 2, 0] == 0).all()
    assert counts["joints of too little confidence"] == 2


def test_in_2d_the_third_number_is_the_confidence():
    clip = np.full((1, 2, 2, 2), 7.0)
    clip[0, 1, 1] = 0
    treated, _ = Treatment(dimensions=2)(clip)
    assert treated[0].tolist() == [[[7, 7, 1], [7, 7, 1]], [[7, 7, 1], [0, 0, 0]]]
    treated, _ = Treatment(dimensions=2)(clip, np.array([[[0.5, 0.0], [0.25, 1.0]]]))
    assert treated[0].tolist() == [[[7, 7, 0.5], [0, 0, 0]], [[7, 7, 0.25], [0, 0, 0]]]


def test_units_become_metres():
    clip, _ = Treatment(scale=0.001)(np.full((1, 1, 2, 3), 1500.0))
    assert (clip == 1.5).all()


def test_a_clip_without_a_body_is_refused():
    with pytest.raises(ValueError, match="no body"):
        Treatment()(np.full((1, 3, 2, 3), NAN))


def test_columns_say_which_number_is_what():
    columns = Columns.parse(["_", "z", "confidence", "x", "y"], 3)
    values = np.arange(5.0).reshape(1, 1, 1, 5)
    assert columns.coordinates(values).tolist() == [[[[3, 4, 1]]]]
    assert columns.confidence(values) == 2


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_what_is_there_stays_and_no_gap_is_left(data: st.DataObject):
    shape = 1, data.draw(st.integers(1, 6)), 3
    known = np.array(
        data.draw(st.lists(st.booleans(), min_size=shape[1] * 3, max_size=shape[1] * 3))
    ).reshape(shape)
    clip = np.random.default_rng(0).uniform(1, 2, (*shape, 3)).astype(np.float32)
    clip[~known] = NAN
    if not known.any():
        return
    filled, _ = Treatment(missing="interpolate")(clip)
    np.testing.assert_array_equal(filled[known], clip[known])
    (seen,) = np.nonzero(known[0].any(axis=1))
    ever = known[0].any(axis=0)
    within = filled[0, seen[0] : seen[-1] + 1][:, ever]
    assert ((within >= 1) & (within <= 2)).all()
    assert (filled[0][:, ~ever] == 0).all()
