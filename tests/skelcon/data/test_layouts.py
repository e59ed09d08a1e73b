import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from skelcon.data import KINECT_V1, KINECT_V2, LAYOUTS, SkeletonLayout, layout_named

Bones = tuple[tuple[int, int], ...]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_one_tree(layout: SkeletonLayout):
    parents = dict(layout.bones)
    assert len(layout.bones) == layout.num_joints - 1
    for joint in range(layout.num_joints):
        at, steps = joint, 0
        while at in parents:
            at, steps = parents[at], steps + 1
            assert steps < layout.num_joints
        assert at == layout.root


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_alignment_is_between_the_joints_that_it_names(layout: SkeletonLayout):
    assert len(set(layout.joints)) == layout.num_joints
    right, left = (layout.joints[joint] for joint in layout.shoulders)
    assert (right, left) == ("right_shoulder", "left_shoulder")
    assert layout_named(layout.name) is layout


def test_the_sizes_and_trunks():
    assert (KINECT_V1.num_joints, KINECT_V2.num_joints) == (20, 25)
    assert [KINECT_V2.joints[joint] for joint in KINECT_V2.spine] == ["spine_base", "spine_mid"]
    assert [KINECT_V1.joints[joint] for joint in KINECT_V1.spine] == ["hip_centre", "spine"]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_comes_back_from_json(layout: SkeletonLayout):
    assert SkeletonLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_an_unknown_layout_names_the_nearest(user_error: Callable[..., str]):
    user_error(lambda: layout_named("kinect-v3"), "'kinect-v3'", "kinect-v2")
    user_error(lambda: layout_named("?"), "kinect-v1", "kinect-v2")


@pytest.mark.parametrize(
    "bones",
    [
        (),
        ((1, 0), (2, 1)),
        ((1, 0), (2, 1), (3, 1), (3, 2)),
        ((0, 1), (1, 2), (2, 3), (3, 0)),
        ((1, 2), (2, 1), (3, 0)),
        ((1, 0), (2, 1), (3, 4)),
        ((1, 0), (2, 1), (3, -2)),
        ((1, 0), (2, 1), (3, 1), (4, 3)),
    ],
    ids=["none", "two roots", "two parents", "no root", "a cycle", "from nowhere", "negative",
         "to nowhere"],
)  # fmt: skip
def test_bones_that_are_no_tree_are_refused(tiny: SkeletonLayout, bones: Bones):
    with pytest.raises(ValueError, match="tree"):
        replace(tiny, bones=bones)
