"""What units cost: from finished units, from a measurement, and never without a basis."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from rich.console import Console
from unit_helpers import evaluation, pretraining

from ablation.costs import Cost, CostModel, check_disk
from ablation.costs.forecast import wall_seconds
from ablation.costs.history import Difference, Hardware, History, Match, Rate
from ablation.costs.model import gpu_share, share_left
from ablation.costs.probe import probe
from ablation.costs.sizes import written_bytes
from ablation.costs.view import print_kinds
from ablation.plan import Plan, make_plan
from ablation.scheduler.resources import Resources
from ablation.store import Store, write_json
from ablation.study import load_study
from ablation.units import EncoderSource, PretrainUnit, Unit
from ablation.work import Context, UnitRun
from ablation.work.checkpoints import CheckpointPolicy
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError
from skelcon.settings import put


@pytest.fixture(autouse=True)
def _torch_as_before() -> Iterator[None]:
    """A measurement sets torch up as a worker does."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.set_num_threads(before[1])


HERE = Hardware.of_trial(Resources())


def plan_of(dataset: SkeletonDataset, file: Path, seeds: int = 1, **overrides: Any) -> Plan:
    changed: dict[str, Any] = {}
    for name, value in overrides.items():
        put(changed, name.replace("__", "."), value)
    return make_plan(
        load_study(file),
        dataset,
        preset="paper",
        seeds=tuple(range(seeds)),
        overrides=changed,
    )


def finish(
    store: Store,
    unit: Unit,
    seconds: float,
    dataset: SkeletonDataset,
    hardware: Hardware = HERE,
    size: int = 1000,
    gpu: tuple[float, float] | None = None,
) -> Path:
    """As a finished unit leaves its directory, as far as costs are read from it."""
    directory = store.begin(unit.key, unit.to_json())
    on_gpu = hardware.device == "cuda"
    names: dict[str, Any] = {"cpu": "a CPU", "gpu": None}
    if on_gpu:
        names = {"cpu": "a CPU", "gpu": hardware.name, "gpu_mib": gpu[1] if gpu else None}
    else:
        names["cpu"] = hardware.name
    values = {
        "seconds": seconds,
        "device": hardware.device,
        "threads": hardware.threads,
        "hardware": names,
        "data": {"name": dataset.name},
        "peak_memory": {"gpu_mib": gpu[0]} if gpu else {},
    }
    write_json(directory / "provenance.json", values)
    (directory / "weights.safetensors").write_bytes(b"0" * size)
    store.finish(unit.key)
    return directory


def model_of(store: Store, dataset: SkeletonDataset, **resources: Any) -> CostModel:
    return CostModel.of(store, [dataset], Resources(**resources))


def pretrainings(plan: Plan) -> list[PretrainUnit]:
    return [unit for unit in plan.units.values() if isinstance(unit, PretrainUnit)]


def test_differences_are_ordered_by_what_weighs_most() -> None:
    ordered = [
        Difference(),
        Difference(options=True),
        Difference(data=True),
        Difference(data=True, options=True),
        Difference(hardware=True),
        Difference(hardware=True, data=True, options=True),
        Difference(Match.REPRESENTATIONS),
        Difference(Match.REPRESENTATIONS, hardware=True, data=True),
        Difference(Match.TASK),
    ]
    assert all(nearer < farther for nearer, farther in itertools.pairwise(ordered))
    assert [each.is_rough for each in ordered] == [False, False, *[True] * 7]


def test_the_seconds_are_those_of_like_units_for_other_epochs_and_seeds(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store = Store(tmp_path)
    before = plan_of(dataset, study_file, seeds=3)
    trained = [u for u in before.units.values() if u.label.startswith("pretrain none / seq")]
    for unit, seconds in zip(trained, (1.0, 2.0, 30.0), strict=True):
        finish(store, unit, seconds, dataset)
    after = plan_of(dataset, study_file, seeds=9, pretrain__epochs=12)  # and not 3
    model, units = model_of(store, dataset), {u.label: u for u in after.units.values()}
    like = model.estimate(units["pretrain none / seq / seed 8"])
    assert like.seconds == pytest.approx(4 * 2.0)  # the median: an outlier does not count
    assert like.basis == "3 similar units on this hardware"
    assert like.size is not None
    assert like.size >= 1000
    other = model.estimate(units["pretrain crop+jitter / seq / seed 0"])
    assert other.basis == "3 units with the same encoders on this hardware"
    image = model.estimate(units["pretrain none / img / seed 0"])
    assert image.basis.startswith("rough: 3 units of the same kind, other representations")
    evaluation = next(u for u in after.units.values() if u.kind == "evaluate")
    assert model.estimate(evaluation).seconds is None
    cost = model.cost(list(after.units.values()))
    assert cost.units_of_unknown_time == after.count("evaluate") == 54
    assert not model.needs_probe(units["pretrain none / seq / seed 8"])
    assert model.needs_probe(units["pretrain none / img / seed 0"])


def test_other_hardware_is_named_and_a_gpu_says_nothing_about_a_cpu(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, unit = Store(tmp_path), pretrainings(plan_of(dataset, study_file))[0]
    finish(store, unit, 5.0, dataset, Hardware("cuda", "GPU X"), gpu=(3000.0, 40000.0))
    history = History.read(store, [dataset])
    assert history.rate(unit, HERE) is None
    rate = history.rate(unit, Hardware("cuda", "GPU Y"))
    assert rate is not None
    assert rate.basis == "1 similar unit on other hardware (GPU X)"
    assert (rate.gpu_mib, rate.gpu_total_mib) == (3000.0, 40000.0)
    finish(store, unit, 5.0, dataset, Hardware("cpu", "a CPU", 4))
    rate = History.read(store, [dataset]).rate(unit, HERE)
    assert rate is not None
    assert rate.basis == "1 similar unit on other hardware (a CPU, 4 threads)"


def test_units_of_another_data_set_count_by_what_they_logged(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, unit = Store(tmp_path), pretrainings(plan_of(dataset, study_file))[0]
    foreign = replace(unit, side=replace(unit.side, data="0123456789abcdef"))
    directory = finish(store, foreign, 6.0, dataset)
    history = History.read(store, [dataset])
    assert history.rate(unit, HERE) is None  # how many clips it had is not known
    line = json.dumps({"samples_per_s": 10.0, "seconds": 3.0})
    (directory / "metrics.jsonl").write_text(f"{line}\n{line}\n")
    rate = History.read(store, [dataset]).rate(unit, HERE)
    assert rate is not None
    assert rate.seconds == pytest.approx(6.0 / 60)


def test_several_encoders_cost_what_each_costs_alone(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store = Store(tmp_path)
    for unit in plan_of(dataset, study_file).units.values():
        if unit.label.startswith("pretrain none"):
            finish(store, unit, 2.0 if unit.representations == ("img",) else 5.0, dataset)
    text = study_file.read_text().replace(
        "pretrain.representations: [seq]", "pretrain.representations: [img, seq]"
    )
    both = tmp_path / "both.yaml"
    both.write_text(text)
    units = plan_of(dataset, both).units.values()
    pair = next(u for u in units if u.label == "pretrain none / img+seq / seed 0")
    estimate = model_of(store, dataset).estimate(pair)
    assert estimate.seconds == pytest.approx(7.0)
    assert estimate.basis == "the sum of its representations alone on this hardware"


def test_a_damaged_unit_or_one_of_another_version_is_no_evidence(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, units = Store(tmp_path), pretrainings(plan_of(dataset, study_file))
    for unit, name in zip(units, ("config.json", "provenance.json"), strict=False):
        (finish(store, unit, 1.0, dataset) / name).write_text("[]")
    for unit, change in zip(units[2:], ({"unit": "dream"}, {"config": {}}), strict=False):
        directory = finish(store, unit, 1.0, dataset)
        write_json(directory / "config.json", {**unit.to_json(), **change})
    (store.units / "notes.txt").write_text("mine")
    assert History.read(store, [dataset]).finished == []


def test_two_thousand_units_are_read_in_a_moment(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, unit = Store(tmp_path), pretrainings(plan_of(dataset, study_file))[0]
    first = finish(store, unit, 1.0, dataset)
    for number in range(2000):
        shutil.copytree(first, store.units / f"{number:016x}", copy_function=os.link)
    started = time.process_time()
    rate = History.read(store, [dataset]).rate(unit, HERE)
    assert time.process_time() - started < 3
    assert rate is not None
    assert rate.basis == "2001 similar units on this hardware"


def test_the_time_of_all_is_that_of_running_them_in_the_slots() -> None:
    first, second = pretraining(1), pretraining(2)
    check = evaluation(first)
    sources = tuple(EncoderSource("seq", pretrained=each) for each in (first, second))
    late = replace(check, encoders=sources)
    units = [late, check, first, second]
    seconds = {first.key: 10.0, second.key: 4.0, check.key: 3.0, late.key: 1.0}
    assert wall_seconds(units, seconds, 1) == 18
    # The second starts beside the first; both evaluations when the first ends.
    assert wall_seconds(units, seconds, 2) == 13
    assert wall_seconds(units, seconds, 99) == 13
    assert wall_seconds([check, late], seconds, 1) == 4  # what they need is done
    assert wall_seconds([], {}, 3) == 0
    many = [pretraining(seed) for seed in range(5)]
    assert wall_seconds(many, {u.key: 2.0 for u in many}, 2) == 6
    # What runs already is not waited for.
    assert wall_seconds([check, second], {check.key: 3.0, second.key: 9.0}, 1, {second.key}) == 12


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "fit"),
    [
        (Resources(), 8, 0, 8),
        (Resources(cpus_per_trial=3), 8, 0, 2),
        (Resources(max_concurrent=2), 8, 0, 2),
        (Resources(gpus_per_trial=1), 8, 2, 2),
        (Resources(gpus_per_trial=0.4), 8, 2, 4),  # a share never spans two GPUs
        (Resources(gpus_per_trial=2), 8, 3, 1),
        (Resources(gpus_per_trial=1), 8, 0, None),  # this machine will not run it
        (Resources(gpus_per_trial=1, max_concurrent=4), 8, 0, 4),
    ],
)
def test_how_many_fit_at_once(
    resources: Resources, cpus: float, gpus: float, fit: int | None
) -> None:
    assert resources.slots_of([{"CPU": cpus, "GPU": gpus}]) == fit


def test_a_share_of_a_gpu_is_suggested_from_measured_peaks_only() -> None:
    small = Rate(1.0, "", gpu_mib=3000.0, gpu_total_mib=40000.0)
    asked = Resources(gpus_per_trial=1)
    assert gpu_share([small, small], asked) == 0.12  # eight times 4,024 MiB are in 36,000
    assert gpu_share([small, None], asked) is None
    assert gpu_share([replace(small, gpu_mib=None)], asked) is None
    assert gpu_share([replace(small, gpu_mib=30000.0)], asked) is None
    assert gpu_share([small], Resources(gpus_per_trial=0.1)) is None
    assert gpu_share([small], Resources(gpus_per_trial=2)) is None  # they are for speed
    assert gpu_share([small], Resources()) is None


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
    assert _main(monkeypatch, "run", *words[1:], "--probe", 3) == 2
    assert "give --plan as well" in capsys.readouterr().err
