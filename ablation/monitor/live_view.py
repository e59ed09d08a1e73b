"""What a person sees while units run: a live view on a terminal, else plain lines."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import datetime

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ablation.events import Event, Failed, Finished, Pruned, Started, Verdict, Waiting
from ablation.monitor.run_state import RunState, Snapshot
from ablation.monitor.screen import counts, eta, screen, summary
from ablation.store import UnitFiles
from ablation.text import duration, short_key
from ablation.units import Unit
from skelcon.cli.terminal import line, styled

QUIET_SECONDS = 120.0
"""Without a terminal: seconds without a line after which the state is printed."""
TAIL_LINES = 6
"""Lines of a failed unit's log that are shown."""
CONSEQUENCES: dict[Verdict, str] = {
    "retry": "; it is retried",
    "retry alone": "; it is retried alone on its device",
    "failed": "",
}


class LiveView(contextlib.ExitStack):
    """A `Reporter` that shows a run: live on a terminal, else in plain lines.

    Use as a context manager around the run.

    Args:
        console: where to show it.
        state: the state of the run; it has to receive each event first.
        snapshot: gives that state with the table so far.
        verbose: on a terminal, print lines for each unit too.
        quiet: without a terminal, seconds without a line after which the state is printed.
    """

    def __init__(
        self,
        console: Console,
        state: RunState,
        snapshot: Callable[[], Snapshot],
        verbose: bool = False,
        quiet: float = QUIET_SECONDS,
    ) -> None:
        super().__init__()
        self._console, self._state, self._snapshot = console, state, snapshot
        self._quiet, self._lines = quiet, verbose or not console.is_terminal
        self._failure_shown, self._waiting = False, ""
        self._printed = time.monotonic()

    def __enter__(self) -> LiveView:
        console = self._console
        if console.is_terminal:
            self.enter_context(
                Live(
                    console=console,
                    get_renderable=lambda: screen(self._snapshot(), *console.size),
                    refresh_per_second=2,
                    transient=True,
                )
            )
        else:
            over = threading.Event()
            thread = threading.Thread(target=self._print_state, args=(over,), daemon=True)
            thread.start()
            self.callback(thread.join)
            self.callback(over.set)  # called before join: the last callback comes first
        return self

    def report(self, event: Event) -> None:
        """Print a line, if ``event`` is worth one."""
        match event:
            case Started(unit):
                self._waiting = ""
                self._line("started", unit)
            case Finished(unit):
                seconds = self._state.seconds_of(unit)
                time_taken = "by another driver" if seconds is None else duration(seconds)
                self._line("done", unit, time_taken, _progress(self._state.snapshot()))
            case Pruned(unit):
                self._line("pruned", unit, _progress(self._state.snapshot()))
            case Failed():
                self._failed(event)
            case Waiting(reason):
                if reason != self._waiting and not self._console.is_terminal:
                    self._print(styled(f"waiting  {_clock()}  {reason}"))
                self._waiting = reason

    def _failed(self, event: Failed) -> None:
        """Print a failure at once, also on a terminal; the first one with the end of its log."""
        tail = [] if self._failure_shown else UnitFiles(event.log.parent).log_tail(TAIL_LINES)
        self._failure_shown = True
        text = _text("failed", event.unit, f"{event.reason}{CONSEQUENCES[event.verdict]}")
        lines = [text, f"  log: {event.log}", *(f"  | {line}" for line in tail)]
        self._print(styled("\n".join(lines), "red"))

    def _line(self, what: str, unit: Unit, *more: str) -> None:
        if self._lines:
            self._print(styled(_text(what, unit, *more)))

    def _print(self, text: Text) -> None:
        self._printed = time.monotonic()
        with contextlib.suppress(OSError):  # of a disk that is full: the run goes on
            line(self._console, text)

    def _print_state(self, over: threading.Event) -> None:
        """In a thread: print the state whenever nothing has been printed for long."""
        while not over.wait(self._printed + self._quiet - time.monotonic()):
            if time.monotonic() - self._printed >= self._quiet:
                now = self._snapshot()
                parts = ("running", _clock(), counts(now), summary(now), _progress(now))
                self._print(styled("  ".join(filter(None, parts))))


def _clock() -> str:
    return f"{datetime.now():%H:%M:%S}"


def _text(what: str, unit: Unit, *more: str) -> str:
    return "  ".join((f"{what:<7}", _clock(), short_key(unit.key), unit.label, *more))


def _progress(now: Snapshot) -> str:
    return f"{now.done}/{now.units} units  ETA {eta(now.eta_s)}"
