"""What a person sees while a search runs: a live view on a terminal, lines with ``--verbose``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from ablation.display import duration
from ablation.search.record import Report, Trial


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
        verbose: a line for each start, number and end.
    """

    def __init__(
        self, console: Console, known: Sequence[Trial], total: int, epochs: int, verbose: bool
    ) -> None:
        self._console, self._epochs, self._verbose = console, epochs, verbose
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
            self._say(f"trial {trial.number}  started  {settings}")
        self._running[trial.number] = _Running(trial, trial.epoch, trial.value)

    def reported(self, number: int, report: Report) -> None:
        """A trial has a number more."""
        if number in self._running:
            running = self._running[number]
            running.epoch, running.value = report.epoch, report.value
        self._say(f"trial {number}  epoch {report.epoch}  {100 * report.value:.1f} %")

    def ended(self, trial: Trial) -> None:
        """A trial is over; a failure is said at once, terminal or not."""
        self._running.pop(trial.number, None)
        self._ended[trial.number] = trial
        if trial.state == "failed":
            self._console.print(Text(f"trial {trial.number} failed: {trial.reason}", style="red"))
        else:
            reason = f": {trial.reason}" if trial.reason else ""
            self._say(f"trial {trial.number}  {trial.state} at epoch {trial.epoch}{reason}")

    def _say(self, text: str) -> None:
        if self._verbose:
            self._console.print(Text(text), highlight=False, soft_wrap=True)

    def eta(self) -> float | None:
        """Seconds that are left, if the trials to come take as long as those that have ended."""
        fresh = len(self._ended) - self._before
        if not fresh:
            return None
        each = (time.monotonic() - self._began) / fresh
        return each * (self._total - len(self._ended))

    def _render(self) -> RenderableType:
        ended, eta = len(self._ended), self.eta()
        whole = [t for t in self._ended.values() if t.value is not None and t.state == "completed"]
        best = max(whole, key=lambda t: t.value or 0.0, default=None)
        head = Grid.grid(padding=(0, 2))
        head.add_row(
            Text(f"{ended}/{self._total} trials", style="bold"),
            ProgressBar(total=self._total, completed=ended, width=28),
            f"{len(self._running)} running",
            f"best {100 * (best.value or 0):.1f} % (trial {best.number})" if best else "best ...",
            f"{duration(time.monotonic() - self._began)} gone",
            "ETA " + (duration(eta) if eta is not None else "..."),
        )
        body = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("trial", "epoch", "top-1"):
            body.add_column(name, justify="right")
        for running in self._running.values():
            value = "" if running.value is None else f"{100 * running.value:.1f} %"
            body.add_row(str(running.trial.number), f"{running.epoch}/{self._epochs}", value)
        return Group(head, body) if self._running else head
