"""What judges say: findings, and a verdict from each of them."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Any, Literal

from skelcon.data.dataset import SkeletonDataset

Severity = Literal["error", "note"]
State = Literal["ok", "note", "error", "not judged"]
SHOWN = 10
"""How many names a finding gives."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: ``index``, ``nan``, ``infinite``, ``far``, ``zero``, ``leak``, ``fingerprint``,
            ``joint-order``, ``unit``, ``up``, ``group`` (errors); ``single-frame``, ``repeat``,
            ``name``, ``empty-class``, ``empty-side``, ``balance``, ``bones``, ``jump``. A
            ``joint-order`` or ``unit`` for which nothing known fits is a note.
        severity: no number should be reported from data with an ``error``; a ``note`` is for
            the reader of the number.
        count: how many clips (classes, names) have it.
        text: a sentence that says what it is and how to fix it.
        names: the first of them.
        protocol: the protocol that it is about, if any.
        pairs: for ``leak`` and ``repeat``, each clip with the first that it repeats: (test,
            training) for a leak.
        places: clip and frame (from 0) at which it can be seen, of some of the worst.
    """

    kind: str
    severity: Severity
    count: int
    text: str
    names: tuple[str, ...] = ()
    protocol: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What one judge says: ``text`` is the first finding, or what is good."""

    about: str
    state: State
    text: str


@dataclass(frozen=True)
class Findings:
    """Everything that was found in a data set; errors first. One verdict a judge."""

    name: str
    path: str
    fingerprint: str
    clips: int
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings with which no number should be reported from the data."""
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The other findings."""
        return tuple(one for one in self.findings if one.severity == "note")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description."""
        return {"ok": not self.errors, **asdict(self)}


def of_clips(
    kind: str,
    clips: Sequence[int],
    dataset: SkeletonDataset,
    text: str,
    severity: Severity = "error",
    frames: Sequence[int] = (),
) -> Finding:
    """A finding about ``clips``, the worst first; ``frames`` are where it can be seen."""
    names = tuple(dataset.clip_names[at] for at in clips[:SHOWN])
    seen = frames or [0] * len(clips)
    places = tuple(zip(clips[:SHOWN], seen[:SHOWN], strict=True))
    return Finding(kind, severity, len(clips), text, names, places=places)


def number_of(found: Sized, one: str, many: str) -> str:
    """``1,234 clips have``, ``1 clip has``."""
    return f"{len(found):,} {one if len(found) == 1 else many}"
