"""One pass over all coordinates, clip by clip; memory does not grow with the data."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skelcon.data.checks.motion import Jump, largest_jump
from skelcon.data.dataset import BLOCK_COLUMNS, SkeletonDataset
from skelcon.data.importers.parts import FARTHEST
from skelcon.data.progress import Progress


@dataclass
class Scan:
    """Clip indices, and of each good clip a digest and its largest jump.

    ``misplaced`` (N,) are the clips whose row of the index is impossible; they are not read.
    """

    misplaced: NDArray[np.bool_]
    nan: list[int] = field(default_factory=list)
    infinite: list[int] = field(default_factory=list)
    far: list[int] = field(default_factory=list)
    zero: list[int] = field(default_factory=list)
    digests: list[bytes | None] = field(default_factory=list)
    jumps: dict[int, Jump] = field(default_factory=dict)


def scan(
    dataset: SkeletonDataset, progress: Progress | None = None, *, jumps: bool = False
) -> Scan:
    """Read all clips once; ``jumps`` are looked for if it is asked for."""
    found = Scan(_misplaced(dataset), digests=[None] * len(dataset))
    frames = np.asarray(dataset.frames)
    table = np.stack([dataset.blocks[name] for name in BLOCK_COLUMNS], axis=-1).tolist()
    for clip, blocks in enumerate(table):
        if progress is not None and clip % 256 == 0:
            progress(clip, len(dataset))
        if found.misplaced[clip]:
            continue
        digest = hashlib.blake2b(struct.pack("<q", dataset.lengths[clip]), digest_size=16)
        parts = [(body, *block) for body, block in enumerate(blocks) if block[2]]
        farthest = 0.0
        for body, offset, start, count in parts:
            values = frames[offset : offset + count]
            with np.errstate(invalid="ignore"):
                # (two reductions: no array of absolute values is made)
                farthest = float(np.max([farthest, -values.min(), values.max()]))
            digest.update(struct.pack("<qqq", body, start, count))
            digest.update(values.data)
        if farthest == 0:
            found.zero.append(clip)
        elif farthest < FARTHEST:
            found.digests[clip] = digest.digest()
            if jumps:
                of_bodies = [largest_jump(frames[at : at + n], first) for _, at, first, n in parts]
                found.jumps[clip] = max(of_bodies, key=lambda jump: jump.distance)
        else:
            _sort_out(clip, [frames[at : at + n] for _, at, _, n in parts], found)
    if progress is not None:
        progress(len(dataset), len(dataset))
    return found


def _misplaced(dataset: SkeletonDataset) -> NDArray[np.bool_]:
    offset, start, count = (dataset.blocks[name] for name in BLOCK_COLUMNS)
    blocks = (offset < 0) | (start < 0) | (count < 0) | (count > len(dataset.frames) - offset)
    blocks |= start > dataset.lengths[:, None] - count
    labels = (dataset.labels < 0) | (dataset.labels >= dataset.num_classes)
    return np.asarray(blocks.any(axis=1) | labels | (dataset.lengths < 1))


def _sort_out(clip: int, parts: Sequence[NDArray[np.float32]], found: Scan) -> None:
    """What is wrong with a clip that has a coordinate out of range."""
    if any(np.isnan(part).any() for part in parts):
        found.nan.append(clip)
    if any(np.isinf(part).any() for part in parts):
        found.infinite.append(clip)
    if any(((np.abs(part) >= FARTHEST) & np.isfinite(part)).any() for part in parts):
        found.far.append(clip)
