"""What a person sees while a search runs: a live view on a terminal, else plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from ablation.search.record import Report, Trial
from ablation.text import duration


@dataclass
class _Running:
    trial: Trial
    epoch: int
    value: float | None


class View:
    """Listens to the trials. Use as a context manager around the run.

    Args:
        console: where to.
        known: the trials of the record so far.
        total: how many there shall be.
        epochs: of a trial that runs to its end.
        verbose: a line for each start and end on a terminal as well, and for each number.
    """

    def __init__(
        self, console: Console, known: Sequence[Trial], total: int, epochs: int, verbose: bool
    ) -> None:
        self._console, self._epochs, self._verbose = console, epochs, verbose
        self._lines = verbose or not console.is_terminal
        self._lock = threading.RLock()  # the view is drawn by a thread of its own
        self._ended = {t.number: t for t in known if t.state not in ("unfinished", "failed")}
        self._before, self._total = len(self._ended), max(total, len(known))
        self._running: dict[int, _Running] = {}
        self._began = time.monotonic()
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                console=console, get_renderable=self._render, refresh_per_second=2, transient=True
            )

    def __enter__(self) -> View:
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

    def started(self, trial: Trial) -> None:
        """A worker takes up ``trial``."""
        if trial.number not in self._running:
            settings = ", ".join(f"{path}={value}" for path, value in trial.parameters.items())
            self._say("started", f"trial {trial.number}  {settings}")
        with self._lock:
            self._running[trial.number] = _Running(trial, trial.epoch, trial.value)

    def reported(self, number: int, report: Report) -> None:
        """A trial has a number more."""
        with self._lock:
            if number in self._running:
                running = self._running[number]
                running.epoch, running.value = report.epoch, report.value
        if self._verbose:
            self._say("running", f"trial {number}  epoch {report.epoch}  {_percent(report.value)}")

    def ended(self, trial: Trial) -> None:
        """A trial is over; a failure is said at once, terminal or not."""
        with self._lock:
            self._running.pop(trial.number, None)
            self._ended[trial.number] = trial
        if trial.state == "failed":
            text = _line("failed", f"trial {trial.number}  {trial.reason}")
            self._console.print(Text(text, style="red"), soft_wrap=True)
            return
        what = "done" if trial.state == "completed" else trial.state
        value = "" if trial.value is None else f"  {_percent(trial.value)}"
        reason = f"  {trial.reason}" if trial.reason else ""
        eta = self.eta()
        self._say(
            what,
            f"trial {trial.number}  epoch {trial.epoch}{value}{reason}  "
            f"{len(self._ended)}/{self._total} trials"
            + (f"  ETA {duration(eta)}" if eta is not None else ""),
        )

    def waiting(self, why: str) -> None:
        """Nothing runs at present: said at once, terminal or not."""
        with self._lock:
            self._running.clear()
        self._console.print(Text(_line("waiting", why)), highlight=False, soft_wrap=True)

    def _say(self, what: str, text: str) -> None:
        if self._lines:
            self._console.print(Text(_line(what, text)), highlight=False, soft_wrap=True)

    def eta(self) -> float | None:
        """Seconds that are left, if the trials to come take as long as those that have ended."""
        fresh = len(self._ended) - self._before
        if not fresh:
            return None
        each = (time.monotonic() - self._began) / fresh
        return each * (self._total - len(self._ended))

    def _render(self) -> RenderableType:
        with self._lock:
            return self._drawn()

    def _drawn(self) -> RenderableType:
        ended, eta = len(self._ended), self.eta()
        whole = [t for t in self._ended.values() if t.value is not None and t.state == "completed"]
        best = max(whole, key=lambda t: t.value or 0.0, default=None)
        head = Grid.grid(padding=(0, 2))
        head.add_row(
            Text(f"{ended}/{self._total} trials", style="bold"),
            ProgressBar(total=self._total, completed=ended, width=28),
            f"{len(self._running)} running",
            f"best {_percent(best.value or 0)} (trial {best.number})" if best else "best ...",
            f"{duration(time.monotonic() - self._began)} gone",
            "ETA " + (duration(eta) if eta is not None else "..."),
        )
        body = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("trial", "epoch", "top-1"):
            body.add_column(name, justify="right")
        for running in self._running.values():
            value = "" if running.value is None else _percent(running.value)
            body.add_row(str(running.trial.number), f"{running.epoch}/{self._epochs}", value)
        return Group(head, body) if self._running else head


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _line(what: str, text: str) -> str:
    return f"{what:<7}  {datetime.now():%H:%M:%S}  {text}"
