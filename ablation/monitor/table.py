"""A study's table while the study runs: what is done, what runs, and what is to come."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from ablation.fusion import evaluations_of
from ablation.monitor.run_state import Sheet, SheetCell, Snapshot
from ablation.store import Store
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.plan import Cell, Plan
    from ablation.report import Entry
    from skelcon.config import Json

EVERY = 3.0
"""Seconds between two reads of the store, at least."""
SHARE = 20
"""The next read is due after so many times the seconds that the last one took."""


def is_whole(plan: Plan) -> bool:
    """Whether all units of the cells are in ``plan``; else there is no table."""
    return all(_keys(cell).issubset(plan.units) for cell in plan.cells)


def _keys(cell: Cell) -> set[str]:
    """All units behind a cell."""
    if cell.unit is None:
        return set()
    return {*(unit.key for unit in evaluations_of(cell.unit)), *cell.unit.needs}


class TableSoFar:
    """Reads the cells of a whole plan from the store, again when units have ended.

    ``every`` is the least time between two reads, in seconds.
    """

    def __init__(self, plan: Plan, store: Store, every: float = EVERY) -> None:
        self._plan, self._store, self._every = plan, store, every
        self._known: dict[str, Json] = {}
        self._entries: dict[tuple[str, str], Entry] = {}
        self._units: dict[tuple[str, str], set[str]] = {}
        for cell in plan.cells:
            units = self._units.setdefault((cell.row, cell.column), set())
            units |= _keys(cell)
        self._seen: tuple[int, int] | None = None
        self._next_read = 0.0
        self._lock = threading.Lock()

    def sheet(self, now: Snapshot) -> Sheet | None:
        """The table as it was last read; None if nothing of it can be read."""
        with self._lock:
            self._read((now.done, now.failed))
            if not self._entries:
                return None
            study, busy = self._plan.study, {running.unit for running in now.running}
            columns = tuple(column.label or name for name, column in study.columns.items())
            rows = []
            for row, values in study.all_rows.items():
                cells = (self._cell(row, name, busy) for name in study.columns)
                rows.append((values.label or row, tuple(cells)))
            return Sheet(columns, tuple(rows))

    def _read(self, ended: tuple[int, int]) -> None:
        """Read from the store what has changed, if it is time."""
        from ablation.report import cells_frame, entries_of  # imports pandas

        now = time.monotonic()
        if ended == self._seen or now < self._next_read:
            return
        self._seen = ended
        with contextlib.suppress(UserError, OSError):  # reported at the end of the study
            frame = cells_frame(self._plan, self._store, self._known)
            self._entries = entries_of(self._plan, frame)
        took = time.monotonic() - now
        self._next_read = now + max(self._every, SHARE * took)

    def _cell(self, row: str, column: str, busy: set[str]) -> SheetCell:
        from ablation.report import number

        entry, seeds = self._entries[row, column], len(self._plan.seeds)
        if entry.mean is None:
            running = not busy.isdisjoint(self._units[row, column])
            if entry.reason.startswith("not applicable"):
                return SheetCell("not applicable")
            if "failed" in entry.reason and not running:
                return SheetCell("failed")
            return SheetCell("running" if running else "to come")
        text = number(entry.mean, entry.unit)
        if entry.plus_minus is not None:
            text += f" ± {entry.plus_minus:.1f}"
        if entry.n < seeds:
            text += f" ({entry.n}/{seeds})"
        return SheetCell("best" if entry.best and entry.n == seeds else "done", text)
