"""What a plan says of its cost: disk, what is left, and a measurement."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from cost_helpers import HERE, finish, model_of, plan_of, pretrainings
from rich.console import Console
from unit_helpers import evaluation, pretraining

from ablation.costs import Cost, CostModel, check_disk, has_room
from ablation.costs.history import History, Rate
from ablation.costs.model import share_left
from ablation.costs.probe import probe
from ablation.costs.sizes import written_bytes
from ablation.costs.traits import Hardware
from ablation.costs.view import kind_name, print_kinds
from ablation.scheduler.resources import Resources
from ablation.store import Store
from ablation.units import PretrainUnit, Unit
from ablation.work import Context, UnitRun
from ablation.work.checkpoints import CheckpointPolicy
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@pytest.fixture(autouse=True)
def _torch_as_before() -> Iterator[None]:
    """A measurement sets torch up as a worker does."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.set_num_threads(before[1])


def test_checkpoints_that_stay_take_disk(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    unit, store = pretrainings(plan_of(dataset, study_file))[0], Store(tmp_path)

    def cost(*policy: Any) -> Cost:
        model = model_of(store, dataset, checkpoints=CheckpointPolicy(*policy), max_concurrent=1)
        model.history.add_measurement(unit, HERE, Rate(1.0, ""))
        return model.cost([unit])

    none = cost()
    one = none.estimates[unit.key]
    assert one.seconds
    assert cost(None, "last").disk_bytes - none.disk_bytes == one.checkpoint
    assert cost(one.seconds / 4, "all").disk_bytes - none.disk_bytes == 5 * one.checkpoint


def test_a_checkpoint_leaves_less_to_run(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, unit = Store(tmp_path), pretrainings(plan_of(dataset, study_file))[0]
    directory = store.begin(unit.key, unit.to_json())
    (directory / "metrics.jsonl").write_text("{}\n{}\n")
    assert share_left(unit, store) == 1  # without a checkpoint it starts from scratch
    (directory / "checkpoint.pt").write_bytes(b"")
    assert share_left(unit, store) == pytest.approx(1 / 3)


@pytest.mark.parametrize("objective", ["moco", "byol"])
def test_sizes_are_counted_before_anything_is_written(
    objective: str,
    tmp_path: Path,
    dataset: SkeletonDataset,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, history = Store(tmp_path), History([], [dataset])
    saved: list[int] = []
    original = torch.save

    def save(values: object, buffer: Any) -> None:
        original(values, buffer)
        saved.append(buffer.tell())

    monkeypatch.setattr(torch, "save", save)
    monkeypatch.setattr("ablation.work.checkpoints.SHARE", 0)
    monkeypatch.setattr("ablation.work.checkpoints.LEAST", 0)
    changes = {"pretrain__encoders__seq__hidden": 64, "pretrain__objective__name": objective}
    plan = plan_of(dataset, study_file, **changes)
    unit = next(u for u in plan.units.values() if u.representations == ("seq",))
    counted = written_bytes(unit, history)
    assert counted is not None
    run = UnitRun(unit, store, Context({dataset.fingerprint: dataset.path}))
    while not run.step(0).done:
        pass
    run.close()
    written = sum(path.stat().st_size for path in store.directory(unit.key).iterdir())
    assert counted.left == pytest.approx(written, rel=0.1)
    assert counted.checkpoint == pytest.approx(saved[0], rel=0.1)


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_refused_before_anything_is_made(
    tmp_path: Path,
    utd: Path,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10**9, 10**9 - 1000, 1000))
    results = tmp_path / "new" / "results"
    words = ["run", study_file, "--data", utd, "--results", results]
    assert _main(monkeypatch, *words) == 2
    printed = capsys.readouterr().err
    assert f"--results {results} has 1.0 kB free" in printed
    assert "kB: free some" in printed or "MB: free some" in printed
    assert not results.parent.exists()


def test_sizes_are_counted_where_the_disk_may_be_too_small(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a GiB is free for each unit, and for two checkpoints of each that runs."""
    units = pretrainings(plan_of(dataset, study_file))
    model = model_of(Store(tmp_path), dataset, max_concurrent=1)
    needed = (len(units) + 2) << 30
    for free, room in ((needed, False), (needed + 1, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: _Usage(10**15, 0, free))
        assert has_room(model, units) == room
    every = CheckpointPolicy(1.0, "all")  # may become any number of checkpoints
    assert not has_room(model_of(Store(tmp_path), dataset, checkpoints=every), units)
    cost = model.cost(units, count=False)
    assert cost.units_of_unknown_size == len(units)
    assert cost.disk_bytes == 0


def test_an_unknown_disk_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Cost({}, {}, 1, 0.0, 0.0, 0.0, 0.0, 10**15, 0, 0, None)
    with pytest.raises(UserError, match=r"1000\.0 TB"):
        check_disk(tmp_path, cost)

    def unknown(_: object) -> None:
        raise OSError(38, "not implemented")

    monkeypatch.setattr(shutil, "disk_usage", unknown)
    check_disk(tmp_path, cost)


def _main(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    from ablation.cli import main

    monkeypatch.setattr(sys, "argv", ["skelcon-ablate", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_probe_measures_every_kind_and_leaves_nothing(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, units = Store(tmp_path / "r"), []
    for task in ("linear", "retrieval", "finetune"):
        file = tmp_path / f"{task}.yaml"
        text = study_file.read_text().replace("protocols:", f"task: {task}\nprotocols:")
        settings = "  linear: {epochs: 3, crops: 1}\n"
        file.write_text(text.replace(settings, settings if task == "linear" else ""))
        units += list(plan_of(dataset, file).units.values())
    model = CostModel.of(store, [dataset], Resources(max_concurrent=2))
    seen: list[Unit] = []
    probe(model, units, 2, lambda unit, done, total: seen.append(unit))
    # One for the pre-trainings of each encoder, one for each encoder and task.
    assert len(seen) == 2 + 2 * 3
    assert all(unit.augmentations for unit in seen if isinstance(unit, PretrainUnit))
    cost = model.cost(units)
    assert cost.units_of_unknown_time == 0
    assert {e.basis.split(",")[0] for e in cost.estimates.values()} == {
        "2 steps measured now",
        "a part of it measured now",
    }
    assert all(e.seconds is not None and 0 < e.seconds < 60 for e in cost.estimates.values())
    assert cost.seconds is not None
    assert cost.trial_seconds / 2 <= cost.seconds <= cost.trial_seconds
    assert not store.results.exists()
    assert not any(map(model.needs_probe, units))


def test_a_probe_for_hardware_that_is_not_here_is_refused(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = CostModel.of(Store(tmp_path), [dataset], Resources(gpus_per_trial=1))
    with pytest.raises(UserError, match="--probe 2: trials would run on a GPU"):
        probe(model, list(plan_of(dataset, study_file).units.values()), 2)


def test_the_table_of_a_plan_fits_80_columns_and_is_whole_in_a_pipe(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, plan = Store(tmp_path), plan_of(dataset, study_file, seeds=2)
    units, long = list(plan.units.values()), "A CPU of a name that is as long as some are @ 2 GHz"
    finish(store, units[0], 98765.0, dataset, Hardware("cpu", long, 4))
    model = model_of(store, dataset)
    cost = model.cost(units[1:])

    def lines(width: int, terminal: bool) -> list[str]:
        out = io.StringIO()
        console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
        print_kinds(console, units, cost)
        return [line.rstrip() for line in out.getvalue().splitlines()]

    wide, piped = lines(80, True), lines(40, False)
    assert max(map(len, wide)) <= 80
    assert wide[0].split() == ["units", "done", "to", "run", "each", "all", "disk", "from"]
    row = next(line for line in wide if line.startswith("pre-training IMG"))
    assert row.split()[2:4] == ["1", "1"]
    assert row.endswith(" a")
    note = f"a: 1 similar unit on other hardware ({long}, 4 threads)"
    assert note in piped
    assert row in piped


def test_a_plan_says_what_it_costs_and_from_what(
    tmp_path: Path,
    utd: Path,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "r"
    words = ["plan", study_file, "--data", utd, "--results", results]
    assert _main(monkeypatch, *words) == 0
    printed = capsys.readouterr().out
    assert "3 rows, 6 cells, 10 distinct units" in printed
    assert "time unknown" in printed
    assert "plan --probe 5 measures it" in printed
    more = ("--only", "none,random", "--max-concurrent", 1, "--probe", 1, "--json")
    assert _main(monkeypatch, *words, *more) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert (document["rows"], document["cells"], document["units"]) == (2, 4, 6)
    assert document["notes"] == []
    cost = document["cost"]
    assert cost["slots"] == 1
    assert cost["seconds"] == pytest.approx(cost["trial_seconds"])
    assert cost["gpu_hours"] == 0
    assert cost["core_hours"] == pytest.approx(cost["trial_seconds"] / 3600)
    assert cost["disk_bytes"] > 0
    assert {kind["kind"]: kind["units"] for kind in cost["kinds"]} == {
        "pre-training IMG": 1,
        "pre-training SEQ": 1,
        "linear IMG": 2,
        "linear SEQ": 2,
    }
    assert all("measured now" in kind["basis"] for kind in cost["kinds"])
    assert all(unit["seconds"] > 0 for unit in document["to_run"])
    assert not results.exists()
    assert _main(monkeypatch, *words, study_file, "--json") == 0
    documents = json.loads(capsys.readouterr().out)
    assert [d["together"]["to_run"] for d in documents] == [10, 10]
    assert documents[0]["cost"]["seconds"] is None
    assert documents[0]["to_run"][0]["basis"].startswith("unknown")
    twin = tmp_path / "twin.yaml"
    row = "rows:\n  twin: {set: {pretrain.augment.use: []}}\n"
    twin.write_text(study_file.read_text().replace("rows:\n", row))
    assert _main(monkeypatch, "plan", twin, *words[2:], "--json") == 0
    ((note,),) = (each["notes"] for each in json.loads(capsys.readouterr().out))
    assert note.startswith("Rows twin and none are the same units")
    assert _main(monkeypatch, "run", *words[1:], "--probe", 3) == 2
    assert "only with --plan" in capsys.readouterr().err


def test_kinds_of_units_name_an_encoder_that_was_chosen() -> None:
    chosen = {"custom": {"stg": {"encoder": "ctrgcn"}}}
    one = pretraining(representations=["stg"], encoders=chosen)
    both = pretraining(representations=["stg", "seq"], encoders=chosen)
    kinds = [kind_name(unit) for unit in (pretraining(), one, evaluation(one), both)]
    assert kinds == [
        "pre-training SEQ",
        "pre-training STG (ctrgcn)",
        "linear STG (ctrgcn)",
        "pre-training STG+SEQ (ctrgcn)",
    ]
