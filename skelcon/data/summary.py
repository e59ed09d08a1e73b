"""What a data set holds, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import SkeletonDataset
from skelcon.data.splits import TEST, TRAIN

MOST_BINS = 10
"""Of the histogram of lengths."""
_CHUNK = 1 << 14
"""Frames that are looked at together."""


@dataclass(frozen=True)
class Classes:
    """How many classes, and how many clips the smallest and the largest of them have."""

    count: int
    smallest: tuple[str, int]
    largest: tuple[str, int]


@dataclass(frozen=True)
class Lengths:
    """Frames of a clip; ``bins`` are (first length, last length, clips), without a gap."""

    min: int
    median: float
    max: int
    total: int
    bins: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Sides:
    """Clips on each side of a protocol, and on neither."""

    protocol: str
    train: int
    test: int
    neither: int


@dataclass(frozen=True)
class Summary:
    """The result of :func:`summarise`.

    Attributes:
        normalisation: the steps that were taken.
        subjects, cameras, setups: the known ones, in order; empty if not stated.
        bodies: number of bodies -> number of clips with it.
        missing_joints: the share of joints that are all zeros, of those in frames in which their
            body is present. In centred data the main body's centre joint, which is zero, is there.
        empty_frames: the share of frames in which no body is present.
        bytes: of all files of the data set.
    """

    name: str
    path: str
    synthetic: bool
    family: str
    layout: str
    joints: int
    normalisation: tuple[str, ...]
    fingerprint: str
    bytes: int
    clips: int
    classes: Classes
    subjects: tuple[int, ...]
    cameras: tuple[int, ...]
    setups: tuple[int, ...]
    lengths: Lengths
    bodies: dict[int, int]
    missing_joints: float
    empty_frames: float
    protocols: tuple[Sides, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description."""
        return asdict(self)


def summarise(dataset: SkeletonDataset) -> Summary:
    """Count what is in a data set; all frames are read once, in bounded memory."""
    bodies, clips = np.unique((dataset.blocks["count"] > 0).sum(axis=1), return_counts=True)
    known = {
        column: tuple(int(value) for value in np.unique(dataset.columns[column]) if value >= 0)
        for column in ("subject", "camera", "setup")
    }
    missing, present = _missing_joints(dataset)
    return Summary(
        name=dataset.name,
        path=str(dataset.path),
        synthetic=dataset.synthetic,
        family=dataset.family,
        layout=dataset.layout.name,
        joints=dataset.layout.num_joints,
        normalisation=tuple(step for step, taken in dataset.normalisation if taken),
        fingerprint=dataset.fingerprint,
        bytes=sum(file.stat().st_size for file in dataset.path.iterdir() if file.is_file()),
        clips=len(dataset),
        classes=_classes(dataset),
        subjects=known["subject"],
        cameras=known["camera"],
        setups=known["setup"],
        lengths=_lengths(dataset.lengths),
        bodies=dict(zip(bodies.tolist(), clips.tolist(), strict=True)),
        missing_joints=missing,
        empty_frames=_empty_frames(dataset, present),
        protocols=tuple(
            Sides(name, *(int((dataset.splits[name] == side).sum()) for side in (TRAIN, TEST, -1)))
            for name in sorted(dataset.splits)
        ),
    )


def _classes(dataset: SkeletonDataset) -> Classes:
    sizes = np.array([(dataset.labels == label).sum() for label in range(dataset.num_classes)])
    ends = sizes.argmin(), sizes.argmax()
    smallest, largest = ((dataset.class_names[at], int(sizes[at])) for at in ends)
    return Classes(dataset.num_classes, smallest, largest)


def _lengths(lengths: NDArray[np.int64]) -> Lengths:
    low, high = int(lengths.min()), int(lengths.max())
    width = _width(low, high)
    starts = np.arange(low - low % width, high + 1, width)
    counts, _ = np.histogram(lengths, [*starts, starts[-1] + width])
    return Lengths(
        min=low,
        median=float(np.median(lengths)),
        max=high,
        total=int(lengths.sum()),
        bins=tuple(
            (start, start + width - 1, count)
            for start, count in zip(starts.tolist(), counts.tolist(), strict=True)
        ),
    )


def _width(low: int, high: int) -> int:
    """The narrowest round width (1, 2, 5, 10, ...) whose bins are few enough."""
    scale = 1
    while True:
        for width in (scale, 2 * scale, 5 * scale):
            if high // width - low // width < MOST_BINS:
                return width
        scale *= 10


def _missing_joints(dataset: SkeletonDataset) -> tuple[float, NDArray[np.bool_]]:
    """The share of joints that are missing, and (F,) in which rows a body is present."""
    frames = np.asarray(dataset.frames)
    centred = _rows_of_main_bodies(dataset) if dataset.normalisation.centre else None
    missing, there = 0, np.zeros(len(frames), bool)
    for at in range(0, len(frames), _CHUNK):
        x, y, z = np.moveaxis(frames[at : at + _CHUNK], -1, 0)
        zero = (x == 0) & (y == 0) & (z == 0)
        present = ~zero.all(axis=1)
        missing += int(zero[present].sum())
        there[at : at + _CHUNK] = present
        if centred is not None:
            main = present & centred[at : at + _CHUNK]
            for joint in dataset.layout.at_origin:
                missing -= int(zero[main, joint].sum())
    joints = int(there.sum()) * frames.shape[1]
    return (missing / joints if joints else 0.0), there


def _empty_frames(dataset: SkeletonDataset, present: NDArray[np.bool_]) -> float:
    """The share of frames in which no body is ``present``, which is of the rows of all bodies."""
    seen = 0
    offsets, starts, counts = (dataset.blocks[name] for name in ("offset", "start", "count"))
    for clip, length in enumerate(dataset.lengths.tolist()):
        frames = np.zeros(length, bool)
        for at, start, count in zip(offsets[clip], starts[clip], counts[clip], strict=True):
            frames[start : start + count] |= present[at : at + count]
        seen += int(frames.sum())
    total = int(dataset.lengths.sum())
    return (total - seen) / total if total else 0.0


def _rows_of_main_bodies(dataset: SkeletonDataset) -> NDArray[np.bool_]:
    """(F,) which frames are of the main body of a clip: the first that is ever present."""
    rows = np.zeros(len(dataset.frames), bool)
    offsets, lengths = dataset.main_blocks
    for offset, length in zip(offsets.tolist(), lengths.tolist(), strict=True):
        rows[offset : offset + length] = True
    return rows
