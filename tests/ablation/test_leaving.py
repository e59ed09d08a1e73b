"""Signals before a run and after it: while a library starts, and when the command has ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

import pytest

from ablation.interrupts import graceful, keeping_handlers

PROGRAM = """
import atexit, os, sys, time

number = int(sys.argv.pop())

def wait():  # as Ray does for its own processes
    os.kill(os.getpid(), number)
    time.sleep(60)

atexit.register(wait)
from ablation.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_leaves_at_once_and_prints_no_traceback(number: signal.Signals) -> None:
    words = [sys.executable, "-c", PROGRAM, "--version", str(int(number))]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")


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
