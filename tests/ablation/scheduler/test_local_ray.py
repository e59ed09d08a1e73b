"""What the workers of this machine's Ray import at their start."""

from __future__ import annotations

import os

import pytest

from ablation.scheduler.local_ray import PRELOADED, THREADS, local_ray
from ablation.scheduler.resources import Resources


@pytest.fixture(autouse=True)
def _two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for name in (PRELOADED, THREADS):
        monkeypatch.delenv(name, raising=False)


def seen(trials: int, **asked: float) -> tuple[str | None, str | None]:
    """What Ray finds in its environment: the modules, and the threads."""
    with local_ray(Resources(**asked), trials):  # type: ignore[arg-type]
        found = os.environ.get(PRELOADED), os.environ.get(THREADS)
    assert not {PRELOADED, THREADS} & {*os.environ}
    return found


def test_workers_import_torch_at_once_where_each_will_have_a_trial() -> None:
    modules, threads = seen(2)
    assert modules is not None
    assert "ablation.scheduler.worker" in modules.split(",")
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
