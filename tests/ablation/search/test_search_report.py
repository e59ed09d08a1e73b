"""The result of a search: the best trial, the summary, which settings mattered."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from search_helpers import SPACE, problem_of, record_of

from ablation.monitor.output import output
from ablation.search import report
from ablation.search.events import TrialEvents
from ablation.search.importance import importance
from ablation.search.problem import SearchProblem
from ablation.search.record import SearchRecord
from ablation.search.report import Summary
from ablation.search.run import lead_in_words
from ablation.store import Store
from skelcon.data import SkeletonDataset
from skelcon.presets import Preset, preset_tree, resolve_with_preset
from skelcon.settings import parse_assignment, put

LR = "pretrain.optimiser.lr"


def recorded(problem: SearchProblem, directory: Path, values: list[list[float]]) -> SearchRecord:
    """A record of trials: those with two values are completed, the others stopped."""
    record = record_of(problem, directory)
    for own in values:
        number = record.ask().number
        for at, value in enumerate(own, 1):
            record.report(number, 4 * at, value, 0.1)
        if len(own) == 2:
            record.end(number, "completed")
        else:
            record.end(number, "stopped")
    return record


def test_the_best_is_the_best_of_those_that_ran_to_their_end(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)
    record = recorded(problem, tmp_path / "s", [[0.2, 0.3], [0.9], [0.4, 0.5], [0.1, 0.5], [0.6]])
    summary = Summary(record, Store(tmp_path / "r"))
    assert [trial.number for trial in summary.ranked] == [2, 3, 0, 1, 4]
    report.export(summary, tmp_path / "s")
    rows = list(csv.DictReader((tmp_path / "s" / "trials.csv").read_text().splitlines()))
    assert list(rows[0])[:6] == ["trial", "state", "reason", "epoch", "value", "seconds"]
    whole = [row for row in rows if row["state"] == "completed"]
    best = max(whole, key=lambda row: float(row["value"]))
    text = (tmp_path / "s" / "best.yaml").read_text()
    base = yaml.safe_load(text)["base"]
    assert repr(base[LR]) == best[LR]
    # As the base of a study, and as --set arguments: the settings of that very trial.
    trial = problem.settings(problem.changes(summary.ranked[0].parameters))
    (command,) = [line for line in text.splitlines() if "skelcon-ablate" in line]
    words = shlex.split(command.removeprefix("# "))
    tree: dict[str, Any] = {}
    for word in words[words.index("--set") + 1 :: 2]:
        put(tree, *parse_assignment(word))
    assert resolve_with_preset(preset_tree("quick"), [base], {}, "best.yaml") == trial
    assert resolve_with_preset(preset_tree("quick"), [], tree, "--set") == trial
    document = json.loads((tmp_path / "s" / "search.json").read_text())
    assert document["best"]["trial"] == 2
    assert document["default"]["value"] == 0.3
    assert document["provenance"]["data"]["fingerprint"] == dataset.fingerprint
    assert "torch" in document["provenance"]["versions"]


@pytest.mark.parametrize(
    ("views", "augmentations"),
    [
        ({}, "for seq with crop, flip; "),
        ({"pretrain.views.key.use": []}, "with crop+flip (query) and no augmentation (key); "),
        (
            {"pretrain.views": {"query": {"use": ["crop"]}, "extra": [{"use": ["pose"]}]}},
            "with crop (query), crop+flip (key) and pose (extra view 1); ",
        ),
    ],
)
def test_the_preset_says_how_the_views_of_the_best_are_made(
    tmp_path: Path, dataset: SkeletonDataset, views: dict[str, Any], augmentations: str
) -> None:
    base = {**SPACE["base"], "pretrain.augment.use": ["crop", "flip"], **views}
    problem = problem_of(tmp_path, dataset, base=base)
    record = recorded(problem, tmp_path / "s", [[0.2, 0.3]])
    report.export(Summary(record, Store(tmp_path / "r")), tmp_path / "s")
    assert augmentations in Preset.of(tmp_path / "s" / "preset.yaml").chosen


@pytest.mark.parametrize("settings", [2, 7])
def test_the_summary_is_whole_in_eighty_columns(
    tmp_path: Path, dataset: SkeletonDataset, settings: int
) -> None:
    paths = [LR, "pretrain.contrast.temperature", "pretrain.optimiser.weight_decay"]
    paths += [f"linear.{name}" for name in ("lr", "weight_decay")]
    paths += ["pretrain.optimiser.momentum", "pretrain.contrast.momentum"]
    space = {path: {"uniform": [0.001, 0.9]} for path in paths[:settings]}
    problem = problem_of(tmp_path, dataset, space=space)
    record = recorded(problem, tmp_path / "s", [[0.2, 0.3], [0.9], [0.4, 0.5]])
    console = Console(width=80, record=True, file=(tmp_path / "out.txt").open("w"))
    with console.file:
        report.print_summary(console, Summary(record, Store(tmp_path / "r")))
        text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    temperature = record.trial(2).parameters["pretrain.contrast.temperature"]
    assert f"{temperature:.3g}" in text
    assert repr(temperature) not in text


def test_the_setting_that_mattered_is_found_in_trials_of_the_same_epoch(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)

    def found(trials: int, name: str) -> Any:
        record = record_of(problem, tmp_path / name)
        for number in range(trials):
            value = -np.log(record.ask().parameters[LR]) / 10
            record.report(number, 2, value, 1.0)
            if number % 4 == 0:  # of the others nothing is known after four epochs
                record.report(number, 4, 1 - value, 1.0)
            record.end(number, "stopped")
        return importance(record)

    many = found(40, "many")
    assert many.method.startswith("fANOVA")
    assert "40 trials after 2 epochs each of 4" in many.method
    assert many.influences[0].path == LR
    assert (many.influences[0].share or 0) > 0.8
    assert many.influences[0].spearman == pytest.approx(-1)
    few = found(6, "few")
    assert few.method.startswith("Spearman's rank correlation of 6 trials")
    assert few.influences[0].share is None
    assert not found(4, "too few").influences


def test_a_lead_that_may_be_chance_is_called_so() -> None:
    assert "it may be chance" in lead_in_words(np.array([0.02, -0.01, 0.01]))
    clear = lead_in_words(np.array([0.02, 0.021, 0.019]))
    assert clear == "Best less default: +2.0 ± 0.1 points, better in 3 of 3 seeds."
    assert "one seed" in lead_in_words(np.array([0.5]))


def test_a_higher_value_after_fewer_epochs_is_explained(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)
    record = record_of(problem, tmp_path / "s")
    for number, value in ((record.ask().number, 0.583), (record.ask().number, 0.62)):
        for epoch in (2, 4, 6)[: 3 - number]:
            record.report(number, epoch, value, 0.1)
    console = Console(width=200, record=True, file=(tmp_path / "out.txt").open("w"))
    summary = Summary(record, Store(tmp_path / "r"))
    with console.file:
        report.print_summary(console, summary)
        text = console.export_text()
    assert summary.best is not None
    assert "# The best is chosen among the trials" in report.to_yaml(summary, summary.best)
    assert "the most epochs (6). Higher after fewer epochs, and not compared:" in text
    assert "trial 1 (62.0 after 4, unfinished)." in text
    assert "10 epochs of 16, counted over 2 folds" in text
    verdict = "No trial that was trained for as many epochs is better than the default so far"
    assert f"{verdict} (2 unfinished)." in text
    assert "Best: trial 0 (default)" in text
    assert any("0 (default)" in line and "58.3" in line for line in text.splitlines())


def test_the_start_names_the_longest_training_of_the_space(
    tmp_path: Path, dataset: SkeletonDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"pretrain.epochs": {"choice": [4, 10]}}
    problem = problem_of(tmp_path, dataset, space=space, trials=2)
    with output(as_json=False) as shown:
        TrialEvents(shown, record_of(problem, tmp_path / "s"), lambda: None)
    printed = capsys.readouterr()
    words = " ".join((printed.out + printed.err).split())
    assert "2 trials of at most 10 epochs in each of 2 folds" in words
