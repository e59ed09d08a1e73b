"""What a person sees: the live view of a running study, and its table in the terminal."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from ablation.live_table import TableSoFar
from ablation.plan import Unit
from ablation.queue import Verdict
from ablation.standing import Standing
from ablation.tables import Table, text_of

WIDE = 100
"""From this width on a unit that runs has a bar."""
NARROW = 76
"""Below this width its samples per second are left out."""


def duration(seconds: float) -> str:
    """``48 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _last_lines(log: Path, count: int = 6) -> list[str]:
    """The end of a unit's log, for who wants to know at once."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


class Progress:
    """Listens to the runner: a live view on a terminal, else plain lines.

    Use as a context manager around the run.

    Args:
        console: where to show it.
        standing: how the study stands; hears of everything before this does.
        title: the study's name.
        table: the table so far, for the live view.
        verbose: lines for each unit on a terminal as well.
        every: seconds between two lines that say how the study stands, without a terminal.
    """

    def __init__(
        self,
        console: Console,
        standing: Standing,
        title: str,
        table: TableSoFar | None = None,
        verbose: bool = False,
        every: float = 30.0,
    ) -> None:
        self._console, self._standing, self._title = console, standing, title
        self._table, self._every = table, every
        self._lines = verbose or not console.is_terminal
        self._failure_shown = False
        self._waiting = ""
        self._over = threading.Event()
        self._reporter: threading.Thread | None = None
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                console=console, get_renderable=self._render, refresh_per_second=2, transient=True
            )

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        else:
            self._reporter = threading.Thread(target=self._report, daemon=True)
            self._reporter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._live is not None:
            self._live.stop()
        if self._reporter is not None:
            self._reporter.join()

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""
        self._waiting = ""
        self._say(f"started  {unit.key}  {unit.label}")

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """Nothing: the standing has noted it."""

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        if self._table is not None:
            self._table.changed()
        self._say(f"done     {unit.key}  {unit.label}")

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed: said at once, terminal or not; the first time with its log."""
        if self._table is not None:
            self._table.changed()
        tail = [] if self._failure_shown else _last_lines(log)
        self._failure_shown = True
        what_now = {
            "again": "; it is tried again",
            "alone": "; it is tried again alone on its device",
            "failed": "",
        }[verdict]
        lines = [f"{unit.label}: {reason}{what_now}", f"  log: {log}", *(f"  | {x}" for x in tail)]
        self._console.print(Text("\n".join(lines), style="red"), soft_wrap=True)

    def waiting(self, why: str) -> None:
        """Nothing runs at present: shown below the bar, or said once if there is none."""
        if why != self._waiting and self._live is None:
            self._console.print(Text(f"waiting: {why}"), soft_wrap=True)
        self._waiting = why

    # -- plain lines ------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        if self._lines:
            self._console.print(Text(text), highlight=False, soft_wrap=True)

    def _report(self) -> None:
        while not self._over.wait(self._every):
            with self._standing.held() as standing:
                text = f"{standing.done}/{standing.total} units done, {_counts(standing)}"
                text += f", {duration(standing.gone)} gone, ETA {_eta(standing.eta())}"
            self._say(text)

    # -- the live view ----------------------------------------------------------------------

    def _render(self) -> RenderableType:
        width, height = self._console.size
        if self._table is not None:
            self._table.look()
        with self._standing.held() as standing:
            parts = self._head(standing, width)
            space = height - len(parts) - 1  # the line of the cursor
            table = None
            # The table is left out where it would hide all that runs.
            if self._table is not None and self._table.height + 5 <= space:
                table = self._table.grid(standing.running, width)
            if table is not None and self._table is not None:
                space -= self._table.height + 1
            if standing.running:
                parts += ["", _running(standing, width, space - 1)]
        if table is not None:
            parts += ["", table]
        return Group(*parts)

    def _head(self, standing: Standing, width: int) -> list[RenderableType]:
        counts = f"{standing.done}/{standing.total} units"
        eta = f"ETA {_eta(standing.eta())}"
        # (The room of the longest ETA is kept, so that the bar stays as long as it is.)
        bar = max(10, min(60, width - len(self._title) - len(counts) - len("ETA 10 min 10 s") - 6))
        head = Grid.grid(padding=(0, 2, 0, 0))
        head.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=max(1, standing.total), completed=standing.progress, width=bar),
            Text(counts, style="bold"),
            eta,
        )
        text = Text(f"{_counts(standing)}, {duration(standing.gone)} gone", style="dim")
        text.highlight_regex(r"\d+ failed|\d+ cannot run", "not dim red")
        lines: list[RenderableType] = [head, text]
        if standing.waiting_for and not standing.running:
            lines.append(Text(f"waiting: {standing.waiting_for}", style="yellow"))
        return lines


def _eta(seconds: float | None) -> str:
    return "..." if seconds is None else duration(seconds)


def _counts(standing: Standing) -> str:
    parts = [f"{len(standing.running)} running", f"{standing.to_come} to come"]
    if standing.cached:
        parts.append(f"{standing.cached} cached")
    if standing.failures:
        parts.append(f"{standing.failures} failed")
    if standing.lost:
        parts.append(f"{standing.lost} cannot run")
    return ", ".join(parts)


def _running(standing: Standing, width: int, lines: int) -> RenderableType:
    """The units that run, as many as there are lines for."""
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    names = ["epoch", "loss", "samples/s", "ETA"]
    if width < NARROW:
        names.remove("samples/s")
    room_of_label = width - 11 * len(names) - 2
    grid.add_column("running", no_wrap=True, overflow="ellipsis", max_width=room_of_label)
    if width >= WIDE:
        grid.add_column("", no_wrap=True)
    for name in names:
        grid.add_column(name, justify="right", no_wrap=True)
    shown = list(standing.running.values())
    room = max(1, lines - 1)
    if len(shown) > room:
        shown = shown[: max(1, room - 1)]
    for running in shown:
        left, epochs = standing.left_of(running), running.unit.epochs
        cells: list[RenderableType] = [running.unit.label]
        if width >= WIDE:
            bar = ProgressBar(total=epochs, completed=running.epoch, width=16)
            cells.append(bar if epochs else "")
        values = {
            "epoch": f"{running.epoch}/{epochs}" if epochs else "",
            "loss": f"{running.loss:.3f}" if running.loss is not None else "",
            "samples/s": f"{running.samples_per_s:.0f}" if running.samples_per_s else "",
            "ETA": duration(left) if left is not None else "",
        }
        grid.add_row(*cells, *(values[name] for name in names))
    if len(shown) < len(standing.running):
        grid.add_row(Text(f"and {len(standing.running) - len(shown)} more", style="dim"))
    return grid


def print_table(console: Console, table: Table) -> None:
    """The table as a person reads it: the best of each column in bold."""
    grid = Grid(header_style="bold")
    grid.add_column("row")
    for column in table.columns:
        grid.add_column(table.column_label(column), justify="right")

    def add(row: str) -> None:
        values = []
        for column in table.columns:
            entry = table.entries[row, column]
            failed = entry.mean is None and entry.reason.startswith("failed")
            style = "bold" if entry.best else "red" if failed else ""
            values.append(Text(text_of(entry, table.show_paper), style=style))
        style = "italic dim" if row in table.references else ""
        grid.add_row(table.label(row), *values, style=style)

    for row in table.rows:
        add(row)
    if table.references:
        grid.add_section()
        for row in table.references:
            add(row)
    if table.reported:
        grid.add_section()
    for name, other in table.reported.items():
        values = [Text(table.reported_text(name, column)) for column in table.columns]
        grid.add_row(f"{other.label} (reported)", *values, style="italic dim")
    console.print(Text(table.caption, style="bold"))
    console.print(grid)
    for note in table.notes:
        console.print(Text(f"- {note}", style="dim"))
