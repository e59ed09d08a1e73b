"""Ctrl-C, SIGTERM and SIGHUP: one way to stop, for every command.

A signal raises ``KeyboardInterrupt``, as Ctrl-C does. While units run it does not: the first signal
asks the run to save what has been trained and to print the table so far, and a further one ends the
process at once. Signals within :data:`SAME_SECONDS` count as one.

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
SAME_SECONDS = 1.0
"""Signals this soon after one belong to it: `timeout` signals the process and then its group, and a
wrapper forwards what a terminal has sent to both."""
_last_counted = -math.inf
"""When a signal that counts came last."""


class Interrupt:
    """Whether a run has been asked to stop, and how long it may still take."""

    def __init__(self, *, requested: bool = False) -> None:
        self._at: float | None = None
        if requested:
            self.set()

    def set(self) -> None:
        """Ask the run to stop; may be called in a signal's handler. Only the first call counts."""
        if self._at is None:
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


def _count() -> None:
    """A signal has come that does not belong to an earlier one."""
    global _last_counted  # noqa: PLW0603  (handlers know nothing of each other otherwise)
    _last_counted = time.monotonic()


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """The handler outside of a run; a signal that belongs to an earlier one does nothing."""
    if time.monotonic() - _last_counted > SAME_SECONDS:
        _count()
        raise KeyboardInterrupt


@contextlib.contextmanager
def handling_signals() -> Iterator[None]:
    """In a command SIGTERM and SIGHUP do what Ctrl-C does; a SIGHUP that is ignored stays ignored.

    After it a further signal ends the process at once and prints nothing: at its exit a process
    waits for Ray's processes, and an exception there would print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, raise_interrupt)
    try:
        yield
    finally:
        for number in SIGNALS:
            if signal.getsignal(number) is raise_interrupt:
                signal.signal(number, lambda number, frame: os._exit(130))


def _handlers() -> dict[int, Any]:
    """Signal -> its handler, without signals whose handler Python has not installed."""
    found = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in found.items() if handler is not None}


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
            for number, handler in _handlers().items():
                _install(number, handler)
            signal.alarm(0)


@contextlib.contextmanager
def graceful(acknowledge: Callable[[], None]) -> Iterator[Interrupt]:
    """In this block the first signal asks to stop; a further one raises ``KeyboardInterrupt``.

    ``acknowledge`` is called at once, in the signal's handler, to say that it was received.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise_interrupt(number, frame)
        else:
            _count()
            interrupt.set()
            acknowledge()

    before = _handlers()
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(each, ask)
    try:
        yield interrupt
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
