"""A search without Ray: the record, the draws, a trial's work, the report."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from search_helpers import SPACE

from ablation.search import record as record_module
from ablation.search import report
from ablation.search.confirm import lead_in_words
from ablation.search.domains import Domain
from ablation.search.draws import Chance, Drawer, Optuna
from ablation.search.importance import importance
from ablation.search.question import Question, ask
from ablation.search.record import Record, Report, Trial, held
from ablation.search.space import load_space
from ablation.search.trial import MemberTrial, UnitTrial
from ablation.store import Store
from ablation.study import load_study
from skelcon.data import ClipInfo, DatasetWriter, SkeletonDataset, split
from skelcon.errors import UserError
from skelcon.settings import parse_assignment, preset_tree, put, resolve_with_preset


def asked(tmp_path: Path, dataset: SkeletonDataset, **changes: Any) -> Question:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**SPACE, **changes}, sort_keys=False))
    return ask(load_space(path), dataset, preset="quick", protocol=None, overrides={})


def unit_trial(
    question: Question, store: Store, parameters: dict[str, Any], reported: int = 0
) -> UnitTrial:
    pretraining, evaluation = question.units(question.changes(parameters))
    return UnitTrial(
        pretraining.config,
        evaluation.config,
        question.every,
        "top1",
        reported,
        store,
        question.dataset.path,
        "cpu",
    )


def run_to_the_end(trial: UnitTrial | MemberTrial) -> list[tuple[int, float]]:
    found = []
    while not found or found[-1][0] < trial.epochs:
        made = trial.step()
        found.append((made.epoch, made.value))
    trial.close()
    return found


# -- the question -----------------------------------------------------------------------------


def test_a_trial_has_the_keys_of_a_study_on_the_validation_side(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    from ablation.cli.commands import plan_study

    question = asked(tmp_path, dataset)
    study = {key: SPACE[key] for key in ("title", "protocols", "task", "downstream", "base")}
    study |= {
        "rows": {"slow": {"set": {"pretrain.optimiser.lr": 0.002}}, "default": {}},
        "columns": {"seq": {}},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    plan = plan_study(
        load_study(path),
        dataset,
        preset="quick",
        seeds="1",
        protocol=None,
        assignments=None,
        only=None,
        evaluate_on="validation",
    )
    ours = {
        unit.key
        for parameters in ({"pretrain.optimiser.lr": 0.002}, question.defaults)
        for unit in question.units(question.changes(parameters))
    }
    assert ours == set(plan.units)


def test_the_question_is_all_that_decides_and_not_how_many_trials(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    question = asked(tmp_path, dataset)
    same = [asked(tmp_path, dataset, trials=99, title="Another"), asked(tmp_path, dataset)]
    other = [
        asked(tmp_path, dataset, seed=1),
        asked(tmp_path, dataset, evaluate_every=1),
        asked(tmp_path, dataset, algorithm="optuna"),
        asked(tmp_path, dataset, scheduler={"name": "asha"}),
        asked(tmp_path, dataset, base={**SPACE["base"], "pretrain.epochs": 5}),
        asked(tmp_path, dataset, space={"pretrain.optimiser.lr": {"uniform": [0.1, 0.2]}}),
    ]
    directories = [each.directory(tmp_path) for each in (question, *other)]
    assert {each.directory(tmp_path) for each in same} == {question.directory(tmp_path)}
    assert len(set(directories)) == len(directories)


def test_an_eighth_of_the_training_lies_between_two_evaluations(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    for epochs, every in ((60, 8), (8, 1), (3, 1), (451, 57)):
        base = {**SPACE["base"], "pretrain.epochs": epochs}
        assert asked(tmp_path, dataset, base=base, evaluate_every=None).every == every


# -- the record -------------------------------------------------------------------------------


def test_the_record_keeps_what_happened_and_forgives_a_torn_line(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.started(0, {"a": 1}, ("u", "v"))
    record.reported(0, Report(2, 0.25, 1.0), {"a": 1})
    record.reported(0, Report(2, 0.25, 1.0), {"a": 1})  # trained again after a crash
    with record.path.open("a") as file:
        file.write('{"event": "report", "trial": 0, "ep')
    assert [r.epoch for r in record.trials()[0].reports] == [2]
    assert record.trials()[0].state == "unfinished"
    record.reported(0, Report(4, 0.5, 1.0), {"a": 1})
    record.ended(0, "completed")
    (trial,) = record.trials()
    assert (trial.state, trial.epoch, trial.value, trial.units) == ("completed", 4, 0.5, ("u", "v"))
    assert all(json.loads(line) for line in record.path.read_text().splitlines())


def test_each_line_of_a_record_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, worker = Record(tmp_path), Record(tmp_path)
    read = []
    apply = record_module._apply
    monkeypatch.setattr(
        record_module, "_apply", lambda line, found: read.append(line) or apply(line, found)
    )
    for number in range(3):
        here.started(number, {"a": number}, ())
        worker.reported(number, Report(2, 0.5, 1.0), {"a": number})
        worker.ended(number, "completed")
        assert (here.trial(number).state, here.trial(number).epoch) == ("completed", 2)
    assert len(read) == 9
    here.trial(0).reports.clear()  # of a copy
    assert [trial.epoch for trial in here.trials()] == [2, 2, 2]
    assert len(read) == 9
    here.path.unlink()
    assert here.trials() == []


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.path.write_text('{"event": "report", "trial": 0, "epoch": 1}\n{}\n')
    with pytest.raises(UserError, match=r"trials.jsonl', line 1: damaged"):
        record.trials()


def test_a_search_is_held_by_one_command(tmp_path: Path) -> None:
    told = pytest.raises(UserError, match="another command is at work")
    with held(tmp_path / "s"), told, held(tmp_path / "s"):
        pass
    with held(tmp_path / "s"):
        pass


# -- where parameters come from ---------------------------------------------------------------


def test_the_default_comes_first_and_chance_depends_on_seed_and_number_alone(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    question = asked(tmp_path, dataset)
    whole = Drawer(question, [])
    drawn = [whole.parameters(number) for number in range(6)]
    assert drawn[0] == question.defaults
    assert drawn[0]["pretrain.optimiser.lr"] == 0.01
    known = [Trial(n, p, p) for n, p in enumerate(drawn[:3]) if p is not None]
    resumed = Drawer(question, known)
    assert [resumed.parameters(number) for number in range(3, 6)] == drawn[3:]
    assert Chance(question.space.space, 1).suggest(3, 0) != drawn[3]


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_no_two_trials_are_the_same_and_a_small_space_ends(
    tmp_path: Path, dataset: SkeletonDataset, algorithm: str
) -> None:
    question = asked(
        tmp_path,
        dataset,
        algorithm=algorithm,
        space={
            "pretrain.augment.use": {"choice": [["crop"], ["jitter"], []]},
            "pretrain.optimiser.weight_decay": {"choice": [0.1, 0.2]},
        },
    )
    drawer, found = Drawer(question, []), []
    for number in range(12):
        parameters = drawer.parameters(number)
        if parameters is None:
            break
        found.append(parameters)
        trial = Trial(
            number, parameters, parameters, reports=[Report(4, 0.5, 1)], state="completed"
        )
        drawer.ended(trial)
    assert len(found) == 7  # the default, which lies outside, and all six
    assert len({json.dumps(one) for one in found}) == 7


def test_optuna_learns_from_the_trials_of_an_earlier_command() -> None:
    space = {"x": Domain.model_validate({"uniform": [0, 1]})}
    known = []
    for number in range(30):
        x = Chance(space, 0).suggest(number, 0)["x"]
        value = -abs(x - 0.8)
        state: Any = "stopped" if number % 3 == 0 else "completed"
        known.append(Trial(number, {"x": x}, {"x": x}, reports=[Report(1, value, 1)], state=state))
    known.append(Trial(30, {"x": 0.1}, {"x": 0.1}, state="diverged"))
    source = Optuna(space, "top1", 0, known)
    drawn = [source.suggest(number, 0)["x"] for number in range(31, 51)]
    assert np.mean(np.abs(np.array(drawn) - 0.8) < 0.2) > 0.7  # by chance 0.4
    again = Optuna(space, "top1", 0, known)
    assert [again.suggest(number, 0)["x"] for number in range(31, 51)] == drawn


# -- a trial's work ---------------------------------------------------------------------------


def test_a_trial_ends_with_the_units_of_the_store(tmp_path: Path, dataset: SkeletonDataset) -> None:
    question, store = asked(tmp_path, dataset), Store(tmp_path / "r")
    reports = run_to_the_end(unit_trial(question, store, question.defaults))
    assert [epoch for epoch, _ in reports] == [2, 4]
    pretraining, evaluation = question.units({})
    assert store.is_done(pretraining.key)
    assert store.result(evaluation.key)["top1"] == reports[-1][1]
    assert run_to_the_end(unit_trial(question, store, question.defaults)) == reports[-1:]


def test_evaluations_on_the_way_change_nothing_and_an_interrupted_trial_gives_the_same(
    tmp_path: Path, dataset: SkeletonDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.work.checkpoints.SHARE", 0)
    question = asked(tmp_path, dataset, evaluate_every=1)
    whole, broken, plain = (Store(tmp_path / name) for name in ("whole", "broken", "plain"))
    reports = run_to_the_end(unit_trial(question, whole, question.defaults))
    assert [epoch for epoch, _ in reports] == [1, 2, 3, 4]
    found: list[tuple[int, float]] = []
    while not found or found[-1][0] < 4:  # a new process for each report
        trial = unit_trial(question, broken, question.defaults, found[-1][0] if found else 0)
        made = trial.step()
        trial.close()
        found.append((made.epoch, made.value))
    assert dict(found) == dict(reports)
    rare = asked(tmp_path, dataset, evaluate_every=4)
    run_to_the_end(unit_trial(rare, plain, question.defaults))
    key = question.units({})[0].key
    weights = [
        (s.directory(key) / "weights.safetensors").read_bytes() for s in (whole, broken, plain)
    ]
    assert weights[0] == weights[1] == weights[2]


def test_a_member_goes_on_from_another_with_its_own_settings(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    question = asked(tmp_path, dataset, scheduler={"name": "pbt"})

    def member(name: str, lr: float, decay: float, state: Any = None) -> MemberTrial:
        changed = {"pretrain.optimiser.lr": lr, "pretrain.optimiser.weight_decay": decay}
        units = question.units(changed)
        return MemberTrial(
            units[0].config, units[1].config, 2, "top1", tmp_path / name, dataset.path, "cpu", state
        )

    undisturbed = run_to_the_end(member("a", 0.01, 0.1))
    assert [epoch for epoch, _ in undisturbed] == [2, 4]
    first = member("b", 0.01, 0.1)
    first.step()
    resumed = member("b", 0.01, 0.1)  # from its checkpoint
    assert resumed.training.epoch == 2
    copy = member("c", 0.05, 0.3, first.training.state_dict())
    assert run_to_the_end(resumed) == undisturbed[1:]
    assert copy.training.epoch == 2
    (group,) = copy.training.state_dict()["optimiser"]["param_groups"]
    assert group["weight_decay"] == 0.3
    assert copy.training.run_epoch().lr > 2 * 0.01


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
        question = asked(tmp_path, data, task="linear", base=base)
        drawer = Drawer(question, [])
        for number in range(2):
            parameters = drawer.parameters(number)
            assert parameters is not None
            trial = unit_trial(question, Store(tmp_path / name), parameters)
            found.append((parameters, run_to_the_end(trial)))
    assert found[:2] == found[2:]


# -- the report -------------------------------------------------------------------------------


def recorded(question: Question, directory: Path, values: list[list[float]]) -> Record:
    """A record of made-up trials: those with all their numbers completed, the others stopped."""
    directory.mkdir()
    record, drawer = Record(directory), Drawer(question, [])
    for number, own in enumerate(values):
        parameters = drawer.parameters(number)
        assert parameters is not None
        record.started(number, parameters, ("p", "e"))
        for at, value in enumerate(own, 1):
            record.reported(number, Report(2 * at, value, 0.1), parameters)
        record.ended(number, "completed" if len(own) == 2 else "stopped")
    return record


def test_the_best_is_the_best_of_those_that_ran_to_their_end(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    question = asked(tmp_path, dataset)
    record = recorded(question, tmp_path / "s", [[0.2, 0.3], [0.9], [0.4, 0.5], [0.1, 0.5], [0.6]])
    summary = report.summarise(question, record)
    assert [trial.number for trial in summary.ranked] == [2, 3, 0, 1, 4]
    report.export(summary, record)
    rows = list(csv.DictReader((tmp_path / "s" / "trials.csv").read_text().splitlines()))
    whole = [row for row in rows if row["state"] == "completed"]
    best = max(whole, key=lambda row: float(row["value"]))
    text = (tmp_path / "s" / "best.yaml").read_text()
    base = yaml.safe_load(text)["base"]
    assert repr(base["pretrain.optimiser.lr"]) == best["pretrain.optimiser.lr"]
    # As the base of a study, and as --set arguments: the settings of that very trial.
    trial = question.settings(question.changes(summary.ranked[0].parameters))
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


def test_the_setting_that_mattered_is_found_in_trials_of_the_same_epoch(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    question = asked(tmp_path, dataset)
    lr = "pretrain.optimiser.lr"
    trials = []
    for number in range(40):
        parameters = Chance(question.space.space, 0).suggest(number, 0)
        value = -np.log(parameters[lr]) / 10
        reports = [Report(2, value, 1)]
        if number % 4 == 0:  # of the others nothing is known after four epochs
            reports.append(Report(4, 1 - value, 1))
        trials.append(Trial(number, parameters, parameters, reports=reports, state="stopped"))
    found = importance(question.space.space, trials, pbt=False)
    assert found.method.startswith("fANOVA")
    assert "40 trials after 2 epochs" in found.method
    assert found.influences[0].path == lr
    assert (found.influences[0].share or 0) > 0.8
    assert found.influences[0].spearman == pytest.approx(-1)
    few = importance(question.space.space, trials[:6], pbt=False)
    assert few.method.startswith("Spearman's rank correlation of 6 trials")
    assert few.influences[0].share is None
    assert not importance(question.space.space, trials[:4], pbt=False).influences
    assert not importance(question.space.space, trials, pbt=True).influences


def test_the_lead_says_when_it_may_be_chance() -> None:
    assert "not told apart from chance" in lead_in_words(np.array([0.02, -0.01, 0.01]))
    clear = lead_in_words(np.array([0.02, 0.021, 0.019]))
    assert clear == "Best less default: +2.0 ± 0.1 points, better in 3 of 3 seeds."
    assert "one seed" in lead_in_words(np.array([0.5]))
