"""Signals before a run and after it: while a library starts, and when the command has ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from ablation import interrupts
from ablation.interrupts import Interrupt, graceful, handling_signals, keeping_handlers

PROGRAM = """
import atexit, os, sys, time

number = int(sys.argv.pop())

def wait():  # as Ray does for its own processes
    os.kill(os.getpid(), number)
    time.sleep(60)

atexit.register(wait)
from MODULE import main
main()
"""


@pytest.fixture
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No signal has come before, and the handlers are as before when the test has ended."""
    monkeypatch.setattr(interrupts, "_last_counted", -float("inf"))
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "module"),
    [(signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGHUP, ""), (signal.SIGTERM, ".single")],
)
def test_it_leaves_at_once_and_prints_no_traceback(number: signal.Signals, module: str) -> None:
    program = PROGRAM.replace("MODULE", f"ablation.cli{module}")
    words = [sys.executable, "-c", program, "--version", str(int(number))]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")


@pytest.mark.usefixtures("_own_handlers")
def test_signals_that_are_one_request_interrupt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a run a second one would end the message of the first with a traceback."""
    monkeypatch.setattr(interrupts, "SAME_SECONDS", 600.0)
    with handling_signals():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        monkeypatch.setattr(interrupts, "_last_counted", time.monotonic() - 601)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("_own_handlers")
def test_a_later_signal_ends_a_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "SAME_SECONDS", 600.0)
    acknowledged: list[bool] = []
    with graceful(lambda: acknowledged.append(True)):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        monkeypatch.setattr(interrupts, "_last_counted", time.monotonic() - 601)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert acknowledged == [True]


def test_the_first_request_to_stop_starts_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "EXIT_SECONDS", 60.0)
    interrupt = Interrupt(requested=True)
    first = interrupt.seconds_left
    time.sleep(0.01)
    interrupt.set()
    assert interrupt.seconds_left < first


def test_a_handler_that_python_has_not_installed_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``signal.getsignal`` gives None for it, which ``signal.signal`` does not take."""
    known = signal.getsignal
    monkeypatch.setattr(
        signal, "getsignal", lambda number: None if number == signal.SIGHUP else known(number)
    )
    before = known(signal.SIGHUP)
    with graceful(lambda: None), keeping_handlers():
        assert known(signal.SIGHUP) is before
    assert known(signal.SIGHUP) is before


def test_a_library_that_starts_does_not_keep_the_signals() -> None:
    """Ray installs a handler in Python, and another one in C, which ends the process."""
    ignore = ctypes.c_void_p(int(signal.SIG_IGN))
    acknowledged: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)
    with graceful(lambda: acknowledged.append(True)) as interrupt:
        with keeping_handlers():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            ctypes.CDLL(None).signal(int(signal.SIGTERM), ignore)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.wait(5)
        assert interrupt.seconds_left > 0
    assert acknowledged == [True]
    assert signal.getsignal(signal.SIGTERM) is before
