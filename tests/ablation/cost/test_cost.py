"""What a plan costs: from finished units, from a measurement, and never without a basis."""

from __future__ import annotations

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

from ablation.cli import main
from ablation.cost import check_disk, cost_of, gpu_share, needs_probe, slots_of, wall_seconds
from ablation.cost import estimate as costs
from ablation.cost.history import (
    FORWARD,
    Clips,
    Hardware,
    History,
    Rate,
    passes,
    probe_key,
    trial_hardware,
)
from ablation.cost.probe import probe, to_probe
from ablation.cost.sizes import readable, written_bytes
from ablation.plan import Plan, Unit, make_plan
from ablation.runner.resources import Resources
from ablation.store import Store, write_json
from ablation.study import load_study
from ablation.work import UnitRun
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


HERE = Hardware("cpu", "a CPU", 1)


def plan_of(dataset: SkeletonDataset, file: Path, seeds: int = 1, **overrides: Any) -> Plan:
    return make_plan(
        load_study(file),
        dataset,
        preset="paper",
        preset_tree={},
        seeds=tuple(range(seeds)),
        overrides={key.replace("__", "."): value for key, value in overrides.items()},
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
    directory = store.begin(unit.key, unit.config)
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


def test_passes_count_what_goes_through_the_encoders() -> None:
    pretrain = {"unit": "pretrain", "config": {"epochs": 3, "batch": 8}}
    assert passes(pretrain, 20, 99) == 3 * 16  # the last, smaller batch is dropped
    linear = {"unit": "evaluate", "task": "linear", "config": {"epochs": 9, "crops": 2}}
    assert passes(linear, 20, 10) == 2 * 20 + 10
    linear["config"] = {"epochs": 9, "crops": None}
    assert passes(linear, 20, 10) == 9 * 20 + 10
    assert passes({"unit": "evaluate", "task": "retrieval", "config": {}}, 20, 10) == 30
    options = {"epochs": 4, "subsets": 2, "labels": 0.5}
    finetune = {"unit": "evaluate", "task": "finetune", "config": options}
    assert passes(finetune, 20, 30) == pytest.approx(2 * (4 * 10 + FORWARD * 30))


def test_seconds_are_those_of_like_units_for_other_epochs_and_seeds(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store = Store(tmp_path)
    before = plan_of(dataset, study_file, seeds=3)
    pretrain = [u for u in before.units.values() if u.label.startswith("pretrain none / seq")]
    for unit, seconds in zip(pretrain, (1.0, 2.0, 30.0), strict=True):
        finish(store, unit, seconds, dataset)
    history = History.read(store, [dataset], HERE)
    after = plan_of(dataset, study_file, seeds=9, pretrain__epochs=12)  # and not 3
    units = {u.label: u for u in after.units.values()}
    like = costs.estimate(units["pretrain none / seq / seed 8"], history, store)
    assert like.seconds == pytest.approx(4 * 2.0)  # the median: one that slept is no measure
    assert like.basis == "3 like units on this hardware"
    assert like.size is not None
    assert like.size >= 1000
    other = costs.estimate(units["pretrain crop+jitter / seq / seed 0"], history, store)
    assert other.basis == "3 units with the same encoders on this hardware"
    image = costs.estimate(units["pretrain none / img / seed 0"], history, store)
    assert image.basis.startswith("rough: 3 units of the same kind, other representations")
    evaluation = next(u for u in after.units.values() if u.kind == "evaluate")
    assert costs.estimate(evaluation, history, store).seconds is None
    cost = cost_of(list(after.units.values()), history, store, Resources(), 2)
    assert cost.unknown == after.count("evaluate") == 54
    assert not needs_probe(units["pretrain none / seq / seed 8"], history)
    assert needs_probe(units["pretrain none / img / seed 0"], history)


def test_other_hardware_is_named_and_a_gpu_tells_nothing_of_a_cpu(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, plan = Store(tmp_path), plan_of(dataset, study_file)
    unit = next(u for u in plan.units.values() if u.kind == "pretrain")
    finish(store, unit, 5.0, dataset, Hardware("cuda", "GPU X"), gpu=(3000.0, 40000.0))
    assert History.read(store, [dataset], HERE).rate(unit) is None
    rate = History.read(store, [dataset], Hardware("cuda", "GPU Y")).rate(unit)
    assert rate is not None
    assert rate.basis == "1 like unit on other hardware (GPU X)"
    assert (rate.gpu_mib, rate.gpu_total_mib) == (3000.0, 40000.0)
    finish(store, unit, 5.0, dataset, Hardware("cpu", "a CPU", 4))
    rate = History.read(store, [dataset], HERE).rate(unit)
    assert rate is not None
    assert rate.basis == "1 like unit on other hardware (a CPU, 4 threads)"


def test_units_of_another_data_set_tell_by_what_they_logged(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, plan = Store(tmp_path), plan_of(dataset, study_file)
    unit = next(u for u in plan.units.values() if u.kind == "pretrain")
    foreign = replace(unit, config={**unit.config, "data": "0123456789abcdef"})
    directory = finish(store, foreign, 6.0, dataset)
    history = History.read(store, [dataset], HERE)
    assert history.rate(unit) is None  # how many clips it had is not known
    line = json.dumps({"samples_per_s": 10.0, "seconds": 3.0})
    (directory / "metrics.jsonl").write_text(f"{line}\n{line}\n")
    rate = History.read(store, [dataset], HERE).rate(unit)
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
    estimate = costs.estimate(pair, History.read(store, [dataset], HERE), store)
    assert estimate.seconds == pytest.approx(7.0)
    assert estimate.basis == "the sum of its representations alone on this hardware"


def test_a_damaged_unit_is_no_evidence_and_no_error(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, plan = Store(tmp_path), plan_of(dataset, study_file)
    for unit, name in zip(plan.units.values(), ("config.json", "provenance.json"), strict=False):
        (finish(store, unit, 1.0, dataset) / name).write_text("[]")
    (store.units / "notes.txt").write_text("mine")
    assert History.read(store, [dataset], HERE).past == []


def test_two_thousand_units_are_read_in_a_moment(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, plan = Store(tmp_path), plan_of(dataset, study_file)
    unit = next(u for u in plan.units.values() if u.kind == "pretrain")
    first = finish(store, unit, 1.0, dataset)
    for number in range(2000):
        shutil.copytree(first, store.units / f"{number:016x}", copy_function=os.link)
    began = time.process_time()
    history = History.read(store, [dataset], HERE)
    rate = history.rate(unit)
    assert time.process_time() - began < 3
    assert rate is not None
    assert rate.basis == "2001 like units on this hardware"


def test_the_time_of_all_is_that_of_handing_them_out() -> None:
    first = Unit({"unit": "pretrain", "n": 1}, (), "")
    second = Unit({"unit": "pretrain", "n": 2}, (), "")
    check = Unit({"unit": "evaluate", "n": 3}, (first.key,), "")
    late = Unit({"unit": "evaluate", "n": 4}, (first.key, second.key), "")
    units = [late, check, first, second]
    seconds = {first.key: 10.0, second.key: 4.0, check.key: 3.0, late.key: 1.0}
    assert wall_seconds(units, seconds, 1) == 18
    # The second starts beside the first; both evaluations when the first ends.
    assert wall_seconds(units, seconds, 2) == 13
    assert wall_seconds(units, seconds, 99) == 13
    assert wall_seconds([check, late], seconds, 1) == 4  # what they need is done
    assert wall_seconds([], {}, 3) == 0
    many = [Unit({"unit": "pretrain", "n": n}, (), "") for n in range(5)]
    assert wall_seconds(many, {u.key: 2.0 for u in many}, 2) == 6


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
    assert slots_of(resources, cpus, gpus) == fit


def test_a_share_of_a_gpu_is_suggested_from_measured_peaks_only() -> None:
    small = Rate(1.0, "", 0, gpu_mib=3000.0, gpu_total_mib=40000.0)
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
    store, plan = Store(tmp_path), plan_of(dataset, study_file)
    units = [unit for unit in plan.units.values() if unit.kind == "pretrain"]
    history = History([], Clips([dataset]), HERE)
    history.measured[probe_key(units[0].config)] = Rate(1.0, "", 0)

    def disk(*policy: Any) -> int:
        asked = Resources(checkpoints=CheckpointPolicy(*policy))
        return cost_of(units[:1], history, store, asked, 1).disk_bytes

    one = cost_of(units[:1], history, store, Resources(), 1).estimates[units[0].key]
    assert one.seconds
    assert disk(None, "last") - disk() == one.checkpoint
    assert disk(one.seconds / 4, "all") - disk() == 5 * one.checkpoint


def test_a_checkpoint_leaves_less_to_run(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store, plan = Store(tmp_path), plan_of(dataset, study_file)
    unit = next(u for u in plan.units.values() if u.kind == "pretrain")
    directory = store.begin(unit.key, unit.config)
    (directory / "metrics.jsonl").write_text("{}\n{}\n")
    assert costs.share_left(unit, store) == 1  # without a checkpoint it begins anew
    (directory / "checkpoint.pt").write_bytes(b"")
    assert costs.share_left(unit, store) == pytest.approx(1 / 3)


def test_sizes_are_counted_before_anything_is_written(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clips = Store(tmp_path), Clips([dataset])
    saved: list[int] = []
    original = torch.save

    def save(values: object, buffer: Any) -> None:
        original(values, buffer)
        saved.append(buffer.tell())

    monkeypatch.setattr(torch, "save", save)
    monkeypatch.setattr("ablation.work.checkpoints.SHARE", 0)
    monkeypatch.setattr("ablation.work.checkpoints.LEAST", 0)
    plan = plan_of(dataset, study_file, pretrain__encoders__seq__hidden=64)
    unit = next(u for u in plan.units.values() if u.representations == ("seq",))
    counted = written_bytes(unit.config, clips)
    assert counted is not None
    run = UnitRun(unit.config, store, {dataset.fingerprint: dataset.path}, "cpu")
    while not run.step(0).done:
        pass
    run.close()
    written = sum(path.stat().st_size for path in store.directory(unit.key).iterdir())
    assert counted[0] == pytest.approx(written, rel=0.1)
    assert counted[1] == pytest.approx(saved[0], rel=0.1)


def test_sizes_read_well() -> None:
    assert [readable(n) for n in (0, 999, 1000, 12_340_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 MB",
    ]


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
    told = capsys.readouterr().err
    assert f"--results {results} has 1.0 kB free" in told
    assert "kB: free some" in told or "MB: free some" in told
    assert not results.parent.exists()


def test_an_unknown_disk_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = costs.Cost({}, 1, 0.0, 0.0, 0, 0.0, 0.0, 10**15, 0, None)
    with pytest.raises(UserError, match=r"1000\.0 TB"):
        check_disk(tmp_path, cost)

    def unknown(_: object) -> None:
        raise OSError(38, "not implemented")

    monkeypatch.setattr(shutil, "disk_usage", unknown)
    check_disk(tmp_path, cost)


def _main(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["skelcon-ablate", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_probe_measures_every_kind_and_leaves_nothing(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store = Store(tmp_path / "r")
    history = History.read(store, [dataset], trial_hardware(0, 1))
    units = []
    for task in ("linear", "retrieval", "finetune"):
        file = tmp_path / f"{task}.yaml"
        text = study_file.read_text().replace("protocols:", f"task: {task}\nprotocols:")
        settings = "  linear: {epochs: 3, crops: 1}\n"
        file.write_text(text.replace(settings, settings if task == "linear" else ""))
        units += list(plan_of(dataset, file).units.values())
    seen: list[Unit] = []
    # One for the pre-trainings of each encoder, one for each encoder and task.
    assert len(to_probe(units, history)) == 2 + 2 * 3
    probe(units, history, 2, 1, seen.append)
    assert len(seen) == 8
    assert all(u.config["config"]["augment"]["use"] for u in seen if u.kind == "pretrain")
    cost = cost_of(units, history, store, Resources(), 2)
    assert cost.unknown == 0
    assert {e.basis.split(",")[0] for e in cost.estimates.values()} == {
        "2 steps measured now",
        "a part of it measured now",
    }
    assert all(e.seconds is not None and 0 < e.seconds < 60 for e in cost.estimates.values())
    assert cost.seconds is not None
    assert cost.work_seconds / 2 <= cost.seconds <= cost.work_seconds
    assert not store.results.exists()
    assert to_probe(units, history) == []


def test_a_probe_for_hardware_that_is_not_here_is_refused(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    history = History([], Clips([dataset]), Hardware("cuda", None))
    with pytest.raises(UserError, match="--probe 2: trials would run on a GPU"):
        probe(list(plan_of(dataset, study_file).units.values()), history, 2, 1)


def test_a_plan_says_what_it_costs_and_whence_it_knows(
    tmp_path: Path,
    utd: Path,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "r"
    words = ["plan", study_file, "--data", utd, "--results", results]
    assert _main(monkeypatch, *words) == 0
    told = capsys.readouterr().out
    assert "3 rows, 6 cells, 10 distinct units" in told
    assert "time unknown" in told
    assert "plan --probe 5 measures it" in told
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
