"""What an import left out: ``import-report.json`` beside the data."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.source import Note, SkippedFile, lost_clips
from skelcon.data.importers.tracking import BodyCounts
from skelcon.data.splits import empty_sides
from skelcon.data.writer import REPORT

_VARIES = re.compile(r"'[^']*'|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class ImportReport:
    """What an import read, excluded by option, and skipped.

    ``bodies`` is what was done to them where they are followed over frames.
    """

    family: str
    files: int
    clips: int
    excluded: int
    skipped: tuple[SkippedFile, ...]
    bodies: BodyCounts | None = None
    notes: tuple[Note, ...] = ()

    @property
    def lost(self) -> int:
        """How many clips are lost with what was skipped."""
        return lost_clips(self.skipped)

    def to_dict(self) -> dict[str, Any]:
        """The content of the file."""
        bad: list[dict[str, Any]] = []
        for one in self.skipped:
            line = {} if one.line is None else {"line": one.line}
            clips = {} if one.clips == 1 else {"clips": one.clips}
            bad.append({"file": one.name, "reason": one.reason, **line, **clips})
        return {
            "family": self.family,
            "files": self.files,
            "clips": self.clips,
            "excluded": self.excluded,
            "skipped": bad,
            **({} if self.bodies is None else {"bodies": asdict(self.bodies)}),
            **({"notes": [asdict(note) for note in self.notes]} if self.notes else {}),
        }


@dataclass(frozen=True)
class SkippedGroup:
    """Files that were skipped for one reason.

    Attributes:
        reason: of all of them, or of the first if they differ in names and numbers only.
        count: how many.
        clips: how many clips are lost with them.
        names: of all of them.
    """

    reason: str
    count: int
    clips: int
    names: tuple[str, ...]


def read_report(path: Path) -> ImportReport | None:
    """The report of the import that made the data set at ``path``; None if it has no valid one."""
    try:
        values = json.loads((path / REPORT).read_text(encoding="utf-8"))
        return ImportReport(
            family=str(values["family"]),
            files=int(values["files"]),
            clips=int(values["clips"]),
            excluded=int(values["excluded"]),
            skipped=tuple(
                SkippedFile(
                    str(bad["file"]), str(bad["reason"]), bad.get("line"), int(bad.get("clips", 1))
                )
                for bad in values["skipped"]
            ),
            bodies=BodyCounts(**values["bodies"]) if "bodies" in values else None,
            notes=tuple(
                Note(note["about"], str(note["text"]), tuple(map(str, note["names"])))
                for note in values.get("notes", ())
            ),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def by_reason(skipped: Sequence[SkippedFile]) -> list[SkippedGroup]:
    """Skipped files grouped by reason, the most frequent first."""
    groups: dict[str, list[SkippedFile]] = defaultdict(list)
    for bad in skipped:
        groups[_VARIES.sub("#", bad.reason)].append(bad)
    found = [
        SkippedGroup(each[0].reason, len(each), lost_clips(each), tuple(bad.name for bad in each))
        for each in groups.values()
    ]
    return sorted(found, key=lambda group: -group.count)


def notes_on_sides(splits: Mapping[str, NDArray[np.integer]]) -> Iterator[Note]:
    """What is missing of the protocols of a data set."""
    if not splits:
        yield Note("splits", "there are none: no clip is assigned to training or test")
    for protocol, sides in splits.items():
        if missing := " and no ".join(empty_sides(sides)):
            yield Note("splits", f"{protocol} has no {missing} clip: nothing can be run on it")
