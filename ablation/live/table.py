"""A study's table while the study runs: what is there, what is being worked on, what is to come."""

from __future__ import annotations

import contextlib
import threading
import time

from ablation.live.snapshot import Cell, Sheet, Snapshot
from ablation.plan import Plan
from ablation.store import Store
from ablation.tables import Entry, Outcome, cells_frame, entries_of, number
from skelcon.errors import UserError

EVERY = 3.0
"""Seconds between two looks at the store, at least."""
SHARE = 20
"""Between two looks passes this many times what a look takes."""


class TableSoFar:
    """Reads a plan's cells from the store again when units have ended.

    Args:
        plan: whose table it is; a part of a plan, as some units alone are, has none.
        store: where the results are.
        every: seconds between two looks.
    """

    def __init__(self, plan: Plan, store: Store, every: float = EVERY) -> None:
        self._plan, self._store, self._every = plan, store, every
        self._known: dict[tuple[str, str], Outcome] = {}
        self._entries: dict[tuple[str, str], Entry] = {}
        self._units: dict[tuple[str, str], set[str]] = {}
        for cell in plan.cells:
            units = self._units.setdefault((cell.row, cell.column), set())
            if cell.unit is not None:
                units |= {cell.unit.key, *cell.unit.needs}
        needed = set().union(*self._units.values())
        self._is_part = not needed.issubset(plan.units)
        self._seen: tuple[int, int] | None = None
        self._next_look = 0.0
        self._lock = threading.Lock()

    def sheet(self, now: Snapshot) -> Sheet | None:
        """The table as it was last looked at; None if nothing of it can be read, or of a part."""
        if self._is_part:
            return None
        with self._lock:
            self._look((now.done, now.failed))
            if not self._entries:
                return None
            study = self._plan.study
            busy = {running.unit for running in now.running}
            return Sheet(
                tuple(column.label or name for name, column in study.columns.items()),
                tuple(
                    (
                        values.label or row,
                        tuple(
                            self._cell(row, name, not busy.isdisjoint(self._units[row, name]))
                            for name in study.columns
                        ),
                    )
                    for row, values in study.all_rows.items()
                ),
            )

    def _look(self, ended: tuple[int, int]) -> None:
        """Read from the store what has changed, if it is time."""
        now = time.monotonic()
        if ended == self._seen or now < self._next_look:
            return
        self._seen = ended
        with contextlib.suppress(UserError, OSError):  # the end of the study says what is wrong
            frame = cells_frame(self._plan, self._store, self._known)
            self._entries = entries_of(self._plan, frame)
        took = time.monotonic() - now
        self._next_look = now + max(self._every, SHARE * took)

    def _cell(self, row: str, column: str, at_work: bool) -> Cell:
        entry, seeds = self._entries[row, column], len(self._plan.seeds)
        if entry.mean is None:
            if entry.reason.startswith("not applicable"):
                return Cell("not applicable")
            if "failed" in entry.reason and not at_work:
                return Cell("failed")
            return Cell("running" if at_work else "to come")
        text = number(entry.mean, entry.unit)
        if entry.spread is not None:
            text += f" ± {entry.spread:.1f}"
        if entry.n < seeds:
            text += f" ({entry.n}/{seeds})"
        return Cell("best" if entry.best and entry.n == seeds else "done", text)
