"""What a person sees: the live view of a running study, and its table in the terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from ablation.plan import Unit
from ablation.queue import Verdict
from ablation.tables import Table, text_of


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


@dataclass
class _Running:
    unit: Unit
    began: float
    epoch: int = 0
    first_epoch: int | None = None
    loss: float | None = None
    samples_per_s: float | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def total(self) -> float | None:
        """Seconds this unit takes in all, as far as its epochs so far tell."""
        fresh = self.epoch - (self.first_epoch or 0)
        if not self.unit.epochs or fresh <= 0:
            return None
        return self.seconds * (self.unit.epochs - (self.first_epoch or 0)) / fresh

    def left(self) -> float | None:
        """Seconds this unit still takes."""
        total = self.total()
        return None if total is None else max(0.0, total - self.seconds)


@dataclass
class _Pace:
    """Mean durations by kind of unit, for the estimate of what is left."""

    seconds: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    @staticmethod
    def kind(unit: Unit) -> tuple[str, ...]:
        return (unit.kind, str(unit.config.get("task", "")), *unit.representations)

    def add(self, unit: Unit, seconds: float) -> None:
        self.seconds.setdefault(self.kind(unit), []).append(seconds)

    def of(self, unit: Unit, running: Mapping[str, _Running]) -> float | None:
        known = self.seconds.get(self.kind(unit)) or [
            total
            for other in running.values()
            if self.kind(other.unit) == self.kind(unit) and (total := other.total()) is not None
        ]
        if not known and unit.kind == "pretrain":
            known = [x for kind, xs in self.seconds.items() if kind[0] == "pretrain" for x in xs]
            known += [t for r in running.values() if (t := r.total()) is not None]
        elif not known:
            known = [1.0]  # an evaluation is short; its first result corrects this
        return sum(known) / len(known) if known else None


class Progress:
    """Listens to the runner: a live view on a terminal, plain lines with ``verbose``, else quiet.

    Use as a context manager around the run.
    """

    def __init__(
        self, console: Console, units: list[Unit], cached: int, slots: int, verbose: bool
    ) -> None:
        self._console = console
        self._left = {unit.key: unit for unit in units}
        self._total, self._cached, self._slots = len(units) + cached, cached, max(1, slots)
        self._running: dict[str, _Running] = {}
        self._pace = _Pace()
        self._failures = self._failures_shown = 0
        self._waiting = ""
        self._verbose = verbose
        self._began = time.monotonic()
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                console=console, get_renderable=self._render, refresh_per_second=2, transient=True
            )

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""
        self._waiting = ""
        self._running[unit.key] = _Running(unit, time.monotonic())
        self._say(f"started  {unit.key}  {unit.label}")

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """Note the epoch, the loss and the speed of ``unit``."""
        running = self._running.get(unit.key)
        if running is None:
            return
        if running.first_epoch is None:
            # The first report covers work of its own: what stood before it was resumed.
            running.first_epoch = max(0, int(progress.get("epoch", 0)) - 1)
            running.began = time.monotonic()
        running.epoch = int(progress.get("epoch", 0))
        running.loss = progress.get("loss")
        running.samples_per_s = progress.get("samples_per_s")

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        running = self._running.pop(unit.key, None)
        self._left.pop(unit.key, None)
        if running is not None:
            self._pace.add(unit, running.seconds)
        self._say(f"done     {unit.key}  {unit.label}")

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed: said at once, terminal or not; the first time with its log."""
        self._running.pop(unit.key, None)
        tail = _last_lines(log) if not self._failures_shown else []
        self._failures_shown += 1
        what_now = {
            "again": "; it is tried again",
            "alone": "; it is tried again alone on its device",
            "failed": "",
        }[verdict]
        if verdict == "failed":
            self._left.pop(unit.key, None)
            self._failures += 1
        lines = [f"{unit.label}: {reason}{what_now}", f"  log: {log}", *(f"  | {x}" for x in tail)]
        self._console.print(Text("\n".join(lines), style="red"), soft_wrap=True)

    def waiting(self, why: str) -> None:
        """Nothing runs at present: shown below the bar, or said once if there is none."""
        if why != self._waiting and self._live is None:
            self._console.print(Text(f"waiting: {why}"), soft_wrap=True)
        self._waiting = why

    def _say(self, text: str) -> None:
        if self._verbose:
            self._console.print(Text(text), highlight=False, soft_wrap=True)

    def _eta(self) -> float | None:
        work = 0.0
        for unit in self._left.values():
            running = self._running.get(unit.key)
            seconds = running.left() if running else None
            if seconds is None:
                seconds = self._pace.of(unit, self._running)
            if seconds is None:
                return None
            work += seconds
        return work / min(self._slots, max(1, len(self._left)))

    def _render(self) -> RenderableType:
        done = self._total - len(self._left) - self._failures
        eta = self._eta()
        head = Grid.grid(padding=(0, 2))
        head.add_row(
            Text(f"{done}/{self._total} units", style="bold"),
            ProgressBar(total=self._total, completed=done, width=28),
            f"{self._cached} cached, {len(self._running)} running"
            + (f", {self._failures} failed" if self._failures else ""),
            f"{duration(time.monotonic() - self._began)} gone",
            "ETA " + (duration(eta) if eta is not None else "..."),
        )
        body = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim")
        body.add_column("running")
        for name in ("epoch", "loss", "samples/s", "ETA"):
            body.add_column(name, justify="right")
        for running in self._running.values():
            left = running.left()
            epochs = running.unit.epochs
            body.add_row(
                running.unit.label,
                f"{running.epoch}/{epochs}" if epochs else "",
                f"{running.loss:.3f}" if running.loss is not None else "",
                f"{running.samples_per_s:.0f}" if running.samples_per_s else "",
                duration(left) if left is not None else "",
            )
        if self._waiting and not self._running:
            return Group(head, Text(f"waiting: {self._waiting}", style="yellow"))
        return Group(head, body) if self._running else head


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
