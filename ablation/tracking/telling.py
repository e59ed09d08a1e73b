"""What a tracker is told, in a thread of its own: one that hangs holds up nobody else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from skelcon.cli.console import hung

SOON = 2.0
"""Seconds after which it is said for whom a command waits at its end."""
PATIENCE = 90.0
"""Seconds without any progress after which a command no longer waits at its end."""
PATIENCE_DROPPED = 5.0
"""The same after Ctrl-C, or an error."""


class Teller:
    """Does tasks one after another until one fails: then it is left out, with one warning.

    Args:
        name: whom the tasks tell something.
        console: for the warnings.
    """

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._last: Callable[[], None] = lambda: None
        self._moved = time.monotonic()
        self._dropped = self._broken = self._left = False
        self._thread = threading.Thread(target=self._work, name=f"tell {name}", daemon=True)

    def start(self) -> None:
        """Begin with the tasks."""
        self._thread.start()

    def put(self, task: Callable[[], None]) -> None:
        """Have it done after those before it."""
        self._tasks.put(task)

    def drop(self) -> None:
        """Do none of the tasks that are left."""
        self._dropped = True

    def end(self, last: Callable[[], None]) -> None:
        """No more tasks come; ``last`` is done after them, dropped or not."""
        self._last = last
        self._tasks.put(None)

    def wait(self) -> None:
        """Wait for the end as long as anything moves; what takes longer is said, and left."""
        began = time.monotonic()
        self._thread.join(SOON)
        if self._thread.is_alive() and not self._dropped:
            self._say(f"waiting for {self._name}; Ctrl-C leaves the rest to the next command")
        patience = PATIENCE_DROPPED if self._dropped else PATIENCE
        while self._thread.is_alive():
            stuck = time.monotonic() - max(began, self._moved)
            if stuck > patience:
                self._dropped = self._left = True
                hung.set()
                self._say(
                    f"warning: {self._name} took nothing for {stuck:.0f} s and is left: the next "
                    "command tells it the rest"
                )
                return
            self._thread.join(0.2)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if not self._dropped:
                self._try(task)
            self._moved = time.monotonic()
        self._try(self._last)

    def _try(self, task: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            task()
        except Exception as error:  # whatever it is: the study goes on without it
            self._broken = True
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if not self._left:  # the command may have ended since
                self._say(
                    f"warning: {self._name} is left out from here on: "
                    f"{type(error).__name__}: {reason}"
                )

    def _say(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"), soft_wrap=True)
