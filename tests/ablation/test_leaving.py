"""A signal that comes when the command has ended, and its process has not."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
