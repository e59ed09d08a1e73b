"""A study's table while the study runs: what is there, what is being worked on, what is to come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection

from rich.table import Table as Grid
from rich.text import Text

from ablation.plan import Plan
from ablation.store import Store
from ablation.tables import Entry, Outcome, cells_frame, entries_of, number
from skelcon.errors import UserError

EVERY = 3.0
"""Seconds between two looks at the store, at least."""
SHARE = 20
"""Between two looks passes this many times what a look takes."""


class TableSoFar:
    """Reads a plan's cells from the store again when told that some have changed.

    Args:
        plan: whose table it is.
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
        self._stale, self._next_look = True, 0.0
        self.height = len(plan.study.all_rows) + 1
        """Lines of :meth:`grid`."""

    def changed(self) -> None:
        """A unit has ended: look again when it is time."""
        self._stale = True

    def grid(self, running: Collection[str], width: int) -> Grid | None:
        """The table as it was last looked at; None if it is wider than ``width``.

        Args:
            running: keys of the units that are being worked on.
            width: columns of the terminal.
        """
        if not self._entries:
            return None
        study = self._plan.study
        busy, seeds = frozenset(running), len(self._plan.seeds)
        grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        grid.add_column("table so far", no_wrap=True)
        for name, column in study.columns.items():
            grid.add_column(column.label or name, justify="right", no_wrap=True)
        widest = max([len("table so far"), *(len(r.label or n) for n, r in study.all_rows.items())])
        widths = [len(column.label or name) for name, column in study.columns.items()]
        for row, values in study.all_rows.items():
            texts = []
            for at, name in enumerate(study.columns):
                entry = self._entries[row, name]
                at_work = not busy.isdisjoint(self._units[row, name])
                texts.append(_text(entry, at_work, seeds))
                widths[at] = max(widths[at], texts[-1].cell_len)
            style = "italic" if row in study.references else ""
            grid.add_row(Text(values.label or row), *texts, style=style)
        return grid if widest + sum(widths) + 2 * len(widths) <= width else None

    def look(self) -> None:
        """Read from the store what has changed, if it is time."""
        now = time.monotonic()
        if not self._stale or now < self._next_look:
            return
        self._stale = False
        with contextlib.suppress(UserError, OSError):  # the end of the study says what is wrong
            frame = cells_frame(self._plan, self._store, self._known)
            self._entries = entries_of(self._plan, frame)
        took = time.monotonic() - now
        self._next_look = now + max(self._every, SHARE * took)


def _text(entry: Entry, at_work: bool, seeds: int) -> Text:
    """A cell: its number so far, or what stands in its way."""
    if entry.mean is None:
        if entry.reason.startswith("not applicable"):
            return Text("n/a", style="dim")
        if "failed" in entry.reason and not at_work:
            return Text("failed", style="red")
        return Text("running" if at_work else "·", style="cyan" if at_work else "dim")
    text = number(entry.mean, entry.unit)
    if entry.spread is not None:
        text += f" ± {entry.spread:.1f}"
    if entry.n < seeds:
        text += f" ({entry.n}/{seeds})"
    return Text(text, style="bold" if entry.best and entry.n == seeds else "")
