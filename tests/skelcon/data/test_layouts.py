import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from skelcon.data import (
    KINECT_V1,
    KINECT_V1_SDK,
    KINECT_V2,
    LAYOUTS,
    Normalisation,
    SkeletonLayout,
    common_layout,
    joint_mapping,
    layout_from,
    normalise,
)
from skelcon.data.synthetic import Take, render

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
    assert layout_from(layout.name) is layout


def test_the_sizes_and_trunks():
    assert (KINECT_V1.num_joints, KINECT_V2.num_joints) == (20, 25)
    assert [KINECT_V2.joints[joint] for joint in KINECT_V2.spine] == ["spine_base", "spine_mid"]
    assert [KINECT_V1.joints[joint] for joint in KINECT_V1.spine] == ["hip_centre", "spine"]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_comes_back_from_json(layout: SkeletonLayout):
    assert SkeletonLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_an_unknown_layout_names_the_nearest(user_error: Callable[..., str]):
    user_error(lambda: layout_from("kinect-v3"), "'kinect-v3'", "kinect-v2")
    user_error(lambda: layout_from("?"), "kinect-v1", "kinect-v2")


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
    ids=[
        "none",
        "two roots",
        "two parents",
        "no root",
        "a cycle",
        "from nowhere",
        "negative",
        "to nowhere",
    ],
)
def test_bones_that_are_no_tree_are_refused(tiny: SkeletonLayout, bones: Bones):
    with pytest.raises(ValueError, match="tree"):
        replace(tiny, bones=bones)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_mapped_to_itself_joint_by_joint(layout: SkeletonLayout):
    read_again = SkeletonLayout.from_dict(layout.to_dict())
    assert joint_mapping(read_again, layout) == tuple(range(layout.num_joints))
    assert common_layout(read_again, layout) == layout


def test_the_common_layout_of_both_sensors_is_the_first(tiny: SkeletonLayout):
    assert common_layout(KINECT_V1, KINECT_V2) == KINECT_V1
    assert common_layout(KINECT_V2, KINECT_V1) == KINECT_V1


def test_the_two_orders_of_the_first_sensor_are_mapped_by_name():
    there, back = (joint_mapping(KINECT_V1, KINECT_V1_SDK), joint_mapping(KINECT_V1_SDK, KINECT_V1))
    assert [KINECT_V1.joints[at] for at in there] == list(KINECT_V1_SDK.joints)
    assert [there[at] for at in back] == list(range(KINECT_V1.num_joints))
    named = {
        layout: {(layout.joints[a], layout.joints[b]) for a, b in layout.bones}
        for layout in (KINECT_V1, KINECT_V1_SDK)
    }
    assert named[KINECT_V1] == named[KINECT_V1_SDK]
    for one, other in ((KINECT_V1, KINECT_V1_SDK), (KINECT_V1_SDK, KINECT_V1)):
        assert common_layout(one, other) == KINECT_V1
    assert common_layout(KINECT_V2, KINECT_V1_SDK) == KINECT_V1_SDK


def test_layouts_without_a_way_between_them(tiny: SkeletonLayout, user_error: Callable[..., str]):
    user_error(
        lambda: joint_mapping(KINECT_V1, KINECT_V2),
        "'kinect-v1' to 'kinect-v2'",
        "'kinect-v1' has no neck, left_hand_tip, left_thumb, right_hand_tip, right_thumb",
    )
    user_error(lambda: joint_mapping(KINECT_V1, LAYOUTS["coco-17"]), "one has 3, one 2 dimensions")
    user_error(lambda: joint_mapping(tiny, KINECT_V1), "'tiny'", "'kinect-v1'")
    user_error(lambda: common_layout(tiny, KINECT_V1), "'tiny'", "'kinect-v1'")


def test_a_layout_is_its_joints_and_bones_not_its_name():
    renamed = replace(KINECT_V2, joints=KINECT_V2.joints[::-1])
    assert joint_mapping(renamed, KINECT_V2) == tuple(reversed(range(25)))


def test_joints_of_other_names_are_mapped_by_what_they_are_called_elsewhere():
    msr = LAYOUTS["msr-action3d"]
    there, back = joint_mapping(KINECT_V1, msr), joint_mapping(msr, KINECT_V1)
    assert [there[at] for at in back] == list(range(20))
    called = {KINECT_V1.joints[there[at]]: name for at, name in enumerate(msr.joints)}
    assert {a: b for a, b in called.items() if a != b} == {
        "shoulder_centre": "neck",
        "spine": "torso",
    }
    assert common_layout(msr, KINECT_V1) == common_layout(KINECT_V1, msr) == KINECT_V1


V2_TO_V1 = joint_mapping(KINECT_V2, KINECT_V1)


def path_between(layout: SkeletonLayout, one: int, other: int) -> list[int]:
    """The joints on the way from ``one`` to ``other`` along the bones, both included."""
    parents = dict(layout.bones)

    def to_root(joint: int) -> list[int]:
        return [joint, *to_root(parents[joint])] if joint in parents else [joint]

    up, down = to_root(one), to_root(other)
    while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
        up.pop()
        down.pop()
    return [*up, *down[-2::-1]]


def test_a_mapped_limb_keeps_its_name_and_side():
    assert len(set(V2_TO_V1)) == KINECT_V1.num_joints
    trunk = {"shoulder_centre", "spine", "hip_centre"}
    for name, at in zip(KINECT_V1.joints, V2_TO_V1, strict=True):
        assert (KINECT_V2.joints[at] == name) == (name not in trunk), name


def test_mapped_bones_are_chains_of_bones():
    """No mapped joint lies inside another's chain; all chains but the neck's are single bones."""
    for child, parent in KINECT_V1.bones:
        path = path_between(KINECT_V2, V2_TO_V1[child], V2_TO_V1[parent])
        assert not set(path[1:-1]) & set(V2_TO_V1)
        inner = [KINECT_V2.joints[joint] for joint in path[1:-1]]
        assert inner == (["neck"] if KINECT_V1.joints[child] == "head" else [])


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    """A clip (M, T, 25, 3) of a body whose bones keep their lengths."""
    return render(Take(1, 2, 1, 1, 3), noise=False)


def test_mapped_bones_have_the_lengths_of_their_chains(seen: np.ndarray):
    mapped = seen[:, :, V2_TO_V1]
    for child, parent in KINECT_V1.bones:
        length = np.linalg.norm(mapped[:, :, child] - mapped[:, :, parent], axis=-1)
        path = path_between(KINECT_V2, V2_TO_V1[child], V2_TO_V1[parent])
        steps = np.diff(seen[:, :, path], axis=2)
        chain = np.linalg.norm(steps, axis=-1).sum(axis=-1)
        np.testing.assert_allclose(chain, chain[:, :1].repeat(chain.shape[1], axis=1))
        assert (length <= chain * (1 + 1e-9)).all()
        # A neck bends, other bones do not.
        assert (length >= chain * (0.9 if len(path) > 2 else 1 - 1e-9)).all()


def test_normalising_and_mapping_can_change_places(seen: np.ndarray):
    """Centre, spine and shoulders are the same joints in both layouts."""
    options = Normalisation()
    before = normalise(seen[:, :, V2_TO_V1], KINECT_V1, options)
    after = normalise(seen, KINECT_V2, options)[:, :, V2_TO_V1]
    assert np.abs(before - seen[:, :, V2_TO_V1]).max() > 0.1
    np.testing.assert_allclose(before, after, atol=1e-9)
