"""A background thread per tracker: one that hangs delays neither the study nor the others.

`concurrent.futures` is not used: Python waits for its threads at exit, also for one that hangs.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable

from rich.console import Console

from skelcon.cli.console import exit_at_once
from skelcon.cli.terminal import line, styled

NOTICE_AFTER = 2.0
"""Seconds of waiting at the end of a command after which it prints what it waits for."""
TIMEOUT = 90.0
"""Seconds without progress after which a command no longer waits."""
SHORTEST = 0.3
"""Seconds that a command waits in any case."""


class TrackerThread(threading.Thread):
    """Runs tasks one after another. After a task that fails it skips the rest, with one warning.

    Args:
        tracker: its name.
        console: for the warnings.
        last: runs after the other tasks, cancelled or not.
    """

    def __init__(self, tracker: str, console: Console, last: Callable[[], None]) -> None:
        super().__init__(name=f"tracker {tracker}", daemon=True)
        self._tracker, self._console, self._last = tracker, console, last
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._progressed = time.monotonic()
        self._cancelled = self._failed = self._abandoned = False

    def submit(self, task: Callable[[], None] | None) -> None:
        """Run ``task`` after the tasks before it; None ends the thread."""
        self._tasks.put(task)

    def cancel(self) -> None:
        """Skip the tasks that have not started."""
        self._cancelled = True

    def wait(self, seconds: float = math.inf) -> None:
        """Wait until all is sent; a thread that takes too long is abandoned, with a warning.

        Args:
            seconds: how long to wait at most, and only while there is progress.
        """
        wait_start = time.monotonic()
        until = wait_start + max(SHORTEST, seconds)
        self.join(min(NOTICE_AFTER, until - wait_start))
        if self.is_alive() and not self._cancelled:
            self._print(f"waiting for {self._tracker}; Ctrl-C leaves the rest to the next command")
        while self.is_alive():
            now = time.monotonic()
            stuck = now - max(wait_start, self._progressed)
            if stuck > TIMEOUT or now >= until:
                self._cancelled = self._abandoned = True
                exit_at_once.set()
                why = "has not finished in time"
                if stuck > TIMEOUT:
                    why = f"made no progress for {stuck:.0f} s"
                self._print(
                    f"warning: {self._tracker} {why} and is abandoned: the next command sends the "
                    "rest"
                )
                return
            self.join(0.2)

    def run(self) -> None:
        """Called in the thread."""
        while (task := self._tasks.get()) is not None:
            if not self._cancelled:
                self._try(task)
            self._progressed = time.monotonic()
        self._try(self._last)

    def _try(self, task: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            task()
        except Exception as error:  # of any kind: the study continues without this tracker
            self._failed = True
            kind = type(error).__name__
            reason = (str(error).strip().splitlines() or [kind])[0]
            if not self._abandoned:  # the command may have ended since
                self._print(f"warning: {self._tracker} is skipped from now on: {kind}: {reason}")

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full
            line(self._console, styled(text, "yellow"))
