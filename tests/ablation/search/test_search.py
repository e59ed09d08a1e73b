"""A search without Ray: the record, the parameters, the units of trials."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from search_helpers import SPACE, numbers, problem_of, record_of, run_trials, source_of

from ablation.events import Failed
from ablation.plan import make_plan
from ablation.scheduler.queue import Monitor
from ablation.search.population import Member
from ablation.search.record import JOURNAL, Trial
from ablation.store import Store
from ablation.study import load_study
from skelcon.data import ClipInfo, DatasetWriter, SkeletonDataset, split
from skelcon.errors import UserError

LR = "pretrain.optimiser.lr"


# -- the problem ------------------------------------------------------------------------------


def test_a_trial_has_the_keys_of_a_study_on_the_validation_side(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)
    study = {key: SPACE[key] for key in ("title", "protocols", "task", "downstream", "base")}
    study |= {"rows": {"slow": {"set": {LR: 0.002}}, "default": {}}, "columns": {"seq": {}}}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    plan = make_plan(
        load_study(path), dataset, preset="quick", seeds=(0,), evaluate_on="validation"
    )
    ours = {
        key
        for parameters in ({LR: 0.002}, problem.defaults)
        for fold in problem.units(parameters)
        for key in fold.keys
    }
    assert ours == set(plan.units)


def test_the_directory_follows_from_all_that_decides_and_not_from_the_number_of_trials(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)
    same = [
        problem_of(tmp_path, dataset, trials=99, title="Another"),
        problem_of(tmp_path, dataset),
    ]
    other = [
        problem_of(tmp_path, dataset, seed=1),
        problem_of(tmp_path, dataset, evaluate_every=1),
        problem_of(tmp_path, dataset, algorithm="optuna"),
        problem_of(tmp_path, dataset, scheduler={"name": "asha"}),
        problem_of(tmp_path, dataset, base={**SPACE["base"], "pretrain.epochs": 5}),
        problem_of(tmp_path, dataset, space={LR: {"uniform": [0.1, 0.2]}}),
    ]
    directories = [each.directory(tmp_path) for each in (problem, *other)]
    assert {each.directory(tmp_path) for each in same} == {problem.directory(tmp_path)}
    assert len(set(directories)) == len(directories)


def test_an_eighth_of_the_training_lies_between_two_evaluations(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    for epochs, every in ((60, 8), (8, 1), (3, 1), (451, 57)):
        base = {**SPACE["base"], "pretrain.epochs": epochs}
        assert problem_of(tmp_path, dataset, base=base, evaluate_every=None).every == every


# -- the record -------------------------------------------------------------------------------


def test_the_record_survives_a_torn_line_and_a_new_process(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)
    record = record_of(problem, tmp_path)
    first, second = record.ask(), record.ask()
    record.report(0, 2, 0.25, 1.0)
    record.report(0, 2, 0.99, 1.0)  # trained again after a crash
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"op_code": 7, "trial_id": 0, "st')
    record = record_of(problem, tmp_path)
    assert [trial.state for trial in record.trials()] == ["unfinished", "unfinished"]
    assert [(r.epoch, r.value, r.seconds) for r in record.trial(0).intermediate_values] == [
        (2, 0.25, 1.0)
    ]
    record.report(0, 4, 0.5, 1.0)
    record.end(0, "completed")
    record.end(1, "failed", "out of memory")
    trials = record_of(problem, tmp_path).trials()
    assert [(t.state, t.epoch, t.value) for t in trials] == [
        ("completed", 4, 0.5),
        ("failed", 0, None),
    ]
    assert [t.parameters for t in trials] == [first.parameters, second.parameters]
    first_fold, second_fold = problem.units(first.parameters)
    assert trials[0].units == (*first_fold.keys, *second_fold.keys)


def test_a_damaged_record_is_named(tmp_path: Path, dataset: SkeletonDataset) -> None:
    problem = problem_of(tmp_path, dataset)
    record_of(problem, tmp_path).ask()
    (tmp_path / JOURNAL).write_text("not a journal\n{}\n")
    with pytest.raises(UserError, match=rf"{JOURNAL}': damaged"):
        record_of(problem, tmp_path)


# -- where parameters come from ---------------------------------------------------------------


def test_the_default_comes_first_and_random_parameters_follow_from_seed_and_number(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)
    record = record_of(problem, tmp_path / "a")
    drawn = [record.ask().parameters for _ in range(6)]
    assert drawn[0] == problem.defaults
    assert drawn[0][LR] == 0.01
    resumed = []
    for _ in range(6):  # a process for each
        resumed.append(record_of(problem, tmp_path / "b").ask().parameters)
    assert resumed == drawn
    other = record_of(problem_of(tmp_path, dataset, seed=1), tmp_path / "c")
    assert [other.ask().parameters for _ in range(2)][1] != drawn[1]


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_no_two_trials_have_the_same_parameters_and_a_small_space_is_exhausted(
    tmp_path: Path, dataset: SkeletonDataset, algorithm: str
) -> None:
    problem = problem_of(
        tmp_path,
        dataset,
        algorithm=algorithm,
        space={
            "pretrain.augment.use": {"choice": [["crop"], ["jitter"], []]},
            "pretrain.optimiser.weight_decay": {"choice": [0.1, 0.2]},
        },
    )
    record = record_of(problem, tmp_path)
    while not record.exhausted:
        number = record.ask().number
        record.report(number, 4, 0.5, 1.0)
        record.end(number, "completed")
    found = [trial.parameters for trial in record.trials()]
    assert len(found) == 7  # the default, which is not in the space, and all six
    assert len({json.dumps(one) for one in found}) == 7
    source = source_of(record, Store(tmp_path / "r"))
    assert source.exhausted
    assert not source.expected


def test_tpe_learns_from_the_trials_of_an_earlier_command(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    """The nearer the temperature is to 0.4, the better; the learning rate does not matter."""
    name = "pretrain.contrast.temperature"
    problem = problem_of(tmp_path, dataset, algorithm="optuna", scheduler={"name": "asha"})

    def further(directory: Path, trials: int) -> list[float]:
        record, drawn = record_of(problem, directory), []
        for _ in range(trials):
            trial = record.ask()
            drawn.append(trial.parameters[name])
            record.report(trial.number, 2, -abs(trial.parameters[name] - 0.4), 1.0)
            if trial.number % 3 == 1:
                record.end(trial.number, "stopped")
            elif trial.number % 10 == 2:
                record.end(trial.number, "diverged", "nan")
            else:
                record.end(trial.number, "completed")
        return drawn

    early = further(tmp_path / "a", 30)
    late = further(tmp_path / "a", 20)
    assert np.mean(np.abs(np.array(late) - 0.4)) < 0.1  # at random 0.16
    assert further(tmp_path / "b", 50) == early + late  # one after another it is the same


# -- a trial's work ---------------------------------------------------------------------------


def test_trials_are_units_of_the_store_and_are_not_run_again(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem, store = problem_of(tmp_path, dataset), Store(tmp_path / "r")
    trials = run_trials(problem, store.results, 2)
    assert [trial.state for trial in trials] == ["completed", "completed"]
    for trial in trials:
        assert [r.epoch for r in trial.intermediate_values] == [2, 4, 6, 8]
        assert all(map(store.is_done, trial.units))
        first, second = (store.result(key)["top1"] for key in trial.evaluations)
        assert trial.intermediate_values[1].value == first
        assert trial.value == pytest.approx((first + second) / 2)  # of nine clips each
    again = run_trials(problem, store.results, 3, steps=2)
    assert numbers(again[:2]) == numbers(trials)
    # Without the record the units are still there: nothing is trained.
    (problem.directory(store.results) / JOURNAL).unlink()
    assert [t.value for t in run_trials(problem, store.results, 2, steps=1)] == [
        trial.value for trial in trials
    ]


def test_evaluations_while_training_change_nothing_and_an_interrupted_search_gives_the_same(
    tmp_path: Path, dataset: SkeletonDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.work.checkpoints.SHARE", 0)
    problem = problem_of(tmp_path, dataset, evaluate_every=1)
    whole, broken, plain = (Store(tmp_path / name) for name in ("whole", "broken", "plain"))
    trials = run_trials(problem, whole.results, 2)
    assert [r.epoch for r in trials[0].intermediate_values] == [1, 2, 3, 4, 5, 6, 7, 8]
    found: list[Trial] = []
    while [trial.state for trial in found] != ["completed"] * 2:
        found = run_trials(problem, broken.results, 2, steps=2)  # as a new process
    assert numbers(found) == numbers(trials)
    rare = problem_of(tmp_path, dataset, evaluate_every=4)
    run_trials(rare, plain.results, 1)
    key = trials[0].units[0]
    weights = [
        (s.directory(key) / "weights.safetensors").read_bytes() for s in (whole, broken, plain)
    ]
    assert weights[0] == weights[1] == weights[2]


def test_a_trial_that_is_divided_among_two_processes_is_evaluated_while_it_trains(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset)
    (trial,) = run_trials(problem, tmp_path / "r", 1, world_size=2)
    assert trial.state == "completed"
    assert [r.epoch for r in trial.intermediate_values] == [2, 4, 6, 8]
    assert Store(tmp_path / "r").provenance(trial.units[0])["ranks"] == 2


def test_trials_that_share_a_pretraining_get_a_value_each(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(
        tmp_path,
        dataset,
        task="linear",
        base={**SPACE["base"], "linear": {"epochs": 1, "crops": 1, "weight_decay": 0.0}},
        space={"linear.epochs": {"choice": [1, 2, 3]}},
        scheduler={"name": "asha", "grace": 4},  # evaluations: the whole trial
    )
    trials = run_trials(problem, tmp_path / "r", 3)
    assert [trial.state for trial in trials] == ["completed"] * 3
    assert len({trial.units[0] for trial in trials}) == 1
    assert len({trial.units[1] for trial in trials}) == 3


def test_a_trial_that_fails_is_retried_and_one_that_diverges_is_not(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset, trials=2)
    record, store = record_of(problem, tmp_path / "s"), Store(tmp_path / "r")
    source = source_of(record, store)
    handed_out = [source.ask(), source.ask()]
    source.start()  # Ray has died under both
    assert [source.ask(), source.ask()] == handed_out
    first, second = (units[0] for units in handed_out)
    log = tmp_path / "log.txt"
    source.report(Failed(first, "failed: OSError: no luck", log, "retry"))
    source.report(Failed(first, "failed: FloatingPointError: loss nan", log, "failed"))
    source.report(Failed(second, "failed: out of memory", log, "failed"))
    assert source.exhausted
    assert [(t.state, t.reason) for t in record.trials()] == [
        ("diverged", "FloatingPointError: loss nan"),
        ("failed", "out of memory"),
    ]
    source.start()  # Ray has died: this command has tried both
    assert source.exhausted
    again = source_of(record, store)
    assert [unit.key for unit in again.ask()] == list(record.trial(1).units[:2])
    assert record.trial(1).state == "unfinished"


def test_the_test_side_is_never_read(tmp_path: Path, dataset: SkeletonDataset) -> None:
    """The same search on data whose test clips are noise with other labels."""
    tested = set(split(dataset, "xsub", "test").tolist())
    random = np.random.default_rng(0)
    with DatasetWriter(
        tmp_path / "poisoned",
        name="tiny",
        layout=dataset.layout,
        class_names=dataset.class_names,
        family=dataset.family,
        normalisation=dataset.normalisation,
    ) as writer:
        for i in range(len(dataset)):
            clip, label = dataset.clip(i), int(dataset.columns["label"][i])
            if i in tested:
                clip, label = random.normal(size=clip.shape), (label + 1) % dataset.num_classes
            info = ClipInfo(
                dataset.clip_names[i], label=label, subject=int(dataset.columns["subject"][i])
            )
            writer.add(info, clip.astype(np.float32))
        poisoned = writer.close({"xsub": dataset.splits["xsub"]})
    assert poisoned.fingerprint != dataset.fingerprint
    found = []
    for name, data in (("clean", dataset), ("poisoned", poisoned)):
        base = {**SPACE["base"], "linear": {"epochs": 3, "crops": 1}}
        problem = problem_of(tmp_path, data, task="linear", base=base)
        found.append(numbers(run_trials(problem, tmp_path / name, 2)))
    assert found[0] == found[1]


def test_a_member_takes_the_state_of_another_with_settings_of_its_own(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset, scheduler={"name": "pbt"})

    def member(number: int, lr: float, decay: float) -> Member:
        parameters = {LR: lr, "pretrain.optimiser.weight_decay": decay}
        (units,) = problem.units(parameters)
        values = {
            "number": number,
            "parameters": parameters,
            "unit": units.pretraining.to_json(),
            "monitor": Monitor(units.evaluation, "top1", 2).to_json(),
        }
        found = Member.__new__(Member)  # without what Tune sets up
        found.setup(
            {
                "member": json.dumps(values),
                "search": str(tmp_path),
                "data": {dataset.fingerprint: str(dataset.path)},
                "node": None,
                "plugins": [],
                "directory": ".",
                "gpu": 0,
                "threads": 1,
            }
        )
        return found

    whole = member(0, 0.01, 0.1)
    undisturbed = [whole.step(), whole.step()]
    assert [(each["epoch"], each["done"]) for each in undisturbed] == [(2, False), (4, True)]
    first = member(1, 0.01, 0.1)
    first.step()
    handed_over = tmp_path / "handed over"
    handed_over.mkdir()
    first.save_checkpoint(str(handed_over))
    assert member(1, 0.01, 0.1).step() == undisturbed[1]  # from its checkpoint
    checkpoint = tmp_path / "trials" / "0001" / "checkpoint.pt"
    content = bytearray(checkpoint.read_bytes())
    checkpoint.unlink()
    checkpoint.mkdir()  # as on a disk that does not answer: it cannot be read
    with pytest.raises(OSError, match="Is a directory"):
        member(1, 0.01, 0.1).step()
    assert not checkpoint.with_name("log.txt").exists()  # no training from scratch
    checkpoint.rmdir()
    content[len(content) // 2] ^= 1
    for damaged in (content, content[: len(content) // 2]):
        checkpoint.write_bytes(damaged)
        assert member(1, 0.01, 0.1).step() == undisturbed[0]  # from scratch
    copy = member(2, 0.05, 0.3)
    copy.load_checkpoint(str(handed_over))
    assert copy.step()["epoch"] == 4
    state = torch.load(tmp_path / "trials" / "0002" / "checkpoint.pt", weights_only=True)
    (group,) = state["optimiser"]["param_groups"]
    assert group["weight_decay"] == 0.3
