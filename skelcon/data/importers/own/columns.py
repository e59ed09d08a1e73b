"""The numbers of a joint, and the treatment of joints that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelcon.errors import nearest

Missing = Literal["absent", "interpolate", "drop", "reject"]
CONFIDENCE = "confidence"
CONFIDENCES = (CONFIDENCE, "visibility", "score", "likelihood", "presence")
"""What files call the confidence."""
IGNORED = "_"
MOST_EMPTY = 0.2
"""A larger share of frames without a body is noted."""
NAMES = ("x", "y", "z", CONFIDENCE, IGNORED)
MARKED = "joints at exactly -1 in all coordinates (taken as seen: write NaN or zeros if missing)"
"""A usual mark of missing joints, which may also be a place: it is counted and not changed."""


@dataclass(frozen=True)
class Columns:
    """The meaning of each of a joint's numbers: :data:`NAMES` in the order of the file."""

    names: tuple[str, ...]

    @staticmethod
    def parse(names: Sequence[str], dimensions: int) -> Columns:
        """The columns with these ``names``; ``ValueError`` if they are not coordinates."""
        names = [CONFIDENCE if name in CONFIDENCES else name for name in names]
        for name in names:
            if name not in NAMES:
                raise ValueError(f"unknown column '{name}': {nearest(name, NAMES)}")
        used = [name for name in names if name != IGNORED]
        if len(set(used)) != len(used):
            raise ValueError(f"columns {','.join(names)}: one is named twice")
        wanted = ("x", "y", "z")[:dimensions]
        if {name for name in used if name != CONFIDENCE} != set(wanted):
            raise ValueError(
                f"columns {','.join(names)}: the layout has {dimensions} dimensions, so name "
                f"{', '.join(wanted)}, and {CONFIDENCE} if it is there"
            )
        return Columns(tuple(names))

    @staticmethod
    def usual(dimensions: int) -> tuple[Columns, ...]:
        """What is taken where nothing is stated: coordinates, in 2D also with a confidence."""
        plain = ("x", "y", "z")[:dimensions]
        with_confidence = [Columns((*plain, CONFIDENCE))] if dimensions == 2 else []
        return (Columns(plain), *with_confidence)

    def coordinates(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """(M, T, V, 2 or 3) of ``values`` (M, T, V, C)."""
        axes = [self.names.index(name) for name in ("x", "y", "z") if name in self.names]
        return values[..., axes]

    def confidence(self, values: NDArray[np.floating]) -> NDArray[np.floating] | None:
        """(M, T, V) of ``values`` (M, T, V, C); None if there is none."""
        return values[..., self.names.index(CONFIDENCE)] if CONFIDENCE in self.names else None


class Treated(NamedTuple):
    """A clip (M, T, V, 3), absent joints zeros, and what was counted on the way."""

    clip: NDArray[np.float64]
    counts: dict[str, int]


@dataclass(frozen=True)
class Treatment:
    """What is done to the coordinates of a clip as a file has them.

    Attributes:
        dimensions: 2 or 3. In 2D the third number is the confidence: 1 where there is none.
        scale: metres of one of the file's units.
        missing: what is done with a frame in which a joint is missing.
        min_confidence: a joint with less is missing.
    """

    dimensions: int = 3
    scale: float = 1.0
    missing: Missing = "absent"
    min_confidence: float | None = None

    def __call__(
        self, values: NDArray[np.floating], confidence: NDArray[np.floating] | None = None
    ) -> Treated:
        """Treat ``values`` (M, T, V, 2 or 3), NaN or all zeros where a joint is missing.

        Numbers are rounded to float32 first, so that a clip is the same from text and from arrays.

        Raises:
            ValueError: if the clip is rejected, or nothing is left of it.
        """
        numbers = np.asarray(values, np.float32)
        out = numbers.astype(np.float64) * self.scale
        known = ~np.isnan(out).any(axis=-1) & np.any(out != 0, axis=-1)
        counts: dict[str, int] = {}
        if confidence is not None:
            certain = ~np.isnan(confidence)
            low = 0.0 if self.dimensions == 2 else -np.inf
            certain &= confidence > low
            if self.min_confidence is not None:
                certain &= confidence >= self.min_confidence
                _count(counts, "joints of too little confidence", (known & ~certain).sum())
            known &= certain
        _count(counts, MARKED, (known & (numbers == -1).all(axis=-1)).sum())
        if self.dimensions == 2:
            third = np.ones(out.shape[:-1]) if confidence is None else np.asarray(confidence)
            out = np.concatenate([out, third[..., None].astype(np.float32)], axis=-1)
        out[~known] = 0
        if not known.any():
            raise ValueError("no body is present in any frame")
        gaps = gaps_of(known)
        frames: NDArray[np.bool_] = np.any(gaps, axis=(0, 2))
        _count(counts, "clips with missing joints", bool(frames.any()))
        if self.missing == "reject" and frames.any():
            raise ValueError(
                f"a joint is missing in {frames.sum()} of its {len(frames)} frames "
                "(--missing reject)"
            )
        if self.missing == "drop":
            frames |= ~known.any(axis=(0, 2))
            if frames.all():
                raise ValueError("a joint is missing in every frame (--missing drop)")
            out = out[:, ~frames]
            _count(counts, "frames dropped", frames.sum())
        elif self.missing == "interpolate":
            interpolate(out, known, gaps)
            _count(counts, "frames interpolated", frames.sum())
        empty = int((~np.any(out, axis=(0, 2, 3))).sum())
        if empty > MOST_EMPTY * out.shape[1]:
            _count(counts, f"clips with no body in more than {MOST_EMPTY:.0%} of their frames", 1)
            _count(counts, "frames of these clips without a body", empty)
        return Treated(out, counts)


def _count(counts: dict[str, int], what: str, number: int | np.integer) -> None:
    if number:
        counts[what] = int(number)


def gaps_of(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(M, T, V) where a joint is missing that other frames of the clip have.

    A joint that no frame has (or is always at the origin, as the centre of centred data) leaves no
    gap, nor does a body but the main one, the first that is ever present, in frames without it.
    """
    there: NDArray[np.bool_] = np.any(known, axis=2)
    frames = np.arange(known.shape[1])
    gaps: NDArray[np.bool_] = np.zeros(known.shape, bool)
    main = int(there.any(axis=1).argmax())
    for body, present in enumerate(there):
        if not present.any():
            continue
        (seen,) = np.nonzero(present)
        within = present if body != main else (frames >= seen[0]) & (frames <= seen[-1])
        gaps[body] = ~known[body] & known[body].any(axis=0) & within[:, None]
    return gaps


def interpolate(
    clip: NDArray[np.float64], known: NDArray[np.bool_], gaps: NDArray[np.bool_]
) -> None:
    """Fill the ``gaps`` of a clip in place: linearly between frames, at the ends the nearest."""
    for body, joint in np.argwhere(gaps.any(axis=1)).tolist():
        (at,) = np.nonzero(known[body, :, joint])
        (wanted,) = np.nonzero(gaps[body, :, joint])
        for axis in range(clip.shape[-1]):
            track = clip[body, :, joint, axis]
            track[wanted] = np.interp(wanted, at, track[at])
