"""Normalisation of a clip at import, as the paper's public code does it, one option a step.

By default an import only centres: how a clip is turned is a setting of the encoders that see it
(`skelcon.data.orientation`).

All functions take and give a clip of shape (M bodies, T frames, V joints, 3); a joint or a
body that is absent is all zeros and stays so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from skelcon.config import Config
from skelcon.data.layouts import SkeletonLayout, point_of

Clip = NDArray[np.floating]


class Normalisation(Config):
    """The steps that are applied to a clip at import; part of the data set's fingerprint."""

    centre: bool = Field(
        default=True,
        description="subtract the main body's centre joint, frame by frame, from all bodies",
    )
    spine_to_z: bool = Field(
        default=True, description="turn the main body's spine, as in its first frame, to the z axis"
    )
    shoulders_to_x: bool = Field(
        default=True, description="then turn the line from left to right shoulder to the x axis"
    )

    def without(self, done: Normalisation) -> Normalisation:
        """The steps of this one that ``done`` has not."""
        steps = {name: wanted and not getattr(done, name) for name, wanted in self}
        return Normalisation(**steps)

    def with_all_of(self, done: Normalisation) -> Normalisation:
        """The steps of either."""
        return Normalisation(**{name: wanted or getattr(done, name) for name, wanted in self})


CENTRED = Normalisation(spine_to_z=False, shoulders_to_x=False)
"""What an import does unless it is told otherwise; ``Normalisation()`` is the paper's."""


def rotation_between(source: NDArray[np.floating], target: NDArray[np.floating]) -> Clip:
    """The (3, 3) rotation by the smallest angle that turns ``source`` to ``target``.

    The identity where either vector vanishes or both are parallel (as the authors' code).
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()  # np.cross takes ten times as long
    axis = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    if np.abs(a).sum() < 1e-6 or np.abs(b).sum() < 1e-6 or np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    axis = axis / np.linalg.norm(axis)
    cosine = np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0)
    angle = np.arccos(cosine)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation: Clip = np.eye(3) + np.sin(angle) * cross + (1 - cosine) * (cross @ cross)
    return rotation


def _main_body(present: NDArray[np.bool_]) -> int:
    """The first body that is ever present, given (M, T, V, 1)."""
    return int(present.any(axis=(1, 2, 3)).argmax())


def _held(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 3) with each row that is all zeros replaced by the last other one, or the first."""
    known = np.any(values != 0, axis=-1)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), known.argmax()))
    return values[last]


def normalise(clip: Clip, layout: SkeletonLayout, options: Normalisation) -> Clip:
    """A normalised float64 copy of ``clip`` (M, T, V, 3).

    The main body is the first that is ever present. Where it or its centre joint is absent,
    the others are centred on its last position; the rotations are those of its first frame. (The
    paper's public code does not centre such frames, and its first frame is never empty, as it
    moves a body that appears late to the beginning of the clip.)
    """
    out = np.array(clip, dtype=np.float64)
    present = np.any(out != 0, axis=-1, keepdims=True)
    if not present.any():
        return out
    main = _main_body(present)
    first = int(present[main].any(axis=(1, 2)).argmax())
    if options.centre:
        centre = point_of(out[main], layout.centre)
        out = (out - _held(centre)[None, :, None]) * present
    if options.spine_to_z:
        bottom, top = (point_of(out[main, first], end) for end in layout.spine)
        bone = top - bottom
        out = out @ rotation_between(bone, np.array([0, 0, 1.0])).T
    if options.shoulders_to_x:
        right, left = (point_of(out[main, first], end) for end in layout.shoulders)
        line = right - left
        out = out @ rotation_between(line, np.array([1.0, 0, 0])).T
    return out
