"""The command's sequence where nothing is left to run with Ray: summary, confirmation, a URI."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ablation_helpers import in_process
from search_helpers import SPACE, problem_of, run_trials

from ablation.costs.gpus import parse_gpus
from ablation.monitor.output import output
from ablation.running import RunOptions
from ablation.scheduler.resources import Resources
from ablation.search.estimate import plan_search
from ablation.search.problem import SearchProblem
from ablation.search.record import SearchRecord
from ablation.search.run import Confirmation, run_search
from ablation.store import Store
from ablation.store.locks import hold
from ablation.store.mirror import Mirror, mirror_at
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


def command(
    problem: SearchProblem,
    store: Store,
    seeds: int = 0,
    mirror: Mirror | None = None,
    **resources: Any,
) -> int:
    options = RunOptions(Resources(**resources), in_process=True)
    confirmation = Confirmation("validation", seeds)
    with output(as_json=False) as shown:
        return run_search(problem, store, mirror, options, shown, confirmation, False)


def test_asha_stops_bad_trials_early_and_the_best_is_confirmed(
    tmp_path: Path, dataset: SkeletonDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = problem_of(
        tmp_path,
        dataset,
        # The default learns nothing, so that another trial is the best.
        base={
            **SPACE["base"],
            "pretrain.epochs": 9,
            "linear": {"epochs": 2, "lr": 1e-6, "weight_decay": 0.0},
        },
        space={
            **SPACE["space"],
            "pretrain.augment.use": {"choice": [["crop"], ["crop", "jitter"]]},
            "linear.lr": {"loguniform": [1e-6, 1.0]},  # most are too small to learn anything
        },
        evaluate_every=1,
        trials=10,
        algorithm="optuna",
        scheduler={"name": "asha", "reduction": 3},
        task="linear",
    )
    store = Store(tmp_path / "r")
    trials = run_trials(problem, store.results, 10)
    assert len(trials) == 10
    assert all((t.epoch == 2 * 9) == (t.state == "completed") for t in trials)
    stopped = [trial for trial in trials if trial.state == "stopped"]
    assert stopped
    assert {trial.epoch for trial in stopped} <= {1, 3, 9}  # where one in three continues
    assert trials[0].state == "completed"  # the default is never stopped
    assert command(problem, store, seeds=2) == 0
    directory = problem.directory(store.results)
    document = json.loads((directory / "search.json").read_text())
    shown = capsys.readouterr().out
    assert f"--preset {directory / 'preset.yaml'}" in shown.replace("\n", "")
    completed = [trial for trial in trials if trial.state == "completed"]
    best = max(completed, key=lambda trial: (trial.value or 0, -trial.number))
    assert document["best"]["trial"] == best.number
    assert best.number > 0
    assert document["confirmation"]["on"] == "validation"
    assert "Best less default" in shown
    assert "Over clips and their groups" in shown
    lead = document["confirmation"]["lead"]
    assert (lead["seeds"], lead["error"] > 0) == (2, True)
    assert lead["value"] == pytest.approx(sum(lead["values"]) / 2)
    cells = pd.read_csv(directory / "confirmation-validation" / "cells.csv")
    printed = cells[cells["metric"] == "top1"]
    assert dict(printed["row"].value_counts()) == {
        "best": 2 * 2,
        "default": 2 * 2,
    }  # seeds, folds
    assert set(cells["seed"]) == {1, 2}  # 0, the search's own, chose the best


@pytest.mark.parametrize("scheduler", ["fifo", "pbt"])
def test_a_plan_counts_what_is_left_and_writes_nothing(
    tmp_path: Path, dataset: SkeletonDataset, capsys: pytest.CaptureFixture[str], scheduler: str
) -> None:
    problem = problem_of(tmp_path, dataset, trials=3, scheduler={"name": scheduler})
    store = Store(tmp_path / "r")
    if scheduler == "fifo":
        run_trials(problem, store.results, 1)
    before = sorted(store.results.rglob("*"))

    def planned(as_json: bool) -> str:
        with output(as_json=as_json, events=False) as shown:
            plan_search(problem, store, None, Resources(), shown, as_json, None)
        return capsys.readouterr().out

    ended, units = (1, 2 * 2 * 2) if scheduler == "fifo" else (0, 3)  # trials, folds, units
    found = json.loads(planned(as_json=True))
    assert (found["trials"], found["ended"], found["to_run"]) == (3, ended, units)
    assert sum(kind["units"] for kind in found["cost"]["kinds"]) == units
    text = planned(as_json=False)
    assert "3 trials of at most 4 epochs in " in text
    assert f"{units} to run: " in text
    assert "--confirm is not included" in text
    assert sorted(store.results.rglob("*")) == before


def test_a_search_at_a_uri_is_known_on_another_machine(
    tmp_path: Path, dataset: SkeletonDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, bucket = problem_of(tmp_path, dataset, trials=2), tmp_path / "bucket"
    for home in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
        mirror = mirror_at(f"file://{bucket}")
        store = mirror.store
        if home == "one":
            run_trials(problem, store.results, 2)
        assert command(problem, store, mirror=mirror) == 0
        assert (problem.directory(bucket) / "best.yaml").exists()
        found = SearchRecord(problem, problem.directory(store.results)).trials()
        assert [trial.state for trial in found] == ["completed"] * 2


def test_a_second_command_for_the_same_search_is_refused(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem, store = problem_of(tmp_path, dataset), Store(tmp_path / "r")
    directory = problem.directory(store.results)
    directory.mkdir(parents=True)
    with (
        hold(directory, wait=False),
        pytest.raises(UserError, match="another command runs this search"),
    ):
        command(problem, store)


def test_a_member_of_a_population_trains_on_one_device(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset, scheduler={"name": "pbt"})
    with pytest.raises(UserError, match="--gpus-per-trial 2: a member of pbt trains on one device"):
        command(problem, Store(tmp_path / "r"), gpus_per_trial=2)


def test_a_population_has_the_gpus_and_the_disk_that_its_members_need(
    tmp_path: Path, dataset: SkeletonDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problem_of(tmp_path, dataset, trials=2, scheduler={"name": "pbt"})
    given: list[float] = []

    def run(record: object, store: object, resources: Resources, *more: object) -> bool:
        given.append(resources.gpus_per_trial)
        raise KeyboardInterrupt

    monkeypatch.setattr("ablation.search.population.run_population", run)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        command(problem, Store(tmp_path / "r"), gpus_per_trial=parse_gpus("auto"))
    assert given == [0]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (10**9, 10**9 - 1000, 1000))
    with pytest.raises(UserError, match=r"the disk of --results .* has 1\.0 kB free"):
        command(problem, Store(tmp_path / "r"))
    assert len(given) == 1


def test_a_machine_that_could_start_no_trial_shows_a_search_that_has_ended(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem, results = problem_of(tmp_path, dataset, trials=2), tmp_path / "r"
    run_trials(problem, results, 2)
    words = ("search", tmp_path / "tiny.yaml", "--data", dataset.path, "--preset", "quick")
    words = (*words, "--results", results, "--cpus-per-trial", 10_000)
    ended = in_process(*words)
    assert ended.returncode == 0, ended.stderr
    assert "preset.yaml" in ended.stdout.replace("\n", "")
    ended = in_process(*words, "--trials", 3)
    assert ended.returncode == 2
    assert "so no trial could ever start" in ended.stderr
