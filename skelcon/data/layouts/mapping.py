"""From the joints of one layout to the joints of another, and how the axes are turned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelcon.data.layouts.layout import Point, SkeletonLayout
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
"""A joint -> what all layouts call it; ``same_as`` of a layout has priority."""

MEANS = {
    "hip_centre": ("left_hip", "right_hip"),
    "shoulder_centre": ("left_shoulder", "right_shoulder"),
}
"""Joints that a layout need not have: their mean is the same place, which sensors estimate so."""

# To y up, as proper rotations. What was recorded with a camera has x to the right and z away from
# it where y is down, and x to the left where y is up: who faces the camera still does. An image has
# no depth that could turn with it: of its two axes only y changes its sign.
_TO_Y = {
    "y": np.eye(3),
    "-y": np.diag([-1.0, -1.0, 1.0]),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "-z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
}
_FLIP = np.diag([1.0, -1.0, 1.0])


def common_names(layout: SkeletonLayout) -> tuple[str, ...]:
    """For each joint the name that it shares with the same joint of other layouts."""
    own = {**SYNONYMS, **dict(layout.same_as)}
    return tuple(own.get(name, name) for name in layout.joints)


def joint_mapping(source: SkeletonLayout, target: SkeletonLayout) -> tuple[Point, ...]:
    """For each joint of ``target`` the joint of ``source``, or the mean of two, that replaces it.

    Joints belong together by their names (:func:`common_names`); :data:`MEANS` are taken where
    ``source`` has no such joint. What is mapped is turned by :func:`axes_turned`.

    Raises:
        UserError: if a joint of ``target`` has no counterpart in ``source``.
    """
    if source == target:
        return tuple(range(target.num_joints))
    what = f"no mapping from skeleton layout '{source.name}' to '{target.name}'"
    if source.dimensions != target.dimensions:
        raise UserError(f"{what}: one has {source.dimensions}, one {target.dimensions} dimensions")
    points = _points(source)
    wanted = common_names(target)
    missing = [
        joint for joint, name in zip(target.joints, wanted, strict=True) if name not in points
    ]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise UserError(
            f"{what}: '{source.name}' has no {shown} ('same_as' in a layout's file says what a "
            "joint is called elsewhere)"
        )
    return tuple(points[name] for name in wanted)


def _points(layout: SkeletonLayout) -> dict[str, Point]:
    """Common name -> where a layout has it; of two joints of one name the first."""
    joints: dict[str, int] = {}
    for at, name in enumerate(common_names(layout)):
        joints.setdefault(name, at)
    means: dict[str, Point] = {
        name: tuple(joints[part] for part in parts)
        for name, parts in MEANS.items()
        if all(part in joints for part in parts)
    }
    return means | joints


def axes_turned(source: SkeletonLayout, target: SkeletonLayout) -> NDArray[np.float64] | None:
    """The matrix R that turns the axes of ``source`` to the axes of ``target``; None if they agree.

    A joint x of ``source`` is R x, with entries 0, 1 and -1. R is a rotation; in 2D it changes the
    sign of y.
    """
    if source.up == target.up:
        return None
    if source.dimensions == 2:
        return _FLIP
    turn: NDArray[np.float64] = _TO_Y[target.up].T @ _TO_Y[source.up]
    return turn


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
