"""A layout as people write it: a YAML file, or a mapping of the same keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from skelcon.config import Config, validated
from skelcon.data.layouts.layout import (
    Dimensions,
    Point,
    SkeletonLayout,
    Unit,
    UpAxis,
    joints_of,
    other_side,
    pairs_named,
)
from skelcon.errors import UserError, nearest
from skelcon.yamlfile import read_yaml

Place = Callable[[tuple[str, ...]], str]
"""From a key path to where it is, for messages."""
Named = str | tuple[str, ...]


class Description(Config):
    """The keys of a layout's file. Joints are named; `SkeletonLayout` says what each key means."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="lower-case letters and digits")
    title: str = Field(default="", description="what it is and who uses it")
    joints: tuple[str, ...] = Field(min_length=1, description="names in file order")
    bones: tuple[tuple[str, str], ...] = Field(description="[child, parent] each")
    centre: Named = Field(description="a joint, or a list whose mean is meant")
    spine: tuple[Named, Named] = Field(description="[bottom, top]")
    shoulders: tuple[Named, Named] = Field(description="[right, left]")
    mirror: tuple[tuple[str, str], ...] | None = Field(
        default=None,
        description="[left, right] pairs; by the names (left_hip, LHip, hip_l) if not set",
    )
    same_as: dict[str, str] = Field(
        default_factory=dict, description="joint: what other layouts call it"
    )
    up: UpAxis = Field(default="y", description="the axis that points up")
    unit: Unit = Field(default="m", description="of the coordinates in files")
    dimensions: Dimensions = Field(default=3, description="2: x, y and a confidence")


def described(source: Mapping[str, Any] | Path) -> SkeletonLayout:
    """The layout in a YAML file, or in a mapping of the same keys.

    Raises:
        UserError: names the file and line, the key, the value and the nearest valid choice.
    """
    if isinstance(source, Path):
        file = read_yaml(source)
        return _layout(file.values, file.at)
    return _layout(source, lambda keys: f"layout '{source.get('name', '?')}'")


def _layout(values: Mapping[str, Any], at: Place) -> SkeletonLayout:
    read = validated(Description, values, at)
    joints = _Joints(read.joints, at)
    spine = joints.points("spine", read.spine)
    shoulders = joints.points("shoulders", read.shoulders)
    for key, (one, other) in (("spine", spine), ("shoulders", shoulders)):
        if sorted(joints_of(one)) == sorted(joints_of(other)):
            both = "+".join(read.joints[joint] for joint in joints_of(one))
            raise UserError(f"{at((key,))}: {key}: both are '{both}': give two points")
    for joint, called in read.same_as.items():
        joints.index(("same_as", joint), joint)
        if not called:
            raise UserError(f"{at(('same_as', joint))}: same_as: '{joint}' has no other name")
    shared = [read.same_as.get(name, name) for name in read.joints]
    for joint, name in read.same_as.items():
        if shared.count(name) > 1:
            raise UserError(
                f"{at(('same_as', joint))}: same_as: '{joint}' is called '{name}', and so is "
                "another joint"
            )
    if read.dimensions == 2 and read.up not in ("y", "-y"):
        raise UserError(f"{at(('up',))}: up: '{read.up}' is not an axis of 2D: y and -y are valid")
    mirror = None if read.mirror is None else joints.pairs("mirror", read.mirror)
    if mirror is None:
        joints.check_sides()
        named = pairs_named(read.joints)
        if any(other_side(read.joints[left]) != read.joints[right] for left, right in named):
            mirror = named
    try:
        return SkeletonLayout(
            name=read.name,
            joints=read.joints,
            bones=joints.pairs("bones", read.bones),
            centre=joints.point(("centre",), read.centre),
            spine=(spine[0], spine[1]),
            shoulders=(shoulders[0], shoulders[1]),
            mirror=mirror,
            same_as=tuple(read.same_as.items()),
            up=read.up,
            unit=read.unit,
            dimensions=read.dimensions,
            title=read.title,
        )
    except ValueError:
        raise UserError(f"{at(('bones',))}: bones: {_tree_fault(read)}") from None


class _Joints:
    """Joint names to indices; the error for an unknown name says in which line it is."""

    def __init__(self, names: tuple[str, ...], at: Place) -> None:
        self.names, self.at = names, at
        for number, name in enumerate(names):
            if name in names[:number]:
                where = at(("joints", str(number)))
                raise UserError(f"{where}: joints: '{name}' is listed twice")

    def index(self, keys: tuple[str, ...], name: str) -> int:
        if name not in self.names:
            hint = nearest(name, self.names)
            raise UserError(f"{self.at(keys)}: {keys[0]}: unknown joint '{name}': {hint}")
        return self.names.index(name)

    def point(self, keys: tuple[str, ...], named: Named) -> Point:
        if isinstance(named, str):
            return self.index(keys, named)
        if not named:
            raise UserError(f"{self.at(keys)}: {keys[0]}: give a joint, or a list of joints")
        return tuple(self.index(keys, name) for name in named)

    def points(self, key: str, named: Iterable[Named]) -> list[Point]:
        return [self.point((key, str(at)), each) for at, each in enumerate(named)]

    def pairs(self, key: str, named: Iterable[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
        return tuple(
            (self.index((key, str(at)), a), self.index((key, str(at)), b))
            for at, (a, b) in enumerate(named)
        )

    def check_sides(self) -> None:
        """Without ``mirror`` each left joint needs a right one of the same name."""
        for number, name in enumerate(self.names):
            if (other := other_side(name)) not in self.names:
                raise UserError(
                    f"{self.at(('joints', str(number)))}: joints: '{name}' has no '{other}' on the "
                    f"other side: {nearest(other, self.names)} (or list the pairs in 'mirror')"
                )


def _tree_fault(read: Description) -> str:
    """What is wrong with bones that form no tree."""
    parents: dict[str, str] = {}
    for child, parent in read.bones:
        if child in parents:
            return f"'{child}' has two parents, '{parents[child]}' and '{parent}'"
        parents[child] = parent
    roots = [name for name in read.joints if name not in parents]
    if len(roots) > 1:
        return f"all joints but one need a parent, and {', '.join(roots)} have none"
    return "they must form one tree, and have a cycle"
