"""Programs that are not skelcon's: found, started on loopback, ended with all their children."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "ablation"))
from ablation_helpers import ablate, command
from study_helpers import TINY_STUDY, write_utd

__all__ = ["TINY_STUDY", "ablate", "command", "write_utd"]

LONG = "SKELCON_REAL"
"""Set in the environment, it asks for what takes minutes, too."""


def program(name: str) -> str:
    """The path of a program, beside Python or on the PATH; skips the test where it is absent."""
    beside = str(Path(sys.executable).parent)
    places = os.pathsep.join([beside, *os.get_exec_path(), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def only_if_asked() -> None:
    """Skips what takes minutes unless it was asked for."""
    if not os.environ.get(LONG):
        pytest.skip(f"takes minutes: set {LONG}=1")


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def server(log: Path, *words: object, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that serves, in a session of its own, which ends with the block."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            list(map(str, words)),
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def wait_for(what: str, ready: Callable[[], object], seconds: float, log: Path) -> None:
    """Until ``ready`` gives something true; an error with the end of ``log`` after so long."""
    give_up = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > give_up:
            text = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            raise AssertionError(f"{what}: not after {seconds:g} s\n{text}")
        time.sleep(0.2)


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex((address, port)) == 0


def alone(file: str) -> None:
    """Run the tests of a file as a program, all of them, with what they say."""
    os.environ[LONG] = "1"
    sys.exit(pytest.main([file, "-s", "-rs"]))
