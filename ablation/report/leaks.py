"""Test clips that repeat a training clip: how many there are, and the numbers without them.

They are searched once per data set, while its frames are available, and stored beside its header in
the results directory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ablation.evidence.hits import ClipHits
from ablation.fusion import Fusion
from ablation.plan import Plan
from ablation.store import write_json
from ablation.units import EvaluateUnit
from skelcon.data import SkeletonDataset

if TYPE_CHECKING:
    from ablation.evidence.evidence import Where

FILE = "leaks.json"
"""The file beside a data set's header: protocol -> test clips that repeat a training clip."""
HEADERS = "data"
"""The folder of a results directory that holds the headers of data sets, by fingerprint."""
FRAMES = "frames.npy"

Leaks = Mapping[str, tuple[int, ...]]


def keep_leaks(dataset: SkeletonDataset, place: Path) -> None:
    """Find the leaking clips of ``dataset`` and store them, unless they are stored already.

    Without the frames of the data set nothing is done.
    """
    from skelcon.data import leaking_clips

    if (dataset.path / FRAMES).exists() and not (place / FILE).exists():
        found = leaking_clips(dataset)
        write_json(place / FILE, {protocol: list(clips) for protocol, clips in found.items()})


def read_leaks(place: Path) -> Leaks:
    """What :func:`keep_leaks` has stored; empty if it has not run."""
    try:
        values = json.loads((place / FILE).read_text(encoding="utf-8"))
        return {str(protocol): tuple(map(int, clips)) for protocol, clips in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def without_leaks(plan: Plan, hits: Mapping[Where, ClipHits], leaks: Leaks) -> dict[Where, float]:
    """The mean of each cell over the test clips that repeat no training clip, as a fraction.

    Cells without leaking clips are left out.
    """
    protocols = {
        (cell.row, cell.column): cell.unit.side.protocol
        for cell in plan.cells
        if isinstance(cell.unit, EvaluateUnit | Fusion)
    }
    found = {}
    for where, own in hits.items():
        clean = ~np.isin(own.clips, leaks.get(protocols[where], ()))
        if plan.evaluate_on == "test" and clean.any() and not clean.all():
            found[where] = float(own.hits[:, clean].mean())
    return found


def leak_notes(plan: Plan, clean: Mapping[Where, float], leaks: Leaks) -> list[str]:
    """How many test clips leak, and the numbers of the rows without them."""
    if not clean:
        return []
    protocols = {unit.side.protocol for unit in plan.units.values()}
    counts = [
        f"{len(leaks[name])} of {int((plan.dataset.splits[name] == 1).sum())} test clips ({name})"
        for name in sorted(protocols & leaks.keys())
    ]
    rows = []
    for row, about in plan.study.all_rows.items():
        values = [clean.get((row, column)) for column in plan.study.columns]
        if any(value is not None for value in values):
            shown = (f"{100 * value:.1f}" if value is not None else "-" for value in values)
            rows.append(f"{about.label or row} {' / '.join(shown)}")
    columns = " / ".join(about.label or name for name, about in plan.study.columns.items())
    return [
        f"{' and '.join(counts)} are bit-identical to a training clip. Without them ({columns}): "
        f"{', '.join(rows)}."
    ]
