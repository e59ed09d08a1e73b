"""``skelcon-ablate unit``: units of a study in this process, without Ray; and the study's table."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ablation.cli.options import StudyDataOptions, StudyOptions
from ablation.cli.request import plan_study
from ablation.plan import Plan
from ablation.store import Store
from ablation.study import load_study
from ablation.units import EvaluateUnit, PretrainUnit
from skelcon.data import SkeletonDataset, import_dataset


def plan_of(study_file: Path, dataset: SkeletonDataset) -> Plan:
    options = StudyOptions(only=("crop+jitter",))
    study = load_study(study_file)
    return plan_study(study, dataset, StudyDataOptions(), options, Console(stderr=True))


def chain(plan: Plan) -> tuple[PretrainUnit, EvaluateUnit]:
    """A pre-training and the evaluation that needs it."""
    evaluation = next(unit for unit in plan.units.values() if isinstance(unit, EvaluateUnit))
    pretraining = plan.units[evaluation.needs[0]]
    assert isinstance(pretraining, PretrainUnit)
    return pretraining, evaluation


@pytest.fixture
def unit(
    ablate: Callable[..., Any], dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> Callable[..., Any]:
    """Run ``unit`` with these keys of the tiny study, and options."""

    def run(keys: str, *options: object, study: object = study_file) -> Any:
        fixed = ["--data", dataset.path, "--only", "crop+jitter", "--results", tmp_path / "r"]
        return ablate("unit", keys, study, *fixed, *options)

    return run


def test_unit_runs_what_its_unit_needs_and_then_itself(
    unit: Callable[..., Any], dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    pretraining, evaluation = chain(plan_of(study_file, dataset))
    store = Store(tmp_path / "r")
    ended = unit(evaluation.key[:6])
    assert ended.code == 0, ended.err
    assert {path.parent.name for path in store.units.glob("*/DONE")} == {
        pretraining.key,
        evaluation.key,
    }
    lines = [(words[0], words[2]) for words in map(str.split, ended.out.splitlines()) if words[2:]]
    done, started = ("done", pretraining.key[:8]), ("started", evaluation.key[:8])
    assert lines.index(done) < lines.index(started)
    assert "top1 " in ended.out
    before = {path: path.stat().st_mtime_ns for path in store.units.glob("*/DONE")}
    ended = unit(f"{evaluation.key},{pretraining.key}", "--json")
    assert ended.code == 0
    first, second = json.loads(ended.out)
    assert [json.loads(line)["event"] for line in ended.err.splitlines()] == ["plan", "finished"]
    assert first == {
        "unit": evaluation.key,
        "directory": str(store.directory(evaluation.key)),
        "result": store.result(evaluation.key),
    }
    assert second["unit"] == pretraining.key
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(store.results.glob("drivers/*.json"))


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        ("zz", (), "unit 'zz' of study 'tiny' on UTD-MHAD: no key starts with it"),
        ("", (), "keys start with it"),
        ("0", ("--plan",), "--plan: leave it out here"),
        ("0", ("--sed", "1"), "--sed"),
        ("0", ("--epochs", "1"), "--set pretrain.epochs=1"),
        ("0", ("--address", "auto"), "--address: leave it out here"),
        ("0", ("--max-concurrent", "2"), "--max-concurrent: leave it out here"),
        ("0", ("--format", "csv"), "--format: leave it out here"),
        ("0", ("--format", "nope"), "unknown format 'nope'"),
        ("0", ("--probe", "3"), "--probe 3: only with --plan"),
        ("0", ("--results", "s3://bucket/x"), "'s3://bucket/x' is no directory"),
    ],
)
def test_a_mistake_is_one_line(
    unit: Callable[..., Any], keys: str, options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    ended = unit(keys, *options)
    assert ended.code == 2
    (line,) = ended.err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "r").exists()


def test_an_unknown_study_is_one_line(unit: Callable[..., Any]) -> None:
    ended = unit("0", study="augmentation")
    assert ended.code == 2
    assert "'augmentation' is no study: did you mean 'augmentations'?" in ended.err


def test_a_unit_that_fails_is_the_exit_code(
    unit: Callable[..., Any], dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    pretraining, evaluation = chain(plan_of(study_file, dataset))
    # A directory in place of a file: the pre-training cannot succeed.
    (tmp_path / "r" / "units" / pretraining.key / "metrics.jsonl").mkdir(parents=True)
    ended = unit(evaluation.key)
    assert ended.code == 1
    assert "IsADirectoryError" in ended.out
    assert Store(tmp_path / "r").state(pretraining.key) == "failed"
    assert Store(tmp_path / "r").state(evaluation.key) == "absent"


def test_an_interrupted_command_prints_its_document(
    unit: Callable[..., Any],
    dataset: SkeletonDataset,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ablation.scheduler.in_process.run_in_process", lambda *some, **more: False)
    _, evaluation = chain(plan_of(study_file, dataset))
    ended = unit(evaluation.key, "--json")
    assert ended.code == 130
    assert json.loads(ended.out) == []
    last = json.loads(ended.err.splitlines()[-1])
    assert (last["event"], last["state"]) == ("finished", "interrupted")


def test_a_table_is_made_again_without_the_data_and_after_a_merge(
    ablate: Callable[..., Any], utd: Path, study_file: Path, tmp_path: Path
) -> None:
    data, results = tmp_path / "data", tmp_path / "r"
    import_dataset(utd, data)
    study = (study_file, "--data", data, "--only", "none", "--results", results)
    document = json.loads(ablate("plan", *study[:-2], "--results", results, "--json").out)
    keys = ",".join(unit["key"] for unit in document[0]["to_run"])
    assert ablate("unit", keys, *study).code == 0
    ended = ablate("run", *study)  # nothing is missing: Ray does not start
    assert ended.code == 0
    assert re.search(r"Written to .*:\n.*table.tex, ", ended.out)
    before = {path.name: path.read_bytes() for path in (results / "tiny").glob("table.*")}
    assert len(before) == 4
    shutil.rmtree(data)
    for path in (results / "tiny").glob("table.*"):
        path.unlink()
    other = tmp_path / "other"
    assert ablate("merge", other, results).code == 0
    for place in (results, other):
        assert ablate("table", "tiny", "--results", place).code == 0
        assert {p.name: p.read_bytes() for p in (place / "tiny").glob("table.*")} == before
    ended = ablate("table", study_file, "--results", results, "--format", "csv", "--json")
    assert json.loads(ended.out) == json.loads(before["table.json"])


def test_a_question_grows_its_table_and_another_question_gets_another(
    ablate: Callable[..., Any], utd: Path, study_file: Path, tmp_path: Path
) -> None:
    data, results = tmp_path / "data", tmp_path / "r"
    import_dataset(utd, data)

    def run(*options: object, name: tuple[str, ...] = ()) -> Any:
        """Run what is missing without Ray, then the study, which finds all of it done."""
        study = (study_file, "--data", data, "--results", results, *options)
        document = json.loads(ablate("plan", *study, "--json").out)
        if to_run := [unit["key"] for unit in document[0]["to_run"]]:
            assert ablate("unit", ",".join(to_run), *study).code == 0
        ended = ablate("run", *study, *name)
        assert ended.code == 0
        return ended

    def seeds_of(name: str) -> dict[str, set[int]]:
        lines = csv.DictReader((results / name / "cells.csv").read_text().splitlines())
        found: dict[str, set[int]] = {}
        for line in lines:
            if line["state"] == "done":
                found.setdefault(line["row"], set()).add(int(line["seed"]))
        return found

    run("--only", "none")
    run("--only", "random", "--seeds", "2")
    # The earlier row is still there, with its one seed.
    assert seeds_of("tiny") == {"none": {0}, "random": {0, 1}}
    before = (results / "tiny" / "cells.csv").read_bytes()
    ended = run("--only", "random", "--set", "linear.epochs=2")
    assert "holds a table that differs in --set" in ended.out
    assert seeds_of("tiny-linear.epochs=2") == {"random": {0}}
    assert (results / "tiny" / "cells.csv").read_bytes() == before
    run("--only", "random", name=("--name", "mine"))
    assert seeds_of("mine") == {"random": {0}}
    # A machine that could start no trial shows what is done, and refuses what is not.
    study = ("run", study_file, "--data", data, "--results", results, "--cpus-per-trial", 10_000)
    assert ablate(*study, "--only", "random").code == 0
    assert ablate(*study).code == 2
    listed = ablate("list", "--results", results).out.splitlines()
    assert [line.split()[0] for line in listed] == ["mine", "tiny", "tiny-linear.epochs=2"]
    assert "2 rows" not in listed[1]  # a reference is no row
    tables = json.loads(ablate("list", "--results", results, "--json").out)["tables"]
    assert "linear.epochs=2" in tables[2]["question"]
    ended = ablate("run", study_file, "--data", data, "--results", results, "--name", "a/b")
    assert ended.code == 2
    assert "--name a/b" in ended.err
    # Another number of the same units is another table too.
    assert ablate("table", "tiny", "--results", results, "--metric", "nn_top1").code == 0
    assert (results / "tiny-nn_top1" / "table.csv").exists()
    assert (results / "tiny" / "cells.csv").read_bytes() == before
