"""What an import left out: ``import-report.json`` beside the data."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skelcon.data.importers.source import SkippedFile
from skelcon.data.writer import REPORT

_VARIES = re.compile(r"'[^']*'|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class ImportReport:
    """What an import read, excluded by option, and skipped."""

    family: str
    files: int
    clips: int
    excluded: int
    skipped: tuple[SkippedFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of the file."""
        bad: list[dict[str, Any]] = []
        for one in self.skipped:
            line = {} if one.line is None else {"line": one.line}
            bad.append({"file": one.name, "reason": one.reason, **line})
        return {
            "family": self.family,
            "files": self.files,
            "clips": self.clips,
            "excluded": self.excluded,
            "skipped": bad,
        }


@dataclass(frozen=True)
class SkippedGroup:
    """Files that were skipped for one reason.

    Attributes:
        reason: of all of them, or of the first if they differ in names and numbers only.
        count: how many.
        names: of all of them.
    """

    reason: str
    count: int
    names: tuple[str, ...]


def read_report(path: Path) -> ImportReport | None:
    """The report of the import that made the data set at ``path``; None if it has no valid one."""
    try:
        values = json.loads((path / REPORT).read_text())
        return ImportReport(
            family=str(values["family"]),
            files=int(values["files"]),
            clips=int(values["clips"]),
            excluded=int(values["excluded"]),
            skipped=tuple(
                SkippedFile(str(bad["file"]), str(bad["reason"]), bad.get("line"))
                for bad in values["skipped"]
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
        SkippedGroup(each[0].reason, len(each), tuple(bad.name for bad in each))
        for each in groups.values()
    ]
    return sorted(found, key=lambda group: -group.count)
