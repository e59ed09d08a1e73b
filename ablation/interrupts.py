"""Ctrl-C, SIGTERM and SIGHUP: one way to stop, for every command.

A signal raises ``KeyboardInterrupt``, as Ctrl-C does. While units run it does not: the first signal
asks the run to save what has been trained and to print the table so far, and a second one ends the
process at once.

The first signal starts a clock of :data:`EXIT_SECONDS`:

1. Each trial ends its epoch and writes a checkpoint. A trial that is still in the middle of an
   epoch when only :data:`ENDING_SECONDS` are left is killed. A checkpoint that is being written is
   waited for, up to :data:`WRITING_SECONDS` longer.
2. Ray ends, and the table so far is printed.
3. Trackers have the time that is left. The next command sends what they have not sent.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_install = signal.signal  # the real one: `keeping_handlers` replaces signal.signal
POLL_SECONDS = 0.05
"""Seconds between two checks whether a signal has come."""
EXIT_SECONDS = 5.0
"""How long after the first signal a command has to have ended."""
ENDING_SECONDS = 2.0
"""How much of that is kept for ending Ray and printing the table."""
WRITING_SECONDS = 20.0
"""How much longer a command waits for checkpoints that are being written."""


class Interrupt:
    """Whether a run has been asked to stop, and how long it may still take."""

    def __init__(self, *, requested: bool = False) -> None:
        self._at: float | None = None
        if requested:
            self.set()

    def set(self) -> None:
        """Ask the run to stop; may be called in a signal's handler."""
        self._at = time.monotonic()

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._at is not None

    @property
    def seconds_left(self) -> float:
        """Seconds until the command has to have ended; infinite if no signal has come."""
        if self._at is None:
            return math.inf
        return max(0.0, self._at + EXIT_SECONDS - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Wait for a signal, ``seconds`` at most; gives whether one has come."""
        # (A ``threading.Event`` could deadlock, as its lock may be held where the handler runs.)
        until = time.monotonic() + seconds
        while not self.requested and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
        return self.requested


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """The handler outside of a run."""
    raise KeyboardInterrupt


def handle_signals() -> None:
    """From now on SIGTERM and SIGHUP do what Ctrl-C does.

    A SIGHUP that is ignored (``nohup``) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, raise_interrupt)


def leave_on_signals() -> None:
    """The command has ended: a further signal ends the process at once and prints nothing.

    At its exit a process waits for Ray's processes; an exception there would print a traceback.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is raise_interrupt:
            signal.signal(number, lambda number, frame: os._exit(130))


@contextlib.contextmanager
def keeping_handlers() -> Iterator[None]:
    """Keep the handlers of this process, although a library installs others in this block."""

    def install(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number in SIGNALS else _install(number, handler)

    signal.signal = install  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = _install
        if threading.current_thread() is threading.main_thread():
            # Ray's C++ code may have installed its own handler, which sets an alarm that ends the
            # process.
            for number in SIGNALS:
                _install(number, signal.getsignal(number))
            signal.alarm(0)


@contextlib.contextmanager
def graceful(acknowledge: Callable[[], None]) -> Iterator[Interrupt]:
    """In this block the first signal asks to stop; the second raises ``KeyboardInterrupt``.

    ``acknowledge`` is called at once, in the signal's handler, to say that it was received.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: FrameType | None) -> None:
        interrupt.set()
        for each in SIGNALS:
            if signal.getsignal(each) is ask:
                _install(each, raise_interrupt)
        acknowledge()

    before = {each: signal.getsignal(each) for each in SIGNALS}
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(each, ask)
    try:
        yield interrupt
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
