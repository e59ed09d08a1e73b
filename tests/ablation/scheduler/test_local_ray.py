"""What the workers of this machine's Ray import at their start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ablation.scheduler.local_ray import PRELOADED, RETRIES, THREADS, local_ray
from ablation.scheduler.resources import Resources


@pytest.fixture(autouse=True)
def _two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for name in (PRELOADED, THREADS, *RETRIES):
        monkeypatch.delenv(name, raising=False)


def seen(trials: int, **asked: float) -> tuple[str | None, str | None]:
    """What Ray finds in its environment: the modules, and the threads."""
    with local_ray(Resources(**asked), trials):  # type: ignore[arg-type]
        found = os.environ.get(PRELOADED), os.environ.get(THREADS)
    assert not {PRELOADED, THREADS, *RETRIES} & {*os.environ}
    return found


def test_workers_import_torch_at_once_where_each_will_have_a_trial() -> None:
    module, threads = seen(2)
    assert module is not None
    found = "{'torch', 'ray.tune'} <= {*sys.modules}, gc.isenabled(), gc.get_freeze_count() > 0"
    done = subprocess.run(
        [sys.executable, "-c", f"import gc, sys, {module}; print({found})"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == ["True"] * 3
    assert threads == "1"  # as Ray itself sets it for a trial, which is too late then
    assert seen(1) == (None, None)
    assert seen(9, max_concurrent=1) == (None, None)
    assert seen(9, cpus_per_trial=2) == (None, None)
    assert seen(9, gpus_per_trial=0.5) == (None, None)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "3")
    with local_ray(Resources(), 2):
        assert os.environ[THREADS] == "3"
    assert os.environ[THREADS] == "3"


def test_a_socket_of_ray_is_tried_again_soon_for_as_long_as_by_default() -> None:
    with local_ray(Resources(), 0):
        wait, attempts = (int(os.environ[name]) for name in RETRIES)
    assert wait <= 50
    assert wait * attempts == 10_000


def test_a_program_that_is_not_needed_has_ended_when_ray_looks() -> None:
    with local_ray(Resources(), 0):
        process = subprocess.Popen([sys.executable, "/ray/dashboard/dashboard.py"])
        assert process.poll() == 0
