"""Ctrl-C, SIGTERM and SIGHUP: one way to stop, for every command.

A signal raises ``KeyboardInterrupt``, as Ctrl-C does. While units run it does not: the run is to
save what has been trained, and to show what there is. The first signal then asks it to stop, and a
second one leaves at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupt(threading.Event):
    """Whether a run has been asked to stop; one can wait for it."""

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.is_set()


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
    """The command has ended: a further signal ends the process at once, and says nothing.

    At its exit a process waits for Ray's own, and an exception there would only be printed.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is raise_interrupt:
            signal.signal(number, lambda number, frame: os._exit(130))


@contextlib.contextmanager
def keeping_handlers() -> Iterator[None]:
    """A library that starts in this block may take signals for itself, but not for longer."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    except SystemExit:  # the answer of its own handler to SIGTERM
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def graceful(acknowledge: Callable[[], None]) -> Iterator[Interrupt]:
    """In this block the first signal asks to stop; the second raises ``KeyboardInterrupt``.

    ``acknowledge`` is called at once, in the signal's handler: whoever pressed Ctrl-C sees that it
    was received.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: FrameType | None) -> None:
        interrupt.set()
        for each in SIGNALS:
            if signal.getsignal(each) is ask:
                signal.signal(each, raise_interrupt)
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
