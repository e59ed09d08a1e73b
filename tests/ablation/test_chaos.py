"""A few disturbances of each kind that needs no rights; `chaos.py` is the longer version."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from ablation_helpers import ablate, processes
from chaos import Chaos, differences, study_text

from ablation.store import Store
from ablation.store.unit_claims import Claims

pytestmark = pytest.mark.slow

EPOCHS = 50
ONE = ("--max-concurrent", 1)
"""A driver has one worker: what takes longest is that each of them imports torch."""
KINDS = (
    "driver killed",
    "worker killed",
    "raylet killed",
    "machine killed",
    "second driver",
    "checkpoint truncated",
)
"""Signals are in `test_signals.py`. A driver without its gcs_server waits for a minute."""


@pytest.fixture(scope="module")
def words(utd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """A study of four trainings of a few seconds each."""
    file = tmp_path_factory.mktemp("chaos") / "chaos.yaml"
    file.write_text(study_text(EPOCHS))
    return ("run", file, "--data", utd, "--only", "crop,crop+jitter", "--retries", 3, *ONE)


@pytest.fixture(scope="module")
def peaceful(words: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("peaceful") / "results"
    done = ablate(*words, "--results", results)
    assert done.returncode == 0, done.stderr
    return results


def test_a_disturbed_study_ends_with_the_bits_of_one_that_never_was(
    words: tuple[object, ...], peaceful: Path, tmp_path: Path
) -> None:
    """Killed drivers, workers and Ray, two drivers at once, damaged files; each epoch is logged."""
    chaos = Chaos(words, tmp_path / "results", random.Random(5), only=KINDS)
    chaos.run(len(KINDS), longest=1.0)
    assert chaos.done.keys() - {"unit damaged"} == set(KINDS)
    assert differences(peaceful, chaos.results, "chaos") == []
    account = chaos.account()
    assert account.needed == 4 * EPOCHS
    assert account.resumed > 0
    # What one interruption costs: the epochs of half a second, the time between two checkpoints.
    assert account.again < account.resumed * EPOCHS
    assert chaos.left_behind(patience=90) == []


def test_ctrl_c_ends_a_run_that_waits_for_another(
    words: tuple[object, ...], peaceful: Path, tmp_path: Path
) -> None:
    """Another live run has claimed all units that are left; after Ctrl-C this run ends at once."""
    store = Store(tmp_path / "results")
    chaos = Chaos(words, store.results, random.Random(0))
    with Claims(store) as claims:
        for done in peaceful.glob("units/*/DONE"):
            assert claims.take(done.parent.name)
        chaos.start()
        chaos.rest(120, lambda: "claimed by another driver" in chaos.outputs[0].read_text())
        (driver,) = chaos.drivers
        driver.send_signal(signal.SIGINT)
        assert driver.wait(30) == 130, chaos.outputs[0].read_text()
    assert not list(store.results.glob("units/*/DONE"))
    assert not processes(driver.pid)
