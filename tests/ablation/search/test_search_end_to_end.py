"""A search with Ray, as a user would: run, kill, resume, more trials, a population."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from ablation_helpers import ablate, command, in_process
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from search_helpers import SPACE, numbers, problem_of, run_trials

from ablation.search.record import JOURNAL, Trial
from skelcon.data import SkeletonDataset

pytestmark = pytest.mark.slow

NAME = "tiny"


def space_file(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump({**SPACE, **changes}, sort_keys=False))
    return path


def directory_of(results: Path) -> Path:
    (directory,) = (results / "search").glob(f"{NAME}-*")
    return directory


def trials_of(results: Path) -> list[Trial]:
    """The trials, read as any tool for optuna reads them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(directory_of(results) / JOURNAL)))
    return [Trial.of(trial) for trial in optuna.load_study(study_name=None, storage=storage).trials]


def test_a_killed_search_resumes_and_is_the_one_that_was_never_killed(
    utd: Path, dataset: SkeletonDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"base": {**SPACE["base"], "pretrain.epochs": 30}, "evaluate_every": 3}
    same = ("--data", utd, "--preset", "quick", "--results", tmp_path / "r")
    words = ("search", space_file(tmp_path, **changes), *same)
    driver = subprocess.Popen(
        command(*words, "--trials", 2, "--max-concurrent", 1),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _wait_for_values(driver, tmp_path / "r", 3)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait(60)
    assert any(trial.state == "unfinished" for trial in trials_of(tmp_path / "r"))
    again = ablate(*words, "--trials", 3, "--json")
    assert again.returncode == 0, again.stderr
    found = trials_of(tmp_path / "r")
    problem = problem_of(tmp_path, dataset, **changes)
    assert numbers(found) == numbers(run_trials(problem, tmp_path / "whole", 3))
    assert [trial.state for trial in found] == ["completed"] * 3
    document = json.loads(again.stdout)
    best = max(found, key=lambda trial: trial.value or 0)
    assert document["best"]["value"] == best.value
    events = [json.loads(line) for line in again.stderr.splitlines()]
    assert events[0]["event"] == "plan"
    assert events[0]["trials"] == 3
    ended = [event for event in events if event["event"] == "ended"]
    assert {event["state"] for event in ended} == {"completed"}
    assert any(event["event"] == "progress" and "trial" in event for event in events)
    labels = {event["label"] for event in events if "unit" in event}
    assert {"trial 2: pretrain seq, fold 0/2", "trial 2: retrieval seq, fold 1/2"} <= labels
    # Once more: nothing runs, and Ray is not even imported.
    before = (directory_of(tmp_path / "r") / JOURNAL).read_bytes()
    monkeypatch.setitem(sys.modules, "ray", None)
    last = in_process(*words, "--trials", 3)
    assert last.returncode == 0, last.stderr
    assert (directory_of(tmp_path / "r") / JOURNAL).read_bytes() == before


def test_a_population_exchanges_and_waits_for_no_member_that_has_ended(
    utd: Path, tmp_path: Path
) -> None:
    """Of three members, the default among them, one takes steps so large that it diverges."""
    base = {**SPACE["base"], "pretrain.optimiser": {"name": "sgd", "lr": 0.01}}
    file = space_file(
        tmp_path,
        trials=3,
        base=base,
        evaluate_every=1,
        space={"pretrain.optimiser.lr": {"loguniform": [0.001, 1e30]}},
        scheduler={"name": "pbt", "quantile": 0.5, "resample": 0},
    )
    done = ablate("search", file, "--data", utd, "--results", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    trials = trials_of(tmp_path / "r")
    assert {trial.state for trial in trials} == {"completed", "diverged"}
    assert all(trial.epoch == 4 for trial in trials if trial.state == "completed")
    assert trials[0].parameters == trials[0].first  # the default exchanges nothing
    assert any(trial.parameters != trial.first for trial in trials)
    assert "settings changed while trials trained" in " ".join(done.stdout.split())


def _wait_for_values(driver: subprocess.Popen[Any], results: Path, count: int) -> None:
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up:
        assert driver.poll() is None, "the search ended before it could be killed"
        for path in results.glob(f"search/*/{JOURNAL}"):
            if path.read_text().count('"intermediate_value"') >= count:
                return
        time.sleep(0.02)
    raise AssertionError("no value was reported")
