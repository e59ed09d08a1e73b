"""`SkeletonLayout`, and the points of a body that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Point = int | tuple[int, ...]
"""A joint, or the joints whose mean is meant."""
UpAxis = Literal["y", "-y", "z", "-z"]
Unit = Literal["m", "cm", "mm", "px"]
Dimensions = Literal[2, 3]

LEFT, RIGHT, MIDDLE = 0, 1, 2
_SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class SkeletonLayout:
    """The joints of one body and how they are connected.

    Attributes:
        name: what a file's header calls it.
        joints: the name of each of the V joints, in file order.
        bones: (child, parent) joint indices; a tree that covers all joints but the root.
        centre: the point that normalisation moves to the origin.
        spine: (bottom, top) points of the line that is turned to z.
        shoulders: (right, left) points of the line that is turned to x.
        mirror: (left, right) pairs of joints; None if their names say it (``left``, ``right``).
        same_as: (joint, name) pairs: what other layouts call a joint, for `joint_mapping`.
        up: the axis that points up in the files of this layout.
        unit: of the coordinates in these files. An import gives metres; ``px`` stays.
        dimensions: 3, or 2: then the third value of a joint is its confidence.
        title: what it is and who uses it, for people. No part of the layout's identity.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    centre: Point
    spine: tuple[Point, Point]
    shoulders: tuple[Point, Point]
    mirror: tuple[tuple[int, int], ...] | None = None
    same_as: tuple[tuple[str, str], ...] = ()
    up: UpAxis = "y"
    unit: Unit = "m"
    dimensions: Dimensions = 3
    title: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        parents = dict(self.bones)
        joints = set(range(len(self.joints)))
        reached = joints - set(parents)
        one_root = len(reached) == 1
        for _ in joints:
            reached |= {child for child, parent in self.bones if parent in reached}
        if len(parents) != len(self.bones) or not one_root or reached != joints:
            raise ValueError(f"layout '{self.name}': the bones must form one tree")
        points = (self.centre, *self.spine, *self.shoulders, *(self.mirror or ()))
        used = [joints_of(point) for point in points]
        if not all(used) or not joints.issuperset(joint for each in used for joint in each):
            raise ValueError(
                f"layout '{self.name}': centre, spine, shoulders and mirror must be joints "
                f"(0 to {len(joints) - 1})"
            )

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
        """For each joint its counterpart on the other side; a joint of the middle is its own.

        >>> layout = SkeletonLayout("tiny", ("left_hip", "hips", "right_hip"), ((0, 1), (2, 1)), 1,
        ...                         (1, 1), (2, 0))
        >>> layout.mirrored
        (2, 1, 0)

        Raises:
            ValueError: if the names decide, and a joint has no counterpart.
        """
        if self.mirror is not None:
            other = {a: b for pair in self.mirror for a, b in (pair, pair[::-1])}
            return tuple(other.get(joint, joint) for joint in range(self.num_joints))
        return tuple(self.joints.index(other_side(name)) for name in self.joints)

    def side(self, joint: int) -> int:
        """``LEFT`` (0), ``RIGHT`` (1) or ``MIDDLE`` (2)."""
        if self.mirror is not None:
            sides = {v: side for pair in self.mirror for side, v in enumerate(pair)}
            return sides.get(joint, MIDDLE)
        name = self.joints[joint]
        return LEFT if "left" in name else RIGHT if "right" in name else MIDDLE

    @property
    def at_origin(self) -> tuple[int, ...]:
        """The joints of the main body that are all zeros after centring, as if they were missing.

        None where the centre is a mean of joints, or has a confidence that is not zero.
        """
        return (self.centre,) if isinstance(self.centre, int) and self.dimensions == 3 else ()

    @property
    def head(self) -> int | None:
        """The joint that stands for the head in drawings: ``head``, else ``nose``."""
        names = [dict(self.same_as).get(name, name) for name in self.joints]
        return next((names.index(name) for name in ("head", "nose") if name in names), None)

    def named(self, point: Point) -> str:
        """A point in words, such as ``left_hip+right_hip``."""
        return "+".join(self.joints[joint] for joint in joints_of(point))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description, in which optional fields appear if they are not the default.

        It is part of the fingerprint of data sets and of the header of weights.
        """
        values = asdict(self)
        for each in fields(self):
            if each.default is not MISSING and values[each.name] == each.default:
                del values[each.name]
        values.pop("title", None)
        return values

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SkeletonLayout:
        """The layout that :meth:`to_dict` described."""
        optional = {name: values[name] for name in ("up", "unit", "dimensions") if name in values}
        if "mirror" in values:
            optional["mirror"] = tuple((int(a), int(b)) for a, b in values["mirror"])
        if "same_as" in values:
            optional["same_as"] = tuple((str(a), str(b)) for a, b in values["same_as"])
        spine, shoulders = ([_point(p) for p in values[key]] for key in ("spine", "shoulders"))
        return SkeletonLayout(
            name=str(values["name"]),
            joints=tuple(values["joints"]),
            bones=tuple((int(a), int(b)) for a, b in values["bones"]),
            centre=_point(values["centre"]),
            spine=(spine[0], spine[1]),
            shoulders=(shoulders[0], shoulders[1]),
            **optional,
        )


def _point(value: int | Iterable[int]) -> Point:
    return int(value) if isinstance(value, int) else tuple(int(joint) for joint in value)


def other_side(name: str) -> str:
    """The name with ``left`` and ``right`` swapped.

    >>> other_side("left_foot_index"), other_side("mouth_right"), other_side("head")
    ('right_foot_index', 'mouth_left', 'head')
    """
    return "_".join(_SIDES.get(word, word) for word in name.split("_"))


_MARKS = (r"left", r"^l", r"l$", r"(?<=[^a-z])l(?=[^a-z])")
"""How names say left; in any case, and right in the same place."""


def pairs_named(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The (left, right) pairs of names that differ only in left and right, or l and r.

    >>> pairs_named(["lhip", "rhip", "LKnee", "RKnee", "foot_l", "foot_r", "HandLeft", "HandRight"])
    ((0, 1), (2, 3), (4, 5), (6, 7))
    """
    pairs: dict[int, int] = {}
    for left, name in enumerate(names):
        for mark in _MARKS:
            other = re.sub(mark, _right, name, count=1, flags=re.IGNORECASE)
            if other != name and other in names:
                pairs.setdefault(left, names.index(other))
    return tuple(pairs.items())


def _right(mark: re.Match[str]) -> str:
    """``right`` for ``left`` and ``r`` for ``l``, in the same case."""
    word = "right" if len(mark[0]) > 1 else "r"
    if mark[0].isupper():
        return word.upper()
    return word.capitalize() if mark[0][0].isupper() else word


def joints_of(point: Point) -> list[int]:
    """The joints of a point of a layout.

    >>> joints_of(3), joints_of((11, 12))
    ([3], [11, 12])
    """
    return [point] if isinstance(point, int) else list(point)


def mean_of(joints: NDArray[Any]) -> NDArray[Any]:
    """The mean of K joints (..., K, C): (..., C); all zeros where one of them is missing."""
    if joints.shape[-2] == 1:
        return joints[..., 0, :]
    there = np.any(joints != 0, axis=-1).all(axis=-1)
    mean: NDArray[Any] = np.where(there[..., None], joints.mean(axis=-2), 0)
    return mean


def point_of(bodies: NDArray[Any], point: Point) -> NDArray[Any]:
    """Where a point of a layout is: (..., C) for ``bodies`` (..., V, C).

    A mean of joints is missing, all zeros, where one of its joints is.
    """
    if isinstance(point, int):
        return bodies[..., point, :]
    return mean_of(bodies[..., joints_of(point), :])
