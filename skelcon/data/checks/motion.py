"""How far the joints of a body go from one frame to the next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 128
"""Frames that are looked at together."""


class Jump(NamedTuple):
    """The largest one of a body: how far, how far its joints usually go, and in which frame."""

    distance: float
    usual: float
    frame: int


def largest_jump(body: NDArray[np.floating], start: int = 0) -> Jump:
    """The largest jump of a body (T, V, 3), of one joint for one frame or of half of the joints.

    A joint jumps that is farther from the middle of where it was before and where it is after
    than twice the distance between these.
    """
    best = Jump(0.0, 0.0, start)
    usual = []
    for at in range(0, len(body) - 2, _AT_ONCE):
        part = body[at : at + _AT_ONCE + 2].astype(np.float64)
        there = np.any(part != 0, axis=-1)
        steps = _length(np.diff(part, axis=0)) * (there[1:] & there[:-1])
        away = _length(part[1:-1] - (part[2:] + part[:-2]) / 2)
        back = _length(part[2:] - part[:-2])
        known = there[2:] & there[1:-1] & there[:-2]
        away *= known & (away > 2 * back)
        usual.append(float(np.median(steps[steps > 0])) if steps.any() else 0.0)
        for distances in (away.max(axis=1), np.median(steps, axis=1)):
            frame = int(distances.argmax())
            if distances[frame] > best.distance:
                best = Jump(float(distances[frame]), 0.0, start + at + frame + 1)
    return best._replace(usual=float(np.median(usual))) if usual else best


def _length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.sqrt(np.einsum("...c,...c->...", vectors, vectors))
    return out
