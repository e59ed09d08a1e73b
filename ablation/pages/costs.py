"""The costs of a table's units, and its missing cells."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from ablation.figures import Asked
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE
from ablation.text import duration, fine_duration, readable
from ablation.units import EvaluateUnit, Unit

MIB = 2**20


@dataclass(frozen=True)
class Spent:
    """The cost of the units of one kind; texts are empty if nothing is known."""

    kind: str
    done: int
    units: int
    total: str
    median: str
    memory: str
    gpu_memory: str


@dataclass(frozen=True)
class Missing:
    """The cells without a number that have the same reason."""

    state: str
    cells: int
    where: str
    reason: str


def spent(units: dict[str, Unit], store: Store) -> tuple[Spent, ...]:
    """The cost of each kind of unit, and of all together if there are several kinds."""
    kinds: dict[str, list[str]] = {}
    for key, unit in units.items():
        kind = f"evaluation, {unit.task_name}" if isinstance(unit, EvaluateUnit) else "pre-training"
        kinds.setdefault(kind, []).append(key)
    lines = [_spent(kind, keys, store) for kind, keys in sorted(kinds.items())]
    return (*lines, *([_spent("all", [*units], store)] if len(lines) > 1 else []))


def _spent(kind: str, keys: list[str], store: Store) -> Spent:
    done = [key for key in keys if store.is_done(key)]
    known = [store.files(key).read_or_none(PROVENANCE) or {} for key in done]
    seconds = [float(each["seconds"]) for each in known if "seconds" in each]
    peaks = [each.get("peak_memory") or {} for each in known]
    return Spent(
        kind,
        len(done),
        len(keys),
        duration(sum(seconds)) if seconds else "",
        fine_duration(statistics.median(seconds)) if seconds else "",
        _most(peaks, "process_mib"),
        _most(peaks, "gpu_mib"),
    )


def _most(peaks: Iterable[dict[str, float]], name: str) -> str:
    most = max((peak.get(name) or 0.0 for peak in peaks), default=0.0)
    return readable(most * MIB) if most else ""


def missing(asked: Asked) -> tuple[Missing, ...]:
    """The cells without a number, grouped by reason, failures first."""
    frame, table = asked.frame, asked.table
    lines = frame[frame["state"].isin(["failed", "not run", "not applicable"])]
    found = []
    for (state, reason), group in lines.groupby(["state", "reason"], sort=False):
        names = dict.fromkeys(zip(group["row"], group["column"], strict=True))
        labels = [f"{table.label(row)} ({table.column_label(column)})" for row, column in names]
        found.append(Missing(str(state), len(group), ", ".join(labels), str(reason)))
    order = ("failed", "not run", "not applicable")
    return tuple(sorted(found, key=lambda each: order.index(each.state)))
