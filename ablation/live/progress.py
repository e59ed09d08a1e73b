"""What a person sees while units run: a live view on a terminal, else plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ablation.live.snapshot import Snapshot
from ablation.live.standing import Standing
from ablation.live.view import counts, eta, screen
from ablation.plan import Unit
from ablation.runner.queue import Verdict
from ablation.tables.display import duration

QUIET = 120.0
"""Seconds without a line, where there is no terminal, after which one says how it stands."""


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
        look: how it stands with the table so far, for the live view.
        verbose: lines for each unit on a terminal as well.
        quiet: seconds without a line after which one says how it stands, without a terminal.
    """

    def __init__(
        self,
        console: Console,
        standing: Standing,
        look: Callable[[], Snapshot],
        verbose: bool = False,
        quiet: float = QUIET,
    ) -> None:
        self._console, self._standing, self._look, self._quiet = console, standing, look, quiet
        self._lines = verbose or not console.is_terminal
        self._failure_shown = False
        self._waiting = ""
        self._said = time.monotonic()
        self._over = threading.Event()
        self._reporter: threading.Thread | None = None
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                console=console,
                get_renderable=lambda: screen(look(), *console.size),
                refresh_per_second=2,
                transient=True,
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
        self._say("started", unit)

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """Nothing: the standing has noted it."""

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        if self._lines:
            took = self._standing.took(unit)
            by = "by another driver" if took is None else duration(took)
            self._say("done", unit, f"{by}  {_stand(self._standing.snapshot())}")

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed: said at once, terminal or not; the first time with its log."""
        tail = [] if self._failure_shown else _last_lines(log)
        self._failure_shown = True
        what_now = {
            "again": "; it is tried again",
            "alone": "; it is tried again alone on its device",
            "failed": "",
        }[verdict]
        text = _line("failed", unit, f"{reason}{what_now}")
        lines = [text, f"  log: {log}", *(f"  | {line}" for line in tail)]
        self._print(Text("\n".join(lines), style="red"))

    def waiting(self, why: str) -> None:
        """Nothing runs at present: shown below the bar, or said once if there is none."""
        if why != self._waiting and self._live is None:
            self._print(Text(f"waiting  {_clock()}  {why}"))
        self._waiting = why

    def _say(self, what: str, unit: Unit, more: str = "") -> None:
        if self._lines:
            self._print(Text(_line(what, unit, more)))

    def _print(self, text: Text) -> None:
        self._said = time.monotonic()
        self._console.print(text, soft_wrap=True, highlight=False)

    def _report(self) -> None:
        """Say how it stands when nothing has been said for long."""
        while not self._over.wait(self._said + self._quiet - time.monotonic()):
            if time.monotonic() - self._said >= self._quiet:
                now = self._standing.snapshot()
                self._print(Text(f"running  {_clock()}  {counts(now)}  {_stand(now)}"))


def _clock() -> str:
    return f"{datetime.now():%H:%M:%S}"


def _line(what: str, unit: Unit, more: str) -> str:
    return f"{what:<7}  {_clock()}  {unit.key}  {unit.label}" + (f"  {more}" if more else "")


def _stand(now: Snapshot) -> str:
    return f"{now.done}/{now.units} units  ETA {eta(now.eta_s)}"
