"""Clips that repeat another to the bit, within a side or across."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skelcon.data.checks.case import Case
from skelcon.data.checks.finding import SHOWN, Finding, Severity, number_of
from skelcon.data.checks.scan import scan
from skelcon.data.dataset import SkeletonDataset
from skelcon.data.splits import TEST, TRAIN

Pairs = list[tuple[int, int]]


def leaking_clips(dataset: SkeletonDataset) -> dict[str, tuple[int, ...]]:
    """Of each protocol the test clips that repeat a training clip to the bit, if there are any."""
    digests = scan(dataset).digests
    found = {}
    for name, sides in dataset.splits.items():
        if pairs := _pairs(sides == TEST, sides == TRAIN, digests):
            found[name] = tuple(clip for clip, _ in pairs)
    return found


def judge_leaks(case: Case) -> list[Finding] | str:
    """Test clips that repeat a training clip, by protocol."""
    dataset, found = case.dataset, []
    for name in sorted(dataset.splits):
        sides = dataset.splits[name]
        leaks = _pairs(sides == TEST, sides == TRAIN, case.scan.digests)
        if leaks:
            text = (
                f"{number_of(leaks, 'test clip repeats', 'test clips repeat')} a training clip to "
                f"the bit, of {(sides == TEST).sum()}{_relabelled(dataset, leaks)}: leave what "
                "leaks out (--write-exclude FILE, then import with --exclude FILE), or say so "
                "beside every number"
            )
            found.append(_paired("leak", "error", dataset, leaks, text, name))
    return found or "no test clip repeats a training clip"


def judge_repeats(case: Case) -> list[Finding] | str:
    """Clips that repeat one of their own side, and names of several clips."""
    dataset, digests, found = case.dataset, case.scan.digests, []
    for name in sorted(dataset.splits):
        sides = dataset.splits[name]
        trains, tests = (_pairs(sides == side, sides == side, digests) for side in (TRAIN, TEST))
        if trains or tests:
            text = (
                f"clips that repeat another of their side to the bit: {len(trains)} in training, "
                f"{len(tests)} in test{_relabelled(dataset, trains + tests)}; they count twice"
            )
            found.append(_paired("repeat", "note", dataset, trains + tests, text, name))
    if not dataset.splits:
        everything = np.ones(len(dataset), bool)
        if pairs := _pairs(everything, everything, digests):
            text = (
                f"{number_of(pairs, 'clip repeats', 'clips repeat')} another to the bit"
                f"{_relabelled(dataset, pairs)}: they count twice"
            )
            found.append(_paired("repeat", "note", dataset, pairs, text, None))
    return (found + _names(dataset)) or "no clip and no name appears twice"


def _names(dataset: SkeletonDataset) -> list[Finding]:
    repeated = [name for name, count in Counter(dataset.clip_names).items() if count > 1]
    if not repeated:
        return []
    text = (
        f"{number_of(repeated, 'name is', 'names are')} shared by several clips: select those by "
        "number, and do not join tables by name"
    )
    return [Finding("name", "note", len(repeated), text, tuple(repeated[:SHOWN]))]


def _pairs(
    clips: NDArray[np.bool_], others: NDArray[np.bool_], digests: Sequence[bytes | None]
) -> Pairs:
    """(clip, the first of the others that it repeats), for each clip that repeats another."""
    first: dict[bytes, int] = {}
    for other in np.flatnonzero(others).tolist():
        digest = digests[other]
        if digest is not None:
            first.setdefault(digest, other)
    found = []
    for clip in np.flatnonzero(clips).tolist():
        digest = digests[clip]
        if digest is not None and first.get(digest, clip) != clip:
            found.append((clip, first[digest]))
    return found


def _relabelled(dataset: SkeletonDataset, pairs: Pairs) -> str:
    count = sum(dataset.labels[one] != dataset.labels[other] for one, other in pairs)
    return f" ({count} under another label)" if count else ""


def _paired(
    kind: str,
    severity: Severity,
    dataset: SkeletonDataset,
    pairs: Pairs,
    text: str,
    protocol: str | None,
) -> Finding:
    named = tuple((dataset.clip_names[one], dataset.clip_names[other]) for one, other in pairs)
    names = tuple(one for one, _ in named[:SHOWN])
    places = tuple((one, int(dataset.lengths[one]) // 2) for one, _ in pairs[:SHOWN])
    return Finding(kind, severity, len(pairs), text, names, protocol, named, places)
