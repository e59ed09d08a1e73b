"""The Ray of one command: what it starts is gone when it is over."""

from __future__ import annotations

import gc
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import ray

from ablation.scheduler.resources import Resources
from ablation.scheduler.session import cluster

RAYLET = """#!/bin/sh
sleep 60 >/dev/null &
echo $!
wait
"""
"""A process of Ray's name, with a worker that does not notice when it has gone."""


def test_a_worker_that_has_not_noticed_that_ray_has_gone_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "raylet"
    program.write_text(RAYLET)
    program.chmod(0o755)
    started: list[subprocess.Popen[str]] = []

    def init(*_: object, **__: object) -> None:
        started.append(subprocess.Popen([program], stdout=subprocess.PIPE, text=True))

    def shutdown() -> None:  # Ray ends its own processes; the workers are left to notice
        started[0].kill()
        started[0].communicate()

    monkeypatch.setattr("ablation.scheduler.session.GRACE_SECONDS", 0.2)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "nodes", list)
    with cluster(Resources()):
        assert started[0].stdout is not None
        worker = psutil.Process(int(started[0].stdout.readline()))
    give_up = time.monotonic() + 10
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up
        time.sleep(0.02)


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
