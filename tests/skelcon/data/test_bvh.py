"""BVH: positions by forward kinematics, against a slow and plain reference."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from own_recordings import imported

from skelcon.data.importers.own.bvh import layout_of, plain_name, read_clip, read_skeleton

HEAD = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Neck
  {
    OFFSET 0 50 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT LeftArm
    {
      OFFSET 20 0 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0 -60 0
      }
    }
    JOINT RightArm
    {
      OFFSET -20 0 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0 -60 0
      }
    }
  }
}
MOTION
"""
JOINTS = ("hips", "neck", "left_arm", "left_arm_end", "right_arm", "right_arm_end")
PARENTS = (-1, 0, 1, 2, 1, 4)
OFFSETS = ((0, 0, 0), (0, 50, 0), (20, 0, 0), (0, -60, 0), (-20, 0, 0), (0, -60, 0))


def text(motion: np.ndarray) -> str:
    rows = "\n".join(" ".join(f"{x:.4f}" for x in row) for row in motion)
    return f"{HEAD}Frames: {len(motion)}\nFrame Time: 0.0333\n{rows}\n"


def motion(frames: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-90, 90, (frames, 15)).round(4)


def turned(axis: str, degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(
        {
            "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def reference(row: np.ndarray) -> list[np.ndarray]:
    """Where the six joints are in one frame, by products of 4 x 4 matrices."""
    angles = {0: row[3:6], 1: row[6:9], 2: row[9:12], 4: row[12:15]}
    world: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, 3] = row[:3] if parent < 0 else OFFSETS[joint]
        if joint in angles:
            z, x, y = angles[joint]
            local[:3, :3] = turned("Z", z) @ turned("X", x) @ turned("Y", y)
        world.append(local if parent < 0 else world[parent] @ local)
    return [matrix[:3, 3] for matrix in world]


def test_positions_are_those_of_the_reference(tmp_path: Path):
    file = tmp_path / "clip.bvh"
    file.write_text(text(motion()))
    clip = read_clip(file)
    wanted = np.array([reference(row) for row in motion()])
    np.testing.assert_allclose(clip.positions, wanted, atol=1e-9)


def test_the_hierarchy_is_a_layout(tmp_path: Path):
    file = tmp_path / "clip.bvh"
    file.write_text(text(motion()))
    layout = layout_of(read_skeleton(file))
    assert layout.joints == JOINTS
    assert dict(layout.bones) == {v: parent for v, parent in enumerate(PARENTS) if parent >= 0}
    assert (layout.centre, layout.spine, layout.shoulders) == (0, (0, 1), (4, 2))
    assert layout.mirrored == (0, 1, 4, 5, 2, 3)


def test_clips_are_imported_in_metres(tmp_path: Path, user_error: Callable[..., str]):
    folder = tmp_path / "clips"
    folder.mkdir()
    for at in range(4):
        (folder / f"dance_{at}.bvh").write_text(text(motion(seed=at)))
    own = {"files": "{label}_{subject}.bvh", "split": "subject:odd"}
    user_error(lambda: imported(folder, tmp_path / "out", own), "--unit")
    dataset, _ = imported(folder, tmp_path / "out", {**own, "unit": "cm"})
    assert dataset.layout.name == "bvh"
    wanted = np.array(reference(motion(seed=3)[2])) / 100
    np.testing.assert_allclose(dataset.clip(3)[0, 2], wanted - wanted[0], atol=1e-6)
    layout = {
        "name": "arms",
        "joints": ["root", "left_hand", "right_hand", "neck"],
        "bones": [["neck", "root"], ["left_hand", "neck"], ["right_hand", "neck"]],
        "centre": "root",
        "spine": ["root", "neck"],
        "shoulders": ["right_hand", "left_hand"],
    }
    (tmp_path / "arms.yaml").write_text(json.dumps(layout))
    names = {"root": "Hips", "left_hand": "LeftArm_end", "right_hand": "RightArmEnd"}
    own = {**own, "unit": "cm", "layout": str(tmp_path / "arms.yaml"), "joints": names}
    some, _ = imported(folder, tmp_path / "some", own)
    np.testing.assert_array_equal(some.clip(1), dataset.clip(1)[:, :, [0, 3, 5, 1]])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Frames: 4", "Frames: 5", "says that it has 5 frames, and has 4"),
        ("MOTION", "MOTIO", "not a keyword of BVH"),
        ("OFFSET 0 50 0", "OFFSET 0 50", "three numbers"),
        ("Zrotation", "Wrotation", "unknown channel 'Wrotation'"),
        ("}\nMOTION", "MOTION", "not closed"),
        ("RightArm", "LeftArm", "two of its joints have one name"),
        ("Time: 0.0333\n", "Time: 0.0333\n1 2\n", "2 values, not the 15"),
    ],
)
def test_damage_is_reported(tmp_path: Path, old: str, new: str, reason: str):
    whole = text(motion())
    assert old in whole
    file = tmp_path / "clip.bvh"
    file.write_text(whole.replace(old, new, 1))
    with pytest.raises(ValueError, match=reason):
        read_clip(file)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("LeftForeArm", "left_fore_arm"), ("mixamorig:RHip", "right_hip"), ("Spine 1", "spine_1")],
)
def test_names_of_joints(name: str, plain: str):
    assert plain_name(name) == plain
