"""Normalisation of a clip at import, as the paper's public code does it, one option a step.

By default an import only centres: how a clip is turned is a setting of the encoders that see it
(`skelcon.data.orientation`).

All functions take and give a clip of shape (M bodies, T frames, V joints, 3); a joint or a
body that is absent is all zeros and stays so. Of a layout of two dimensions the third value is a
confidence, which no step changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from skelcon.config import Config
from skelcon.data.layouts import SkeletonLayout, point_of
from skelcon.errors import UserError

Clip = NDArray[np.floating]

SPINE = 0.5
"""What ``scale`` makes of a spine: about the metres between a person's hips and shoulders."""


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
    scale: bool = Field(
        default=False,
        description="divide by the main body's spine, its median over the frames, so that it is "
        f"{SPINE} long; an import does so in 2D",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``scale`` where it is not taken, as fingerprints have been made of it."""
        values: dict[str, Any] = write(self)
        if not self.scale:
            values.pop("scale", None)
        return values

    def without(self, done: Normalisation) -> Normalisation:
        """The steps of this one that ``done`` has not."""
        steps = {name: wanted and not getattr(done, name) for name, wanted in self}
        return Normalisation(**steps)

    def with_all_of(self, done: Normalisation) -> Normalisation:
        """The steps of either."""
        return Normalisation(**{name: wanted or getattr(done, name) for name, wanted in self})


CENTRED = Normalisation(spine_to_z=False, shoulders_to_x=False)
"""What an import does by default; ``Normalisation()`` is the paper's."""


def usual_steps(layout: SkeletonLayout) -> Normalisation:
    """What an import does by default: it centres, and in 2D also scales."""
    planar = layout.dimensions == 2 or layout.unit == "px"
    return CENTRED.model_copy(update={"scale": True}) if planar else CENTRED


def check_steps(steps: Normalisation, layout: SkeletonLayout) -> None:
    """:class:`UserError` if a layout of two dimensions would be turned in three."""
    turns = {"spine-to-z": steps.spine_to_z, "shoulders-to-x": steps.shoulders_to_x}
    asked = [name for name, wanted in turns.items() if wanted]
    if layout.dimensions == 2 and asked:
        raise UserError(
            f"normalisation {','.join(asked)}: it needs 3D, and layout '{layout.name}' is 2D: "
            "centre, scale and none are valid"
        )


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
    the others are centred on its last position; the rotations are taken from its first frame. (The
    paper's public code does not centre such frames, and its first frame is never empty, as it
    moves a body that appears late to the beginning of the clip.)

    Raises:
        UserError: if a layout of two dimensions would be turned.
        ValueError: if it cannot be scaled, as the main body's spine is never seen.
    """
    check_steps(options, layout)
    out = np.array(clip, dtype=np.float64)
    present = np.any(out != 0, axis=-1, keepdims=True)
    if not present.any():
        return out
    main = _main_body(present)
    first = int(present[main].any(axis=(1, 2)).argmax())
    places = out[..., : layout.dimensions]  # a view: without the confidence
    scale = SPINE / _spine_length(out[main], layout) if options.scale else None
    if options.centre:
        centre = _held(point_of(out[main], layout.centre))[:, : layout.dimensions]
        places[:] = (places - centre[None, :, None]) * present
    if scale is not None:
        places *= scale
    if options.spine_to_z:
        bottom, top = (point_of(out[main, first], end) for end in layout.spine)
        bone = top - bottom
        out = out @ rotation_between(bone, np.array([0, 0, 1.0])).T
    if options.shoulders_to_x:
        right, left = (point_of(out[main, first], end) for end in layout.shoulders)
        line = right - left
        out = out @ rotation_between(line, np.array([1.0, 0, 0])).T
    return out


def _spine_length(body: NDArray[np.float64], layout: SkeletonLayout) -> float:
    """The median over the frames of a body (T, V, 3) in which its spine is seen."""
    bottom, top = (point_of(body, end) for end in layout.spine)
    seen = bottom.any(axis=-1) & top.any(axis=-1)
    lengths = np.linalg.norm((top - bottom)[seen, : layout.dimensions], axis=-1)
    if not (lengths > 0).any():
        names = " and ".join(layout.named(end) for end in layout.spine)
        raise ValueError(
            f"cannot be scaled: the main body is never seen with its spine ({names}); leave the "
            "step out (--normalise centre), or give a layout whose spine is seen"
        )
    return float(np.median(lengths[lengths > 0]))
