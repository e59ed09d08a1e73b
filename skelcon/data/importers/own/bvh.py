"""BVH: a hierarchy of joints, and for each frame their angles; positions by forward kinematics.

A joint's channels are applied in the order in which they stand, each rotation about the axes that
the ones before have turned. End sites are joints as well: ``left_hand_end``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.files import check_file
from skelcon.data.importers.source import BadLineError
from skelcon.data.layouts import SkeletonLayout

LARGEST = 1 << 28
_MOST_JOINTS = 500
_POSITIONS = ("Xposition", "Yposition", "Zposition")
_ROTATIONS = ("Xrotation", "Yrotation", "Zrotation")


@dataclass
class Joint:
    """A joint: its parent's index (-1 of the root), its offset from it, and its channels."""

    name: str
    parent: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Clip:
    """The names of V joints and their ``positions`` (T, V, 3) in the file's unit."""

    joints: tuple[str, ...]
    positions: NDArray[np.float64]


def plain_name(name: str) -> str:
    """A joint's name as layouts write it: ``LeftForeArm`` is ``left_fore_arm``.

    >>> plain_name("mixamorig:LeftForeArm"), plain_name("RHip"), plain_name("left_hip")
    ('left_fore_arm', 'right_hip', 'left_hip')
    """
    short = name.rpartition(":")[2]
    short = re.sub(r"^([LR])(?=[A-Z][a-z])", lambda m: {"L": "Left", "R": "Right"}[m[1]], short)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", short)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _lines(path: Path) -> list[list[str]]:
    check_file(path, LARGEST)
    text = path.read_bytes().decode("utf-8-sig", "replace")
    return [line.split() for line in text.splitlines()]


def read_skeleton(path: Path) -> list[Joint]:
    """The hierarchy of a file; ``ValueError`` if it is damaged."""
    return _hierarchy(_lines(path))[0]


def read_clip(path: Path) -> Clip:
    """The joints and where they are.

    Raises:
        ValueError: if the file is damaged (:class:`BadLineError` if it is known where).
        OSError: if it cannot be read.
    """
    lines = _lines(path)
    joints, at = _hierarchy(lines)
    values = _motion(lines, at, sum(len(joint.channels) for joint in joints))
    return Clip(tuple(joint.name for joint in joints), positions(joints, values))


def _hierarchy(lines: Sequence[Sequence[str]]) -> tuple[list[Joint], int]:
    """The joints, parents before children, and the line behind ``MOTION``."""
    joints: list[Joint] = []
    open_joints: list[int] = []
    last = -1
    for number, words in enumerate(lines, 1):
        key = words[0].upper() if words else ""
        if key in ("ROOT", "JOINT", "END"):
            parent = open_joints[-1] if open_joints else -1
            if (parent < 0) != (key == "ROOT") or len(joints) >= _MOST_JOINTS:
                raise BadLineError(f"'{words[0]}' where there can be none", number)
            name = f"{joints[parent].name}_end" if key == "END" else "_".join(words[1:])
            joints.append(Joint(name, parent))
            last = len(joints) - 1
        elif key == "{":
            open_joints.append(last)
        elif key == "}":
            if not open_joints:
                raise BadLineError("'}' without '{'", number)
            open_joints.pop()
        elif key == "OFFSET" and joints:
            joints[last].offset = _three(words[1:], number)
        elif key == "CHANNELS" and joints:
            joints[last].channels = list(words[2:])
            if wrong := [c for c in words[2:] if c not in (*_POSITIONS, *_ROTATIONS)]:
                raise BadLineError(f"unknown channel {wrong[0][:20]!a}", number)
        elif key == "MOTION":
            if open_joints or not joints:
                raise BadLineError("the hierarchy is not closed before MOTION", number)
            names = [plain_name(joint.name) for joint in joints]
            if len(set(names)) < len(names) or not all(names):
                raise ValueError("two of its joints have one name, or one has none")
            return joints, number
        elif key not in ("", "HIERARCHY"):
            raise BadLineError(f"{words[0][:20]!a} is not a keyword of BVH", number)
    raise ValueError("has no MOTION: the BVH file is not complete")


def _three(words: Sequence[str], number: int) -> tuple[float, float, float]:
    try:
        x, y, z = map(float, words)
    except ValueError:
        raise BadLineError("an OFFSET is three numbers", number) from None
    return x, y, z


def _motion(lines: Sequence[Sequence[str]], at: int, channels: int) -> NDArray[np.float64]:
    """(T, channels) numbers; as many frames as the file says, and no fewer."""
    head = {words[0].rstrip(":").lower(): words for words in lines[at : at + 4] if words}
    try:
        count = int(head["frames"][-1])
    except (KeyError, ValueError):
        raise ValueError("does not say how many frames it has") from None
    rows = []
    for number, words in enumerate(lines[at:], at + 1):
        if not words or words[0].rstrip(":").lower() in ("frames", "frame"):
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise BadLineError("a value is not a number", number) from None
        if len(row) != channels:
            raise BadLineError(f"{len(row)} values, not the {channels} of its channels", number)
        rows.append(row)
    if len(rows) != count or not rows:
        raise ValueError(f"says that it has {count} frames, and has {len(rows)}")
    return np.array(rows)


def positions(joints: Sequence[Joint], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, V, 3) positions of joints from ``values`` (T, channels): degrees and offsets."""
    frames = len(values)
    out = np.zeros((frames, len(joints), 3))
    turns = np.zeros((len(joints), frames, 3, 3))
    at = 0
    for v, joint in enumerate(joints):
        offset = np.tile(np.array(joint.offset), (frames, 1))
        turn = np.tile(np.eye(3), (frames, 1, 1))
        for channel in joint.channels:
            value, at = values[:, at], at + 1
            if channel in _POSITIONS:
                axis = _POSITIONS.index(channel)
                offset[:, axis] = value  # in the place of the offset
            else:
                turn = turn @ _rotation(_ROTATIONS.index(channel), np.radians(value))
        if joint.parent < 0:
            out[:, v], turns[v] = offset, turn
        else:
            above = turns[joint.parent]
            out[:, v] = out[:, joint.parent] + np.einsum("tij,tj->ti", above, offset)
            turns[v] = above @ turn
    return out


def _rotation(axis: int, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 3, 3) rotations about one axis."""
    one, other = [i for i in range(3) if i != axis]
    sign = -1.0 if axis == 1 else 1.0
    out = np.tile(np.eye(3), (len(angles), 1, 1))
    out[:, one, one] = out[:, other, other] = np.cos(angles)
    out[:, one, other] = -sign * np.sin(angles)
    out[:, other, one] = sign * np.sin(angles)
    return out


def layout_of(joints: Sequence[Joint]) -> SkeletonLayout:
    """The hierarchy as a layout.

    The centre is the root, the spine goes from it to the neck (or the head, or the parent of the
    shoulders), the shoulders are the first joints of either side whose names say so.

    Raises:
        ValueError: if no name says where the spine or the shoulders are.
    """
    names = [plain_name(joint.name) for joint in joints]
    left, right = (
        _first(names, side, ("shoulder", "arm", "collar", "clavicle")) for side in ("left", "right")
    )
    top = next((names.index(name) for name in _by_word(names, ("neck", "head"))), None)
    if left is None or right is None or top is None:
        raise ValueError(
            "its joints' names do not say where the shoulders and the neck are: give --layout"
        )
    pairs = tuple(
        (at, names.index(other))
        for at, name in enumerate(names)
        if "left" in name and (other := name.replace("left", "right")) in names
    )
    return SkeletonLayout(
        name="bvh",
        joints=tuple(names),
        bones=tuple((v, joint.parent) for v, joint in enumerate(joints) if joint.parent >= 0),
        centre=0,
        spine=(0, top),
        shoulders=(right, left),
        mirror=pairs,
    )


def _by_word(names: Sequence[str], words: Sequence[str]) -> Iterator[str]:
    for word in words:
        yield from (name for name in names if word in name)


def _first(names: Sequence[str], side: str, words: Sequence[str]) -> int | None:
    for word in words:
        for at, name in enumerate(names):
            if side in name and word in name and "fore" not in name:
                return at
    return None
