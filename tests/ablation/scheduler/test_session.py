"""The Ray of one command: what it starts is gone when it is over."""

from __future__ import annotations

import ctypes
import gc
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import ray
from ray.tune.error import TuneError

from ablation.scheduler.resources import Resources
from ablation.scheduler.session import SessionLostError, cluster
from ablation.scheduler.stopping import fit

RAYLET = """#!/bin/sh
sleep 60 >/dev/null &
echo $!
wait
"""
"""A process of Ray's name, with a worker that does not notice when it has gone."""


@pytest.fixture
def raylet(tmp_path: Path) -> Path:
    program = tmp_path / "raylet"
    program.write_text(RAYLET)
    program.chmod(0o755)
    return program


def worker_of(raylet: subprocess.Popen[str]) -> psutil.Process:
    assert raylet.stdout is not None
    return psutil.Process(int(raylet.stdout.readline()))


def wait_for_end(process: psutil.Process) -> None:
    give_up = time.monotonic() + 60
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_worker_that_has_not_noticed_that_ray_has_gone_does_not_stay(
    raylet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    def init(*_: object, **__: object) -> None:
        started.append(subprocess.Popen([raylet], stdout=subprocess.PIPE, text=True))

    def shutdown() -> None:  # Ray ends its own processes; the workers are left to notice
        started[0].kill()
        started[0].communicate()

    monkeypatch.setattr("ablation.scheduler.session.GRACE_SECONDS", 0.2)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "nodes", list)
    with cluster(Resources()):
        worker = worker_of(started[0])
    wait_for_end(worker)


def test_nothing_stays_of_a_ray_that_does_not_start(
    raylet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []
    workers: list[psutil.Process] = []

    def init(*_: object, **__: object) -> None:
        started.append(subprocess.Popen([raylet], stdout=subprocess.PIPE, text=True))
        workers.append(worker_of(started[0]))
        raise RuntimeError("The current node timed out.")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(SessionLostError, match="timed out"), cluster(Resources()):
        raise AssertionError("not reached")
    wait_for_end(workers[0])
    started[0].communicate(timeout=10)


def test_an_experiment_whose_ray_has_died_has_not_failed(
    raylet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune wraps what its callbacks raise in an error of its own."""
    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(ray, "init", lambda *_, **__: started.append(subprocess.Popen([raylet])))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "nodes", list)

    class Fails:
        def fit(self) -> None:
            raise TuneError("a callback failed")

    with cluster(Resources()):
        with pytest.raises(TuneError):
            fit(Fails())
        started[0].kill()
        started[0].wait()
        with pytest.raises(SessionLostError):
            fit(Fails())


class Reference:
    """In place of an ``ObjectRef``: only the garbage collector can release it."""

    def __init__(self, released: list[str], name: str) -> None:
        self.me = self
        self.released, self.name = released, name

    def __del__(self) -> None:
        self.released.append(self.name)


def test_nothing_is_collected_while_ray_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray ends the process in which an ``ObjectRef`` is released then, in whatever thread."""
    released: list[str] = []
    seen: list[list[str]] = []

    def shutdown() -> None:
        Reference(released, "meanwhile")
        filled = [[] for _ in range(100_000)]  # enough for the collector to run, were it on
        seen.append(released[: len(filled)])

    for name, value in (("init", lambda *_, **__: None), ("shutdown", shutdown)):
        monkeypatch.setattr(ray, name, value)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "nodes", list)
    with cluster(Resources()):
        Reference(released, "before")
    assert seen == [["before"]]
    assert gc.isenabled()


def test_sigterm_is_handled_after_ray_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's C++ code removes the handler, which Python does not notice."""
    c_library = ctypes.CDLL(None)
    c_library.signal.restype = ctypes.c_void_p
    c_library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    for name, value in (("init", lambda *_, **__: None), ("nodes", list)):
        monkeypatch.setattr(ray, name, value)
    monkeypatch.setattr(ray, "shutdown", lambda: c_library.signal(signal.SIGTERM, None))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        with cluster(Resources()):
            pass
        handler = c_library.signal(signal.SIGTERM, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert handler is not None
