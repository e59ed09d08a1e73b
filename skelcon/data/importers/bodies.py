"""Which bodies of a clip are kept: the sensor tracks up to six, some of them phantoms.

``as-listed``: body m is the m-th of each frame, as the scripts of the field's older code have it.
``tracked``: bodies are followed and phantoms dropped (:mod:`~skelcon.data.importers.tracking`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.tracking import BodyCounts, track

Bodies = Literal["tracked", "as-listed"]
LISTED = 4
"""Bodies of a frame that are looked at as they are listed, as the paper's public code does."""

Clip = NDArray[np.floating]


def motion(clip: Clip) -> NDArray[np.float64]:
    """(M,) how much each body of ``clip`` (M, T, V, 3) moves, in metres.

    The sum over the three coordinates of their standard deviation over the frames in which the
    body is present and all joints; 0 for an absent body. As the paper's public code has it.
    """
    out = np.zeros(len(clip))
    for body, frames in enumerate(np.asarray(clip, np.float64)):
        present = frames[frames.sum(axis=(1, 2)) != 0]
        if len(present):
            out[body] = present.std(axis=(0, 1)).sum()
    return out


def by_motion(clip: NDArray[np.float64]) -> NDArray[np.float64]:
    """``clip`` with the body that moves most first; of two that move alike the later first."""
    if len(clip) == 1:
        return clip
    return clip[np.argsort(motion(clip), kind="stable")[::-1]]


def most_moving(clip: Clip, bodies: int) -> Clip:
    """The ``bodies`` bodies of ``clip`` (M, T, V, 3) that move most, in the order they stood in."""
    if len(clip) <= bodies:
        return clip
    order = np.argsort(motion(clip), kind="stable")[::-1]
    return clip[np.sort(order[:bodies])]


def choose_bodies(
    clip: Clip, ids: NDArray[np.int64] | None, bodies: Bodies, most: int, up: int = 1
) -> tuple[Clip, BodyCounts]:
    """At most ``most`` bodies of ``clip`` (M, T, V, 3), and what was done about them.

    ``ids`` (M, T) are which they are, where a frame lists them in any order; ``up`` is the axis of
    height.
    """
    if bodies == "tracked":
        clip, counts = track(clip, ids, up)
        return clip[:most], counts
    if ids is not None:
        clip = by_motion(np.asarray(clip[:LISTED], np.float64))
    return most_moving(clip, most), BodyCounts()
