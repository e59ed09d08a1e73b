"""Skeleton layouts as data: the joints, the bones, and the bones that alignment uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skelcon.errors import UserError, nearest


@dataclass(frozen=True)
class SkeletonLayout:
    """The joints of one body and how they are connected.

    Attributes:
        name: what a file's header calls it.
        joints: the name of each of the V joints, in file order.
        bones: (child, parent) joint indices; a tree that covers all joints but the root.
        centre: the joint that normalisation moves to the origin.
        spine: (bottom, top) joints of the bone that is turned to z.
        shoulders: (right, left) joints of the line that is turned to x.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    centre: int
    spine: tuple[int, int]
    shoulders: tuple[int, int]

    def __post_init__(self) -> None:
        parents = dict(self.bones)
        joints = set(range(len(self.joints)))
        reached = joints - set(parents)
        one_root = len(reached) == 1
        for _ in joints:
            reached |= {child for child, parent in self.bones if parent in reached}
        if len(parents) != len(self.bones) or not one_root or reached != joints:
            raise ValueError(f"layout '{self.name}': the bones must form one tree")

    def __repr__(self) -> str:
        return f"SkeletonLayout('{self.name}': {self.num_joints} joints)"

    @property
    def num_joints(self) -> int:
        """V, the number of joints of a body."""
        return len(self.joints)

    @property
    def root(self) -> int:
        """The joint that has no parent."""
        children = {child for child, _ in self.bones}
        return next(v for v in range(self.num_joints) if v not in children)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """For each joint that of the other side by its name; a joint of the middle is its own.

        >>> KINECT_V2.joints[KINECT_V2.mirrored[4]]
        'right_shoulder'
        """
        sides = {"left": "right", "right": "left"}
        names = (
            "_".join(sides.get(word, word) for word in name.split("_")) for name in self.joints
        )
        return tuple(self.joints.index(name) for name in names)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> SkeletonLayout:
        """The layout that :meth:`to_dict` described."""
        return SkeletonLayout(
            name=str(values["name"]),
            joints=tuple(values["joints"]),
            bones=tuple((int(a), int(b)) for a, b in values["bones"]),
            centre=int(values["centre"]),
            spine=(int(values["spine"][0]), int(values["spine"][1])),
            shoulders=(int(values["shoulders"][0]), int(values["shoulders"][1])),
        )


KINECT_V2 = SkeletonLayout(
    name="kinect-v2",
    joints=(
        "spine_base",
        "spine_mid",
        "neck",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "left_hand",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "right_hand",
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_foot",
        "right_hip",
        "right_knee",
        "right_ankle",
        "right_foot",
        "spine_shoulder",
        "left_hand_tip",
        "left_thumb",
        "right_hand_tip",
        "right_thumb",
    ),
    bones=(
        (0, 1),
        (1, 20),
        (2, 20),
        (3, 2),
        (4, 20),
        (5, 4),
        (6, 5),
        (7, 6),
        (8, 20),
        (9, 8),
        (10, 9),
        (11, 10),
        (12, 0),
        (13, 12),
        (14, 13),
        (15, 14),
        (16, 0),
        (17, 16),
        (18, 17),
        (19, 18),
        (21, 22),
        (22, 7),
        (23, 24),
        (24, 11),
    ),
    centre=1,
    spine=(0, 1),
    shoulders=(8, 4),
)
"""The 25 joints of NTU RGB+D and PKU-MMD."""

KINECT_V1 = SkeletonLayout(
    name="kinect-v1",
    joints=(
        "head",
        "shoulder_centre",
        "spine",
        "hip_centre",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "left_hand",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "right_hand",
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_foot",
        "right_hip",
        "right_knee",
        "right_ankle",
        "right_foot",
    ),
    bones=(
        (0, 1),
        (2, 1),
        (3, 2),
        (4, 1),
        (5, 4),
        (6, 5),
        (7, 6),
        (8, 1),
        (9, 8),
        (10, 9),
        (11, 10),
        (12, 3),
        (13, 12),
        (14, 13),
        (15, 14),
        (16, 3),
        (17, 16),
        (18, 17),
        (19, 18),
    ),
    centre=2,
    spine=(3, 2),
    shoulders=(8, 4),
)
"""The 20 joints of UTD-MHAD, in its file order."""

KINECT_V1_SDK = SkeletonLayout(
    name="kinect-v1-sdk",
    joints=(
        "hip_centre",
        "spine",
        "shoulder_centre",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "left_hand",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "right_hand",
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_foot",
        "right_hip",
        "right_knee",
        "right_ankle",
        "right_foot",
    ),
    bones=(
        (3, 2),
        (1, 2),
        (0, 1),
        (4, 2),
        (5, 4),
        (6, 5),
        (7, 6),
        (8, 2),
        (9, 8),
        (10, 9),
        (11, 10),
        (12, 0),
        (13, 12),
        (14, 13),
        (15, 14),
        (16, 0),
        (17, 16),
        (18, 17),
        (19, 18),
    ),
    centre=1,
    spine=(0, 1),
    shoulders=(8, 4),
)
"""The same 20 joints in the sensor's own order, which Northwestern-UCLA has."""

# The second sensor renamed the joints of the trunk and added five: neck, hand tips and thumbs. A
# limb's joints kept their names. On the line from the hips (0) to the head (1) the first sensor
# has its shoulder centre at 0.69; the second has spine_shoulder at 0.74, from which the arms hang
# as from the shoulder centre, and the neck at 0.84. The spine is the joint between shoulders and
# hips in both, but not at the same height: 0.11 against 0.43. (Medians over UTD-MHAD and a video
# of PKU-MMD.)
_RENAMED = {
    "shoulder_centre": "spine_shoulder",
    "spine": "spine_mid",
    "hip_centre": "spine_base",
}
RENAMED: Mapping[tuple[SkeletonLayout, SkeletonLayout], Mapping[str, str]] = {
    (KINECT_V2, KINECT_V1): _RENAMED,
    (KINECT_V2, KINECT_V1_SDK): _RENAMED,
    (KINECT_V1_SDK, KINECT_V1): {},
    (KINECT_V1, KINECT_V1_SDK): {},
}
"""(source, target) -> a target's joint -> the source's, where their names differ."""

LAYOUTS = {layout.name: layout for layout in (KINECT_V2, KINECT_V1, KINECT_V1_SDK)}


def layout_named(name: str) -> SkeletonLayout:
    """The built-in layout ``name``; raises :class:`UserError` for an unknown one."""
    if name not in LAYOUTS:
        raise UserError(f"unknown skeleton layout '{name}': {nearest(name, LAYOUTS)}")
    return LAYOUTS[name]


def joint_mapping(source: SkeletonLayout, target: SkeletonLayout) -> tuple[int, ...]:
    """For each joint of ``target`` the joint of ``source`` that replaces it.

    ``clip[..., joint_mapping(source, target), :]`` is a clip of ``source`` on ``target``.

    Raises:
        UserError: if a joint of ``target`` has no counterpart in ``source``.
    """
    if source == target:
        return tuple(range(target.num_joints))
    if (source, target) not in RENAMED:
        pairs = ", ".join(f"{a.name} to {b.name}" for a, b in RENAMED)
        raise UserError(
            f"no mapping from skeleton layout '{source.name}' to '{target.name}'; known: {pairs}"
        )
    renamed = RENAMED[source, target]
    return tuple(source.joints.index(renamed.get(name, name)) for name in target.joints)


def common_layout(one: SkeletonLayout, other: SkeletonLayout) -> SkeletonLayout:
    """The layout that clips of both can be mapped to: the one with fewer joints.

    Raises:
        UserError: if neither can be mapped to the other.
    """
    if one == other:
        return one
    for source, target in RENAMED:
        if {source, target} == {one, other}:
            return target
    pairs = ", ".join(f"{a.name} and {b.name}" for a, b in RENAMED)
    raise UserError(
        f"skeleton layouts '{one.name}' and '{other.name}' have no common layout; "
        f"known pairs: {pairs}"
    )
