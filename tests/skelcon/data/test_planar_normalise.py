"""Normalisation in 2D: places are centred and scaled, confidences are not touched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from other_sensors import as_coco, write

from skelcon.data import (
    CENTRED,
    KINECT_V2,
    LAYOUTS,
    ClipBank,
    DatasetWriter,
    Normalisation,
    normalise,
    turns,
)
from skelcon.data.importers import RAW
from skelcon.data.normalise import usual_steps
from skelcon.data.synthetic import Take, render
from skelcon.errors import UserError

COCO = LAYOUTS["coco-17"]
HIPS = [COCO.joints.index(f"{side}_hip") for side in ("left", "right")]
SHOULDERS = [COCO.joints.index(f"{side}_shoulder") for side in ("left", "right")]


@pytest.fixture
def clip() -> np.ndarray:
    """(2, T, 17, 3): two persons, of whom the second comes late and has a joint missing."""
    made = as_coco(render(Take(1, 2, 1, 1, 16), noise=False)[:, :30])
    made[1, :5] = made[:, :, 3] = 0
    return made


def spine(body: np.ndarray) -> np.ndarray:
    ends = [body[:, joints, :2].mean(axis=1) for joints in (HIPS, SHOULDERS)]
    return np.linalg.norm(ends[1] - ends[0], axis=-1)


def test_pixels_are_centred_and_scaled_by_the_main_body(clip: np.ndarray):
    found = normalise(clip, COCO, usual_steps(COCO))
    np.testing.assert_array_equal(found[..., 2], clip[..., 2])
    np.testing.assert_allclose(found[0][:, HIPS, :2].mean(axis=1), 0, atol=1e-12)
    assert np.median(spine(found[0])) == pytest.approx(0.5)
    there = clip[..., 2] > 0
    assert not found[~there].any()
    between = clip[0, :, 5] - clip[1, :, 5]
    factor = 0.5 / np.median(spine(clip[0]))
    np.testing.assert_allclose((found[0] - found[1])[5:, 5, :2], factor * between[5:, :2])


def test_the_size_of_the_image_and_the_place_in_it_do_not_matter(clip: np.ndarray):
    other = np.where(clip[..., 2:] > 0, clip * (0.5, 0.5, 1) + (300, -40, 0), 0)
    steps = usual_steps(COCO)
    first, second = normalise(clip, COCO, steps), normalise(other, COCO, steps)
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_what_an_import_does_of_itself_and_what_that_leaves_as_it_was():
    assert usual_steps(KINECT_V2) is CENTRED
    assert usual_steps(replace(COCO, name="shares", unit="m")) == usual_steps(COCO)
    assert usual_steps(COCO) == Normalisation(spine_to_z=False, shoulders_to_x=False, scale=True)
    assert "scale" not in Normalisation().model_dump()
    assert Normalisation(scale=True).model_dump()["scale"] is True
    assert Normalisation(**usual_steps(COCO).model_dump()) == usual_steps(COCO)


def test_in_3d_bodies_can_be_scaled_too():
    clip = render(Take(1, 2, 1, 1, 1), noise=False)
    found = normalise(clip, KINECT_V2, CENTRED.model_copy(update={"scale": True}))
    bottom, top = KINECT_V2.spine
    assert np.linalg.norm(found[0, :, top] - found[0, :, bottom], axis=-1) == pytest.approx(0.5)


def test_a_turn_in_depth_is_the_users_mistake(clip: np.ndarray, tmp_path: Path):
    steps = Normalisation(shoulders_to_x=False)
    with pytest.raises(UserError, match=r"spine-to-z: it needs 3D, and layout 'coco-17' is 2D"):
        normalise(clip, COCO, steps)
    with pytest.raises(UserError, match="needs 3D"):
        DatasetWriter(
            tmp_path, name="a", layout=COCO, class_names="a", family="b", normalisation=steps
        )


def test_a_clip_without_a_spine_is_refused_with_the_way_out(clip: np.ndarray):
    clip[0, :, HIPS] = 0
    with pytest.raises(ValueError, match=r"left_hip\+right_hip and .*--normalise centre"):
        normalise(clip, COCO, usual_steps(COCO))
    assert normalise(clip, COCO, CENTRED).any()


@pytest.mark.parametrize("orientation", ["first_frame", "median"])
def test_what_is_2d_is_never_turned(tmp_path: Path, orientation: str):
    dataset = write(tmp_path / "set", "coco-17")
    assert turns(dataset, orientation) is None
    bank = ClipBank(dataset)
    assert bank.oriented(orientation).orientation == orientation


def test_another_up_of_2d_data_changes_the_sign_of_y(tmp_path: Path):
    dataset = write(tmp_path / "set", "coco-17", RAW)
    upright = ClipBank(dataset, layout=replace(COCO, name="upright", up="y"))
    clips = upright.lengths.new_tensor([0])
    times = clips[:, None]
    as_stored = ClipBank(dataset).frames(clips, times).numpy()
    np.testing.assert_array_equal(upright.frames(clips, times).numpy(), as_stored * (1, -1, 1))
