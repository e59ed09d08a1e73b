"""Layouts as YAML: the built-in files, a user's own, what is wrong in one, and registration."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import skelcon
from skelcon.data import (
    CENTRED,
    KINECT_V1,
    LAYOUTS,
    Normalisation,
    SkeletonLayout,
    layout_from,
    normalise,
)
from skelcon.data.draw import seen
from skelcon.data.layouts import mean_of, point_of, to_yaml

OWN = """
name: mine
title: a hand-made one
joints: [hip_left, hip_right, chest, arm_left, arm_right]
bones:
- [chest, hip_left]
- [hip_right, hip_left]
- [arm_left, chest]
- [arm_right, chest]
centre: [hip_left, hip_right]
spine: [[hip_left, hip_right], chest]
shoulders: [arm_right, arm_left]
mirror: [[hip_left, hip_right], [arm_left, arm_right]]
same_as: {chest: spine}
up: -y
unit: mm
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    return path


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(LAYOUTS, "_registered", dict(LAYOUTS._registered))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("kinect-v1", "76a9870e91189846"),
        ("kinect-v1-sdk", "d2c15359c2067a55"),
        ("kinect-v2", "01d0b693b8aaf852"),
    ],
)
def test_what_fingerprints_and_weights_hold_of_a_layout_never_changes(name: str, digest: str):
    text = json.dumps(LAYOUTS[name].to_dict())
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


# Joints at known places of the order, as the makers' documentation has them.
@pytest.mark.parametrize(
    ("name", "joints", "known"),
    [
        ("azure-kinect", 32, {0: "pelvis", 10: "left_thumb", 18: "left_hip", 31: "right_ear"}),
        ("coco-17", 17, {0: "nose", 5: "left_shoulder", 10: "right_wrist", 16: "right_ankle"}),
        ("openpose-body25", 25, {1: "neck", 2: "right_shoulder", 8: "mid_hip", 24: "right_heel"}),
        ("halpe-26", 26, {16: "right_ankle", 17: "head", 18: "neck", 19: "hip", 24: "left_heel"}),
        ("h36m-17", 17, {1: "right_hip", 8: "thorax", 10: "head", 11: "left_shoulder"}),
        (
            "mediapipe-33",
            33,
            {7: "left_ear", 11: "left_shoulder", 21: "left_thumb", 24: "right_hip"},
        ),
        ("smpl-24", 24, {1: "left_hip", 9: "spine3", 15: "head", 16: "left_shoulder"}),
        ("msr-action3d", 20, {0: "left_shoulder", 3: "torso", 6: "hip_centre", 19: "head"}),
    ],
)
def test_the_orders_that_are_shipped(name: str, joints: int, known: dict[int, str]):
    layout = LAYOUTS[name]
    assert layout.num_joints == joints
    assert {at: layout.joints[at] for at in known} == known
    assert layout.title


def test_in_pictures_of_a_camera_y_points_down():
    flat = {name for name, layout in LAYOUTS.items() if layout.dimensions == 2}
    assert flat == {"coco-17", "openpose-body25", "halpe-26"}
    assert {(LAYOUTS[name].unit, LAYOUTS[name].up) for name in flat} == {("px", "-y")}
    assert (LAYOUTS["azure-kinect"].unit, LAYOUTS["mediapipe-33"].unit) == ("mm", "m")


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_printed_of_a_layout_is_a_file_of_it(name: str, tmp_path: Path):
    path = tmp_path / "copy.yaml"
    path.write_text(to_yaml(LAYOUTS[name]))
    assert layout_from(str(path)) == LAYOUTS[name]
    assert layout_from(str(path)).title == LAYOUTS[name].title


def test_a_file_of_ones_own(own: Path):
    layout = layout_from(str(own))
    assert layout.joints[2] == "chest"
    assert (layout.centre, layout.spine, layout.shoulders) == ((0, 1), ((0, 1), 2), (4, 3))
    assert layout.mirrored == (1, 0, 2, 4, 3)
    assert [layout.side(joint) for joint in range(5)] == [0, 1, 2, 0, 1]
    assert SkeletonLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout
    assert "mine" not in LAYOUTS


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("[chest, hip_left]", "[chst, hip_left]", "line 6: bones: unknown joint 'chst': did you"),
        ("centre: [hip_left", "centre: [hip", "line 10: centre: unknown joint 'hip'"),
        ("right], chest]\nsh", "right], [hip_right, hip_left]]\nsh", "line 11: spine: both are"),
        ("[arm_right, arm_left]", "[arm_left, arm_left]", "shoulders: both are 'arm_left'"),
        ("chest]\nsh", "ches]\nsh", "line 11: spine: unknown joint 'ches'"),
        ("shoulders: [arm_right, ", "shoulders: [arm_rigth, ", "did you mean 'arm_right'?"),
        ("[arm_left, arm_right]]", "[arm_left, arm]]", "line 13: mirror: unknown joint 'arm'"),
        ("{chest: spine}", "{breast: spine}", "line 14: same_as: unknown joint 'breast'"),
        ("{chest: spine}", "{chest: arm_left}", "'chest' is called 'arm_left', and so is another"),
        ("up: -y", "up: x", "line 15: up: Input should be 'y', '-y', 'z' or '-z' (given: 'x')"),
        ("unit: mm", "units: mm", "line 16: unknown key 'units': did you mean 'unit'?"),
        ("unit: mm", "unit: mm\ndimensions: 4", "line 17: dimensions: Input should be 2 or 3"),
        ("name: mine", "name: Mine One", "line 2: name: "),
        ("arm_right]\nbones", "arm_left]\nbones", "line 4: joints: 'arm_left' is listed twice"),
        ("[hip_right, hip_left]\n- ", "[hip_right, chest]\n- ", None),
        ("[arm_left, chest]\n", "[chest, arm_left]\n", "'chest' has two parents"),
        ("- [arm_left, chest]\n", "", "need a parent, and hip_left, arm_left have none"),
        ("[chest, hip_left]", "[chest, arm_left]", "must form one tree, and have a cycle"),
        ("mirror: [[hip_left, hip_right], [arm_left, arm_right]]\n", "", None),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(
    own: Path, before: str, after: str, named: str | None, user_error: Callable[..., str]
):
    assert before in OWN
    own.write_text(OWN.replace(before, after, 1))
    if named is None:
        assert layout_from(str(own)).num_joints == 5
    else:
        user_error(lambda: layout_from(str(own)), named, own)


def test_without_pairs_the_names_give_the_sides(own: Path, user_error: Callable[..., str]):
    text = OWN.replace("arm_right", "arm_rihgt").replace("mirror:", "#")
    own.write_text(text)
    user_error(lambda: layout_from(str(own)), "line 4", "'arm_left' has no 'arm_right'", "mirror")


@pytest.mark.parametrize(
    "sides",
    [
        ("l_arm", "r_arm"),
        ("arm_L", "arm_R"),
        ("larm", "rarm"),
        ("LArm", "RArm"),
        ("LeftArm", "RightArm"),
        ("ARM LEFT", "ARM RIGHT"),
        ("bip l arm", "bip r arm"),
    ],
)
def test_common_names_of_sides_make_pairs(own: Path, sides: tuple[str, str]):
    lines = [line for line in OWN.splitlines() if not line.startswith("mirror")]
    text = "\n".join(lines).replace("arm_left", sides[0]).replace("arm_right", sides[1])
    own.write_text(text)
    layout = layout_from(str(own))
    assert layout.mirrored == (1, 0, 2, 4, 3)
    assert [layout.side(joint) for joint in range(5)] == [0, 1, 2, 0, 1]


def test_names_without_a_partner_make_no_pair(own: Path):
    lines = [line for line in OWN.splitlines() if not line.startswith("mirror")]
    text = "\n".join(lines).replace("arm_left", "lower").replace("arm_right", "tail")
    own.write_text(text)
    layout = layout_from(str(own))
    assert (layout.mirror, layout.mirrored) == (None, (1, 0, 2, 3, 4))


def test_a_file_that_is_not_there_and_a_name_that_is_taken(
    own: Path, user_error: Callable[..., str]
):
    user_error(lambda: layout_from("not/there.yaml"), "cannot read 'not/there.yaml'")
    own.write_text(OWN.replace("name: mine", "name: coco-17"))
    user_error(lambda: layout_from(str(own)), own, "'coco-17'", "choose another name")
    user_error(lambda: layout_from("mine"), "unknown skeleton layout 'mine'")


def test_a_plugin_registers_a_file_a_mapping_or_a_layout(own: Path, user_error: Callable[..., str]):
    layout = skelcon.register_layout(own)
    assert layout_from("mine") is layout
    assert skelcon.register_layout(yaml.safe_load(OWN)) is layout
    assert skelcon.register_layout(replace(layout, title="")) is layout
    user_error(lambda: skelcon.register_layout(replace(layout, unit="cm")), "'mine'", "a plugin")
    user_error(lambda: skelcon.register_layout(replace(layout, name="kinect-v1")), "skelcon")
    user_error(
        lambda: skelcon.register_layout({**yaml.safe_load(OWN), "name": "m2", "centre": "chst"}),
        "layout 'm2': centre: unknown joint 'chst': did you mean 'chest'?",
    )
    other = replace(KINECT_V1, name="other", joints=("left_eye", *KINECT_V1.joints[1:]))
    user_error(lambda: skelcon.register_layout(other), "'left_eye' has no 'right_eye'")
    assert list(LAYOUTS)[-1] == "mine"
    assert "other" not in LAYOUTS


@pytest.mark.parametrize(
    "change", [{"centre": 20}, {"spine": ((0, -1), 2)}, {"shoulders": ((), 1)}]
)
def test_points_that_are_no_joints_are_refused(change: dict[str, object]):
    with pytest.raises(ValueError, match="must be joints"):
        replace(KINECT_V1, **change)


def test_a_point_is_a_joint_or_the_mean_of_some_that_are_there():
    random = np.random.default_rng(0)
    bodies = random.normal(size=(2, 5, 4, 3))
    np.testing.assert_array_equal(point_of(bodies, 2), bodies[:, :, 2])
    np.testing.assert_array_equal(mean_of(bodies[:, :, 2:3]), bodies[:, :, 2])
    bodies[1, 3, 0] = 0
    found = point_of(bodies, (0, 3))
    assert not found[1, 3].any()
    found[1, 3] = (bodies[1, 3, 0] + bodies[1, 3, 3]) / 2
    np.testing.assert_allclose(found, (bodies[:, :, 0] + bodies[:, :, 3]) / 2)


def test_means_of_joints_centre_and_turn_a_clip(own: Path):
    layout = layout_from(str(own))
    clip = np.random.default_rng(1).normal(size=(2, 6, 5, 3))
    clip[0, 2, 0] = 0  # one hip is missing: the last centre is held
    centred = normalise(clip, layout, CENTRED)
    expected = (clip[0, :, 0] + clip[0, :, 1]) / 2
    expected[2] = expected[1]
    there = clip.any(axis=-1, keepdims=True)
    np.testing.assert_allclose(centred, (clip - expected[:, None]) * there)
    turned = normalise(clip, layout, Normalisation(shoulders_to_x=False))
    spine = turned[0, 0, 2] - (turned[0, 0, 0] + turned[0, 0, 1]) / 2
    np.testing.assert_allclose(spine[:2], 0, atol=1e-9)
    assert spine[2] > 0


def test_a_picture_has_the_layouts_axis_up(own: Path):
    clip = np.random.default_rng(2).normal(size=(1, 3, 5, 3))
    points = {
        up: seen(clip, replace(layout_from(str(own)), up=up), CENTRED).points[..., 1]
        for up in ("y", "-y", "z", "-z")
    }
    for up, axis in (("y", 1), ("z", 2)):
        np.testing.assert_array_equal(points[up], clip[..., axis])
        np.testing.assert_array_equal(points[f"-{up}"], -clip[..., axis])


def test_the_example_of_the_readme_is_a_layout(tmp_path: Path):
    text = (Path(skelcon.__file__).parent / "README.md").read_text()
    (example,) = re.findall(r"```yaml\n(name: mine\n.*?)```", text, re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(example)
    assert layout_from(str(path)).mirrored == (0, 1, 2, 4, 3, 6, 5)
