"""A search with Ray, as a user would: run, kill, resume, more trials, confirm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from ablation_helpers import ablate, command, processes
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from search_helpers import SPACE, problem_of

from ablation.live.output import output
from ablation.run import RunOptions
from ablation.runner.resources import Resources
from ablation.search.confirm import Confirmation
from ablation.search.record import JOURNAL, Trial
from ablation.search.run import run_search
from ablation.store import Store
from ablation.store.locks import hold
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

pytestmark = pytest.mark.slow

NAME = "tiny"
OPTIONS = RunOptions(Resources())


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


def numbers(trials: list[Trial]) -> list[Any]:
    """All of the trials but their times."""
    reports = [[(r.epoch, r.value) for r in trial.reports] for trial in trials]
    return [(t.number, t.parameters, t.state, r) for t, r in zip(trials, reports, strict=True)]


def test_a_killed_search_resumes_and_is_the_one_that_was_never_killed(
    utd: Path, tmp_path: Path
) -> None:
    base = {**SPACE["base"], "pretrain.epochs": 60}
    words = ("search", space_file(tmp_path, base=base, evaluate_every=6), "--data", utd)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    first = ablate(*words, "--trials", 4, "--results", whole)
    assert first.returncode == 0, first.stderr
    driver = subprocess.Popen(
        command(*words, "--trials", 3, "--results", broken),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _wait_for_values(driver, broken, 4)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait(60)
    assert any(trial.state == "unfinished" for trial in trials_of(broken))
    again = ablate(*words, "--trials", 4, "--results", broken, "--json")
    assert again.returncode == 0, again.stderr
    found = trials_of(broken)
    assert numbers(found) == numbers(trials_of(whole))
    assert [trial.state for trial in found] == ["completed"] * 4
    document = json.loads(again.stdout)
    best = max(found, key=lambda trial: trial.value or 0)
    assert document["best"]["value"] == best.value
    events = [json.loads(line) for line in again.stderr.splitlines()]
    assert events[0]["event"] == "plan"
    assert events[0]["trials"] == 4
    ended = [event for event in events if event["event"] == "ended"]
    assert {event["state"] for event in ended} == {"completed"}
    assert any(event["event"] == "progress" and "trial" in event for event in events)
    labels = {event["label"] for event in events if "unit" in event}
    assert {"trial 3: pretrain seq", "trial 3: retrieval seq"} <= labels
    # Once more: nothing runs, and Ray is not even imported.
    before = (directory_of(broken) / JOURNAL).read_bytes()
    program = "import sys; sys.modules['ray'] = None; from ablation.cli import main; main()"
    last = subprocess.run(
        [*command()[:1], "-c", program, *map(str, words), "--trials", "4", "--results", broken],
        capture_output=True,
        text=True,
        check=False,
    )
    assert last.returncode == 0, last.stderr
    assert (directory_of(broken) / JOURNAL).read_bytes() == before


def test_a_search_continues_when_ray_dies(utd: Path, tmp_path: Path) -> None:
    base = {**SPACE["base"], "pretrain.epochs": 60}
    file = space_file(tmp_path, base=base, evaluate_every=6, trials=3)
    driver = subprocess.Popen(
        command("search", file, "--data", utd, "--retries", 0, "--results", tmp_path / "r"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _wait_for_values(driver, tmp_path / "r", 2)
    (raylet,) = _raylets(driver.pid)
    os.kill(raylet, signal.SIGKILL)
    text, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0, text
    assert text.count("Ray has died and is started again") == 1
    assert [t.state for t in trials_of(tmp_path / "r")] == ["completed"] * 3


def test_asha_stops_bad_trials_early_and_the_best_is_confirmed(utd: Path, tmp_path: Path) -> None:
    base = {**SPACE["base"], "pretrain.epochs": 9}
    space = {
        **SPACE["space"],
        "pretrain.augment.use": {"choice": [["crop"], ["crop", "jitter"]]},
        "linear.lr": {"loguniform": [1e-6, 1.0]},  # most are too small to learn anything
    }
    file = space_file(
        tmp_path,
        base=base,
        space=space,
        evaluate_every=1,
        trials=10,
        algorithm="optuna",
        scheduler={"name": "asha", "reduction": 3},
        task="linear",
    )
    words = ("search", file, "--data", utd, "--results", tmp_path / "r", "--set", "linear.epochs=2")
    done = ablate(*words, "--confirm", 2, "--max-concurrent", 1, "--verbose")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    trials = trials_of(tmp_path / "r")
    assert len(trials) == 10
    assert all((t.epoch == 9) == (t.state == "completed") for t in trials)
    stopped = [trial for trial in trials if trial.state == "stopped"]
    assert stopped
    assert {trial.epoch for trial in stopped} <= {1, 3}  # where one in three continues
    assert trials[0].state == "completed"  # the default is never stopped
    document = json.loads((directory_of(tmp_path / "r") / "search.json").read_text())
    completed = [trial for trial in trials if trial.state == "completed"]
    best = max(completed, key=lambda trial: (trial.value or 0, -trial.number))
    assert document["best"]["trial"] == best.number
    if best.number == 0:
        assert "nothing to confirm" in done.stdout
    else:
        assert document["confirmation"]["on"] == "validation"
        assert "Best less default" in done.stdout
        cells = (directory_of(tmp_path / "r") / "confirmation-validation" / "cells.csv").read_text()
        assert cells.count("best,value") == cells.count("default,value") == 2
        assert "best,value,0" not in cells  # the search's own seed chose it


def test_a_population_exchanges_and_waits_for_no_member_that_has_ended(
    utd: Path, tmp_path: Path
) -> None:
    """Of five members, the default among them, some take steps so large that they diverge."""
    base = {**SPACE["base"], "pretrain.optimiser": {"name": "sgd", "lr": 0.01}}
    file = space_file(
        tmp_path,
        trials=5,
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


def test_a_search_at_a_uri_resumes_on_another_machine(
    utd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"file://{tmp_path}/bucket"
    words = ("search", space_file(tmp_path), "--data", utd, "--results", uri)
    for trials, home in ((2, "one"), (3, "two")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
        done = ablate(*words, "--trials", trials)
        assert done.returncode == 0, done.stderr
        found = trials_of(tmp_path / "bucket")
        assert [trial.state for trial in found] == ["completed"] * trials
        assert (directory_of(tmp_path / "bucket") / "best.yaml").exists()
        assert Store(tmp_path / "bucket").is_done(found[-1].units[1])


def test_a_second_command_for_the_same_search_is_refused(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem, store = problem_of(tmp_path, dataset), Store(tmp_path / "r")
    directory = problem.directory(store.results)
    directory.mkdir(parents=True)
    with (
        output(as_json=False) as shown,
        hold(directory, wait=False),
        pytest.raises(UserError, match="another command runs this search"),
    ):
        run_search(problem, store, None, OPTIONS, shown, Confirmation(), False)


def test_a_member_of_a_population_trains_on_one_device(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset, scheduler={"name": "pbt"})
    options = RunOptions(Resources(gpus_per_trial=2))
    with (
        output(as_json=False) as shown,
        pytest.raises(UserError, match="--gpus-per-trial 2: a member of pbt trains on one device"),
    ):
        run_search(problem, Store(tmp_path / "r"), None, options, shown, Confirmation(), False)


def _raylets(driver: int) -> list[int]:
    return [pid for pid, name in processes(driver).items() if name == "raylet"]


def _wait_for_values(driver: subprocess.Popen[Any], results: Path, count: int) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        assert driver.poll() is None, "the search ended before it could be killed"
        for path in results.glob(f"search/*/{JOURNAL}"):
            if path.read_text().count('"intermediate_value"') >= count:
                return
        time.sleep(0.02)
    raise AssertionError("no value was reported")
