"""All judges of a data set, and their verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skelcon.data.checks.bodies import judge_bones, judge_order, judge_unit, judge_up
from skelcon.data.checks.case import Case
from skelcon.data.checks.coordinates import (
    fingerprint,
    judge_coordinates,
    judge_emptiness,
    judge_files,
    unread,
)
from skelcon.data.checks.finding import Finding, Findings, Verdict
from skelcon.data.checks.jumps import judge_jumps
from skelcon.data.checks.repeats import judge_leaks, judge_repeats
from skelcon.data.checks.scan import scan
from skelcon.data.checks.sides import judge_classes, judge_groups, judge_sides
from skelcon.data.dataset import SkeletonDataset
from skelcon.data.progress import Progress


class Judge(NamedTuple):
    """What is judged, and by which function.

    Attributes:
        about: what is judged.
        judge: returns findings, or a sentence that says why all is well.
        reads: whether it reads coordinates, for which the index of the clips must be right.
    """

    about: str
    judge: Callable[[Case], list[Finding] | str]
    reads: bool = False


JUDGES: tuple[Judge, ...] = (
    Judge("coordinates", judge_coordinates),
    Judge("files", judge_files),
    Judge("joint order", judge_order, reads=True),
    Judge("bones", judge_bones, reads=True),
    Judge("unit", judge_unit, reads=True),
    Judge("axis up", judge_up, reads=True),
    Judge("jumps", judge_jumps, reads=True),
    Judge("empty clips", judge_emptiness),
    Judge("leaks", judge_leaks),
    Judge("repeated clips", judge_repeats),
    Judge("groups", judge_groups),
    Judge("classes", judge_classes),
    Judge("sides", judge_sides),
)


def check_dataset(dataset: SkeletonDataset, progress: Progress | None = None) -> Findings:
    """The verdicts of all :data:`JUDGES`; ``progress`` counts clips."""
    found: list[Finding] = []
    verdicts: list[Verdict] = []
    fault = unread(dataset)
    if fault is not None:
        found = [fault, *fingerprint(dataset)]
        verdicts = [
            Verdict(judge.about, "error", fault.text)
            if judge.judge is judge_files
            else Verdict(judge.about, "not judged", "the frames cannot be read")
            for judge in JUDGES
        ]
    else:
        case = Case(dataset, scan(dataset, progress, jumps=True))
        damaged = bool(np.any(case.scan.misplaced))
        for judge in JUDGES:
            if damaged and judge.reads:
                verdicts.append(Verdict(judge.about, "not judged", "the index is damaged"))
                continue
            said = judge.judge(case)
            verdicts.append(_verdict(judge.about, said))
            found += [] if isinstance(said, str) else said
    return Findings(
        name=dataset.name,
        path=str(dataset.path),
        fingerprint=dataset.fingerprint,
        clips=len(dataset),
        verdicts=tuple(verdicts),
        findings=tuple(sorted(found, key=_not_an_error)),
    )


def _verdict(about: str, said: list[Finding] | str) -> Verdict:
    if isinstance(said, str):
        return Verdict(about, "ok", said)
    worst = min(said, key=_not_an_error)
    return Verdict(about, worst.severity, worst.text)


def _not_an_error(finding: Finding) -> bool:
    return finding.severity != "error"
