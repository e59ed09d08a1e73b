"""Which joint of one layout stands for which of another."""

from __future__ import annotations

from skelcon.data.layouts.layout import SkeletonLayout
from skelcon.errors import UserError

# The second Kinect renamed the joints of the trunk and added five: neck, hand tips and thumbs. A
# limb's joints kept their names. On the line from the hips (0) to the head (1) the first sensor
# has its shoulder centre at 0.69; the second has spine_shoulder at 0.74, from which the arms hang
# as from the shoulder centre, and the neck at 0.84. The spine is the joint between shoulders and
# hips in both, but not at the same height: 0.11 against 0.43. (Medians over UTD-MHAD and a video
# of PKU-MMD.)
SYNONYMS = {
    "spine_shoulder": "shoulder_centre",
    "spine_mid": "spine",
    "spine_base": "hip_centre",
    "mid_hip": "hip_centre",
    "pelvis": "hip_centre",
}
"""A joint -> what all layouts call it; ``same_as`` of a layout goes before."""


def common_names(layout: SkeletonLayout) -> tuple[str, ...]:
    """For each joint the name that it shares with the same joint of other layouts."""
    own = {**SYNONYMS, **dict(layout.same_as)}
    return tuple(own.get(name, name) for name in layout.joints)


def joint_mapping(source: SkeletonLayout, target: SkeletonLayout) -> tuple[int, ...]:
    """For each joint of ``target`` the joint of ``source`` that replaces it.

    ``clip[..., joint_mapping(source, target), :]`` is a clip of ``source`` on ``target``. Joints
    belong together by their names (:func:`common_names`).

    Raises:
        UserError: if a joint of ``target`` has no counterpart in ``source``.
    """
    if source == target:
        return tuple(range(target.num_joints))
    what = f"no mapping from skeleton layout '{source.name}' to '{target.name}'"
    if source.dimensions != target.dimensions:
        raise UserError(f"{what}: one has {source.dimensions}, one {target.dimensions} dimensions")
    names = common_names(source)
    wanted = common_names(target)
    missing = [
        joint for joint, name in zip(target.joints, wanted, strict=True) if name not in names
    ]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise UserError(
            f"{what}: '{source.name}' has no {shown} ('same_as' in a layout's file says what a "
            "joint is called elsewhere)"
        )
    return tuple(names.index(name) for name in wanted)


def common_layout(one: SkeletonLayout, other: SkeletonLayout) -> SkeletonLayout:
    """The layout that clips of both can be mapped to: the one with fewer joints.

    Of two that differ in their order only it is the one whose name comes first.

    Raises:
        UserError: if neither can be mapped to the other.
    """
    target, source = sorted((one, other), key=lambda each: (each.num_joints, each.name))
    try:
        joint_mapping(source, target)
    except UserError as error:
        raise UserError(
            f"skeleton layouts '{one.name}' and '{other.name}' have no common layout: {error}"
        ) from None
    return target
