"""Clips on another layout whose axes differ, or that has a joint where the data has two."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skelcon.data import (
    CENTRED,
    KINECT_V1,
    KINECT_V2,
    LAYOUTS,
    ClipBank,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
    joint_mapping,
    normalise,
)
from skelcon.data.importers import RAW
from skelcon.data.layouts import axes_turned
from skelcon.data.synthetic import Take, render

UPS = {"y": (0, 1, 0), "-y": (0, -1, 0), "z": (0, 0, 1), "-z": (0, 0, -1)}


def layout(up: str, **changes: object) -> SkeletonLayout:
    return SkeletonLayout.from_dict({**KINECT_V2.to_dict(), "up": up, **changes})


@pytest.mark.parametrize("source", UPS)
@pytest.mark.parametrize("target", UPS)
def test_up_becomes_up_by_a_rotation(source: str, target: str):
    turn = axes_turned(layout(source), layout(target))
    if source == target:
        assert turn is None
        return
    assert turn is not None
    np.testing.assert_array_equal(turn @ UPS[source], UPS[target])
    np.testing.assert_array_equal(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == 1


def test_who_faces_a_camera_of_either_kind_still_does():
    """Depth points away from the camera in both."""
    turn = axes_turned(LAYOUTS["azure-kinect"], KINECT_V2)
    np.testing.assert_array_equal(turn, np.diag([-1, -1, 1]))


def written(
    path: Path, of: SkeletonLayout, clip: np.ndarray, steps: Normalisation
) -> SkeletonDataset:
    with DatasetWriter(
        path, name="a", layout=of, class_names=["one"], family="test", normalisation=steps
    ) as writer:
        writer.add(ClipInfo("clip", 0), normalise(clip, of, steps))
        return writer.close({})


def seen(bank: ClipBank) -> np.ndarray:
    one = torch.tensor([0])
    return bank.resized(one, torch.zeros_like(one), bank.lengths, int(bank.lengths[0])).numpy()


@pytest.mark.parametrize("steps", [RAW, CENTRED], ids=repr)
@pytest.mark.parametrize("orientation", ["as_recorded", "first_frame", "median"])
def test_clips_of_other_axes_are_seen_like_those_of_the_layout(
    tmp_path: Path, steps: Normalisation, orientation: str
):
    """However they are turned."""
    clip, other = render(Take(1, 2, 1, 1, 1), noise=False)[:, :20], layout("z", name="up-z")
    turn = axes_turned(KINECT_V2, other)
    same = written(tmp_path / "same", KINECT_V2, clip, steps)
    turned = written(tmp_path / "turned", other, clip @ turn.T, steps)
    bank = ClipBank(turned, layout=KINECT_V2).oriented(orientation)
    expected = seen(ClipBank(same).oriented(orientation))
    np.testing.assert_allclose(seen(bank), expected, atol=1e-5)


def test_where_the_spine_was_turned_to_z_z_is_up_whatever_was(tmp_path: Path):
    clip, steps = render(Take(1, 2, 1, 1, 1), noise=False)[:, :20], Normalisation()
    dataset = written(tmp_path / "turned", layout("-y", name="down"), clip, steps)
    np.testing.assert_array_equal(
        seen(ClipBank(dataset, layout=KINECT_V2)), seen(ClipBank(dataset))
    )


def test_a_mean_of_two_joints_stands_for_one_that_the_source_has_not(tmp_path: Path):
    azure = LAYOUTS["azure-kinect"]
    mapping = joint_mapping(azure, KINECT_V1)
    named = dict(zip(KINECT_V1.joints, map(azure.named, mapping), strict=True))
    assert {joint: name for joint, name in named.items() if joint != name} == {
        "shoulder_centre": "left_shoulder+right_shoulder",
        "spine": "spine_navel",
        "hip_centre": "pelvis",
    }
    assert len(joint_mapping(azure, KINECT_V2)) == 25
    clip = np.random.default_rng(0).normal(1, 0.3, (1, 9, 32, 3))
    left, right = (azure.joints.index(f"{side}_shoulder") for side in ("left", "right"))
    clip[0, 3, left] = 0
    bank = ClipBank(written(tmp_path / "azure", azure, clip, RAW), layout=KINECT_V1)
    found = seen(bank)[0, 0]
    centre = KINECT_V1.joints.index("shoulder_centre")
    expected = clip[0][:, [left, right]].mean(axis=1) * (-1, -1, 1)
    expected[3] = 0  # the mean of what is missing is missing
    np.testing.assert_allclose(found[:, centre], expected, atol=1e-6)
    np.testing.assert_allclose(found[:, 0], clip[0, :, 26] * (-1, -1, 1), atol=1e-6)


def test_smpl_is_seen_as_the_first_kinect():
    smpl = LAYOUTS["smpl-24"]
    mapping = joint_mapping(smpl, KINECT_V1)
    named = dict(zip(KINECT_V1.joints, map(smpl.named, mapping), strict=True))
    trunk = {"shoulder_centre": "left_shoulder+right_shoulder", "spine": "spine2"}
    trunk["hip_centre"] = "pelvis"
    assert {joint: name for joint, name in named.items() if joint != name} == trunk
