"""A search with Ray, as a user would: run, kill, go on, more trials, confirm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ablation_helpers import ablate, command, processes
from search_helpers import SPACE

from ablation.cli.search import search
from ablation.search.record import Record, Trial
from skelcon.errors import UserError

pytestmark = pytest.mark.slow

NAME = "tiny"


def space_file(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump({**SPACE, **changes}, sort_keys=False))
    return path


def record_of(results: Path) -> Record:
    (directory,) = (results / "search").glob(f"{NAME}-*")
    return Record(directory)


def numbers(trials: list[Trial]) -> list[tuple[int, Any, list[tuple[int, float]]]]:
    """All of the trials but their times."""
    return [(t.number, t.parameters, [(r.epoch, r.value) for r in t.reports]) for t in trials]


def test_a_killed_search_goes_on_and_is_the_one_that_never_was(utd: Path, tmp_path: Path) -> None:
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
    _wait_for_reports(driver, broken, 4)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait(60)
    assert any(trial.state == "unfinished" for trial in record_of(broken).trials())
    again = ablate(*words, "--trials", 4, "--results", broken, "--json")
    assert again.returncode == 0, again.stderr
    found = record_of(broken).trials()
    assert numbers(found) == numbers(record_of(whole).trials())
    assert [trial.state for trial in found] == ["completed"] * 4
    lines = [json.loads(line) for line in record_of(broken).path.read_text().splitlines()]
    begun = [line["trial"] for line in lines if line["event"] == "started"]
    assert sorted(begun) == [0, 1, 2, 3]  # none twice
    document = json.loads(again.stdout)
    best = max(found, key=lambda trial: trial.value or 0)
    assert document["best"]["value"] == best.value
    # Once more: nothing runs, and Ray is not even imported.
    before = record_of(broken).path.read_bytes()
    program = "import sys; sys.modules['ray'] = None; from ablation.cli import main; main()"
    last = subprocess.run(
        [*command()[:1], "-c", program, *map(str, words), "--trials", "4", "--results", broken],
        capture_output=True,
        text=True,
        check=False,
    )
    assert last.returncode == 0, last.stderr
    assert record_of(broken).path.read_bytes() == before


def test_a_search_goes_on_when_ray_dies(utd: Path, tmp_path: Path) -> None:
    base = {**SPACE["base"], "pretrain.epochs": 60}
    file = space_file(tmp_path, base=base, evaluate_every=6, trials=3)
    driver = subprocess.Popen(
        command("search", file, "--data", utd, "--retries", 0, "--results", tmp_path / "r"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _wait_for_reports(driver, tmp_path / "r", 2)
    (raylet,) = (pid for pid, name in processes(driver.pid).items() if name == "raylet")
    os.kill(raylet, signal.SIGKILL)
    told, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0, told
    assert told.count("Ray has died and is started again") == 1
    assert [t.state for t in record_of(tmp_path / "r").trials()] == ["completed"] * 3
    assert "failed" not in record_of(tmp_path / "r").path.read_text()


def test_asha_stops_bad_trials_early_and_the_best_is_confirmed(utd: Path, tmp_path: Path) -> None:
    base = {**SPACE["base"], "pretrain.epochs": 9}
    space = {**SPACE["space"], "pretrain.augment.use": {"choice": [["crop"], ["crop", "jitter"]]}}
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
    record = record_of(tmp_path / "r")
    trials = record.trials()
    assert len(trials) == 10
    assert all((t.epoch == 9) == (t.state == "completed") for t in trials)
    stopped = [trial for trial in trials if trial.state == "stopped"]
    assert stopped
    assert {trial.epoch for trial in stopped} <= {1, 3}  # where one in three goes on
    assert sum(trial.epoch for trial in trials) < 90
    assert trials[0].state == "completed"  # the default is never stopped
    document = json.loads((record.directory / "search.json").read_text())
    completed = [trial for trial in trials if trial.state == "completed"]
    best = max(completed, key=lambda trial: (trial.value or 0, -trial.number))
    assert document["best"]["trial"] == best.number
    if best.number == 0:
        assert "nothing to confirm" in done.stdout
    else:
        assert document["confirmation"]["on"] == "validation"
        assert "Best less default" in done.stdout
        cells = (record.directory / "confirmation-validation" / "cells.csv").read_text()
        assert cells.count("best,value") == cells.count("default,value") == 2
        assert "best,value,0" not in cells  # the search's own seed chose it


def test_a_population_exchanges_and_waits_for_nobody_who_is_gone(utd: Path, tmp_path: Path) -> None:
    """Of five members, at the default's sides, some take steps so large that they diverge."""
    base = {**SPACE["base"], "pretrain.optimiser": {"name": "sgd", "lr": 0.01}}
    file = space_file(
        tmp_path,
        trials=5,
        base=base,
        evaluate_every=1,
        space={"pretrain.optimiser.lr": {"loguniform": [0.001, 1e30]}},
        scheduler={"name": "pbt", "quantile": 0.5, "resample": 0},
    )
    done = ablate("search", file, "--data", utd, "--results", tmp_path / "r", timeout=100)
    assert done.returncode == 0, done.stderr
    record = record_of(tmp_path / "r")
    trials = record.trials()
    assert {trial.state for trial in trials} == {"completed", "diverged"}
    assert all(trial.epoch == 4 for trial in trials if trial.state == "completed")
    assert trials[0].parameters == trials[0].first  # the default exchanges nothing
    assert any(trial.parameters != trial.first for trial in trials)
    assert "settings changed on the way" in " ".join(done.stdout.split())


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = ablate("search", "optimizer", "--results", tmp_path / "r")
    assert done.returncode == 2
    assert "unknown search 'optimizer': did you mean 'optimiser'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scheduler": "ashaa"}, "did you mean 'asha'"),
        ({"confirm_on": "tests"}, "did you mean 'test'"),
        ({"scheduler": "pbt", "max_concurrent": 1}, "take turns"),
        ({"gpus_per_trial": 2}, "--gpus-per-trial 2: a trial of a search trains on one device"),
        ({"assignments": ["pretrain.optimiser.lr=1"]}, "is searched"),
        ({"assignments": ["finetune.lr=1"]}, "not used here"),
        ({"assignments": ["pretrain.batch=4000"]}, "larger than the"),
    ],
)
def test_an_option_that_cannot_be_is_named(
    utd: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        search("optimiser", data=utd, results=tmp_path / "r", **options)
    assert not (tmp_path / "r" / "search").exists()


def _wait_for_reports(driver: subprocess.Popen[Any], results: Path, count: int) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        assert driver.poll() is None, "the search ended before it could be killed"
        for path in results.glob("search/*/trials.jsonl"):
            if path.read_text().count('"report"') >= count:
                return
        time.sleep(0.02)
    raise AssertionError("nothing was reported")
