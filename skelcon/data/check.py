"""Errors in a data set, and what to know before reporting a number from it.

Everything is read once, clip by clip, from the memory-mapped frames, and once more for the
fingerprint: memory does not grow with the coordinates. The writer of packed data sets refuses
most of these errors; a damaged or a foreign data set may still have them.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import BLOCK_COLUMNS, SkeletonDataset
from skelcon.data.importers.parts import FARTHEST
from skelcon.data.splits import TEST, TRAIN

Severity = Literal["error", "note"]
SHOWN = 10
"""How many names a finding gives."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: ``index``, ``nan``, ``infinite``, ``far``, ``zero``, ``leak``, ``fingerprint``
            (errors); ``single-frame``, ``repeat``, ``name``, ``empty-class``, ``empty-side``.
        severity: no number should be reported from data with an ``error``; a ``note`` is for
            the reader of the number.
        count: how many clips (classes, names) have it.
        text: a sentence that says what it is and how to fix it.
        names: the first of them.
        protocol: the protocol that it is about, if any.
        pairs: for ``leak`` and ``repeat``, each clip with the first that it repeats: (test,
            training) for a leak.
    """

    kind: str
    severity: Severity
    count: int
    text: str
    names: tuple[str, ...] = ()
    protocol: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Findings:
    """Everything that was found in a data set; errors first."""

    name: str
    path: str
    fingerprint: str
    clips: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those because of which no number should be reported from the data."""
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The others."""
        return tuple(one for one in self.findings if one.severity == "note")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description."""
        return {"ok": not self.errors, **asdict(self)}


@dataclass
class _Scan:
    """The result of one pass over the coordinates: clip indices, and a digest of each good clip."""

    nan: list[int]
    infinite: list[int]
    far: list[int]
    zero: list[int]
    digests: list[bytes | None]


def check_dataset(
    dataset: SkeletonDataset, progress: Callable[[int, int], None] | None = None
) -> Findings:
    """Look for everything that :class:`Finding` lists; ``progress`` counts clips."""
    found: list[Finding] = []
    rows = int(np.maximum(dataset.blocks["count"], 0).astype(float).sum())
    if rows > len(dataset.frames):
        found.append(
            Finding(
                "index",
                "error",
                len(dataset),
                (
                    f"index.npz lists {rows} frames and frames.npy has "
                    f"{len(dataset.frames)}: they do not belong together; import the data again"
                ),
            )
        )
    else:
        misplaced = _misplaced(dataset)
        scan = _scan(dataset, misplaced, progress)
        found += _coordinates(dataset, misplaced, scan)
        found += _repeats(dataset, scan.digests)
        found += _frames_and_names(dataset)
        found += _sides(dataset)
    if dataset.content_digest() != dataset.fingerprint:
        found.append(
            Finding(
                "fingerprint",
                "error",
                1,
                (
                    f"the content does not match the fingerprint {dataset.fingerprint}: "
                    "a file was changed or damaged since it was written; import the data again"
                ),
            )
        )
    found.sort(
        key=lambda one: one.severity != "error"
    )  # stable: otherwise as they are listed above
    return Findings(
        name=dataset.name,
        path=str(dataset.path),
        fingerprint=dataset.fingerprint,
        clips=len(dataset),
        findings=tuple(found),
    )


def leaking_clips(dataset: SkeletonDataset) -> dict[str, tuple[int, ...]]:
    """Of each protocol the test clips that repeat a training clip to the bit, if there are any."""
    digests = _scan(dataset, _misplaced(dataset), None).digests
    found = {}
    for name, sides in dataset.splits.items():
        pairs = _pairs(np.flatnonzero(sides == TEST), np.flatnonzero(sides == TRAIN), digests)
        if pairs:
            found[name] = tuple(clip for clip, _ in pairs)
    return found


def _of(
    kind: str,
    clips: Iterable[int],
    dataset: SkeletonDataset,
    text: str,
    severity: Severity = "error",
) -> Finding:
    which = list(clips)
    names = tuple(dataset.clip_names[at] for at in which[:SHOWN])
    return Finding(kind, severity, len(which), text, names)


def _misplaced(dataset: SkeletonDataset) -> NDArray[np.bool_]:
    """(N,) the clips whose row of the index is impossible."""
    offset, start, count = (dataset.blocks[name] for name in BLOCK_COLUMNS)
    blocks = (offset < 0) | (start < 0) | (count < 0) | (count > len(dataset.frames) - offset)
    blocks |= start > dataset.lengths[:, None] - count
    labels = (dataset.labels < 0) | (dataset.labels >= dataset.num_classes)
    return np.asarray(blocks.any(axis=1) | labels | (dataset.lengths < 1))


def _scan(
    dataset: SkeletonDataset,
    misplaced: NDArray[np.bool_],
    progress: Callable[[int, int], None] | None,
) -> _Scan:
    scan = _Scan([], [], [], [], [None] * len(dataset))
    frames = np.asarray(dataset.frames)
    table = np.stack([dataset.blocks[name] for name in BLOCK_COLUMNS], axis=-1).tolist()
    for clip, blocks in enumerate(table):
        if progress is not None and clip % 256 == 0:
            progress(clip, len(dataset))
        if misplaced[clip]:
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
            scan.zero.append(clip)
        elif farthest < FARTHEST:
            scan.digests[clip] = digest.digest()
        else:
            _sort_out(clip, [frames[at : at + n] for _, at, _, n in parts], scan)
    if progress is not None:
        progress(len(dataset), len(dataset))
    return scan


def _sort_out(clip: int, parts: Sequence[NDArray[np.float32]], scan: _Scan) -> None:
    """What is wrong with a clip that has a coordinate out of range."""
    if any(np.isnan(part).any() for part in parts):
        scan.nan.append(clip)
    if any(np.isinf(part).any() for part in parts):
        scan.infinite.append(clip)
    if any(((np.abs(part) >= FARTHEST) & np.isfinite(part)).any() for part in parts):
        scan.far.append(clip)


def _coordinates(
    dataset: SkeletonDataset, misplaced: NDArray[np.bool_], scan: _Scan
) -> list[Finding]:
    again = "import the data again, or leave what is bad out (--exclude)"
    kinds = (
        (
            "index",
            np.flatnonzero(misplaced).tolist(),
            "a label without a class, or frames beyond its end or that of frames.npy: index.npz is "
            "damaged; import the data again",
        ),
        ("nan", scan.nan, f"a coordinate that is not a number (NaN): {again}"),
        ("infinite", scan.infinite, f"an infinite coordinate: {again}"),
        (
            "far",
            scan.far,
            f"a coordinate of {FARTHEST:g} m or beyond, which no sensor can see: {again}",
        ),
        ("zero", scan.zero, f"nothing but zeros, so nobody is present: {again}"),
    )
    return [
        _of(kind, clips, dataset, f"{_number(clips, 'clip has', 'clips have')} {text}")
        for kind, clips, text in kinds
        if clips
    ]


def _number(of: Sized, one: str, many: str) -> str:
    return f"{len(of)} {one if len(of) == 1 else many}"


def _repeats(dataset: SkeletonDataset, digests: Sequence[bytes | None]) -> list[Finding]:
    """Clips whose coordinates are bit-identical to those of another clip, by protocol."""
    protocols = {name: dataset.splits[name] for name in sorted(dataset.splits)}
    found = []
    for name, sides in protocols.items():
        trains = _pairs(np.flatnonzero(sides == TRAIN), np.flatnonzero(sides == TRAIN), digests)
        tests = _pairs(np.flatnonzero(sides == TEST), np.flatnonzero(sides == TEST), digests)
        leaks = _pairs(np.flatnonzero(sides == TEST), np.flatnonzero(sides == TRAIN), digests)
        if leaks:
            text = (
                f"{_number(leaks, 'test clip repeats', 'test clips repeat')} a training clip to "
                f"the bit, of {(sides == TEST).sum()}{_relabelled(dataset, leaks)}: leave what "
                "leaks out (--exclude), or say so beside every number"
            )
            found.append(_paired("leak", "error", dataset, leaks, text, name))
        if trains or tests:
            text = (
                f"clips that repeat another of their side to the bit: {len(trains)} in training, "
                f"{len(tests)} in test{_relabelled(dataset, trains + tests)}; they count twice"
            )
            found.append(_paired("repeat", "note", dataset, trains + tests, text, name))
    if not protocols:
        everything = np.arange(len(dataset))
        pairs = _pairs(everything, everything, digests)
        if pairs:
            text = (
                f"{_number(pairs, 'clip repeats', 'clips repeat')} another to the bit"
                f"{_relabelled(dataset, pairs)}: they count twice"
            )
            found.append(_paired("repeat", "note", dataset, pairs, text, None))
    return found


def _pairs(
    clips: NDArray[np.int64], others: NDArray[np.int64], digests: Sequence[bytes | None]
) -> list[tuple[int, int]]:
    """(clip, the first of the others that it repeats), for each clip that repeats another."""
    first: dict[bytes, int] = {}
    for other in others.tolist():
        digest = digests[other]
        if digest is not None:
            first.setdefault(digest, other)
    found = []
    for clip in clips.tolist():
        digest = digests[clip]
        if digest is not None and first.get(digest, clip) != clip:
            found.append((clip, first[digest]))
    return found


def _relabelled(dataset: SkeletonDataset, pairs: Sequence[tuple[int, int]]) -> str:
    count = sum(dataset.labels[one] != dataset.labels[other] for one, other in pairs)
    return f" ({count} under another label)" if count else ""


def _paired(
    kind: str,
    severity: Severity,
    dataset: SkeletonDataset,
    pairs: Sequence[tuple[int, int]],
    text: str,
    protocol: str | None,
) -> Finding:
    named = tuple((dataset.clip_names[one], dataset.clip_names[other]) for one, other in pairs)
    names = tuple(one for one, _ in named[:SHOWN])
    return Finding(kind, severity, len(pairs), text, names, protocol, named)


def _frames_and_names(dataset: SkeletonDataset) -> list[Finding]:
    found = []
    single = np.flatnonzero(dataset.lengths == 1)
    if len(single):
        text = (
            f"{_number(single, 'clip has', 'clips have')} a single frame: there is no motion in it"
        )
        found.append(_of("single-frame", single.tolist(), dataset, text, "note"))
    repeated = [name for name, count in Counter(dataset.clip_names).items() if count > 1]
    if repeated:
        text = (
            f"{_number(repeated, 'name is', 'names are')} shared by several clips: select those by "
            "number, and do not join tables by name"
        )
        found.append(Finding("name", "note", len(repeated), text, tuple(repeated[:SHOWN])))
    return found


def _sides(dataset: SkeletonDataset) -> list[Finding]:
    """Sides of a protocol, and classes of its training side, that have no clip."""
    found = []
    everywhere = _counts(dataset, np.ones(len(dataset), bool))
    unused = [dataset.class_names[at] for at in np.flatnonzero(everywhere == 0)]
    if unused:
        text = (
            f"{_number(unused, 'class has', 'classes have')} no clip, of {dataset.num_classes}: "
            "a part of the data may be missing"
        )
        found.append(Finding("empty-class", "note", len(unused), text, tuple(unused[:SHOWN])))
    for name in sorted(dataset.splits):
        sides = dataset.splits[name]
        empty = [
            side
            for side, value in (("training", TRAIN), ("test", TEST))
            if not (sides == value).any()
        ]
        if empty:
            text = (
                f"the {' and the '.join(empty)} side of {name} has no clip: choose another "
                "protocol, or import all of the data"
            )
            found.append(Finding("empty-side", "note", len(empty), text, tuple(empty), name))
            continue
        untrained = np.flatnonzero((_counts(dataset, sides == TRAIN) == 0) & (everywhere > 0))
        if len(untrained):
            text = (
                f"{_number(untrained, 'class has', 'classes have')} no training clip in {name}, "
                f"and {_counts(dataset, sides == TEST)[untrained].sum()} test clips: these cannot "
                "be learned"
            )
            names = tuple(dataset.class_names[at] for at in untrained[:SHOWN])
            found.append(Finding("empty-class", "note", len(untrained), text, names, name))
    return found


def _counts(dataset: SkeletonDataset, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(classes,) how many of the chosen clips each class has; labels of no class count nowhere."""
    labels = dataset.labels[chosen]
    valid = labels[(labels >= 0) & (labels < dataset.num_classes)]
    return np.bincount(valid, minlength=dataset.num_classes)
