"""What units cost: from finished units, and never without a basis."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cost_helpers import HERE, finish, model_of, plan_of, pretrainings
from unit_helpers import evaluation, pretraining

from ablation.costs.forecast import wall_seconds
from ablation.costs.history import History, Rate
from ablation.costs.model import gpu_share
from ablation.costs.traits import Difference, Hardware, Match
from ablation.scheduler.resources import Resources
from ablation.store import Store, write_json
from ablation.units import EncoderSource
from skelcon.data import SkeletonDataset


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
