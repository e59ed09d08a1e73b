"""Trials of a search are cross-validated: their folds, values, errors and lengths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from search_helpers import SPACE, problem_of, record_of, run_trials, source_of

from ablation.events import Failed, Finished
from ablation.search import report
from ablation.search.problem import EPOCHS, SearchProblem
from ablation.search.record import SearchRecord
from ablation.search.report import Summary
from ablation.search.source import SearchSource
from ablation.search.space import load_space
from ablation.search.steps import Steps
from ablation.statistics import paired_difference, standard_error
from ablation.store import Store, write_json
from ablation.units import EvaluateUnit, Unit
from skelcon.data import SkeletonDataset
from skelcon.presets import Preset, preset_tree, resolve_with_preset

LR = "pretrain.optimiser.lr"


def finish(source: SearchSource, store: Store, units: Sequence[Unit], top1: float) -> None:
    """What a run reports when both units of a fold are done."""
    for unit in units:
        directory = store.begin(unit.key, unit.to_json())
        write_json(directory / "result.json", {"top1": top1})
        store.finish(unit.key)
        source.report(Finished(unit))


def numbers_of(units: Sequence[Unit]) -> list[str]:
    return [unit.label for unit in units]


# -- which fold is next -----------------------------------------------------------------------


def test_a_trials_folds_follow_one_another_and_come_before_a_new_trial(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem, store = problem_of(tmp_path, dataset, trials=3), Store(tmp_path / "r")
    source = source_of(record_of(problem, tmp_path / "s"), store)
    assert source.upcoming == len(source.expected) == 3 * 2 * 2
    first, second = source.ask(), source.ask()
    names = ("trial 0: pretrain seq, fold 0/2", "trial 0: retrieval seq, fold 0/2")
    assert numbers_of(first) == list(names)
    assert numbers_of(second)[0] == "trial 1: pretrain seq, fold 0/2"
    assert source.upcoming == 12 - 4
    finish(source, store, second, 0.5)
    finish(source, store, first, 0.25)
    again = [numbers_of(source.ask())[0] for _ in range(3)]
    assert again == [
        "trial 0: pretrain seq, fold 1/2",
        "trial 1: pretrain seq, fold 1/2",
        "trial 2: pretrain seq, fold 0/2",
    ]
    # The last fold of the last trial waits for the one before it: there is more, but not now.
    assert not source.exhausted
    assert source.ask() == ()
    assert source.upcoming == 2


def test_a_search_resumes_at_the_fold_where_it_was(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem, store = problem_of(tmp_path, dataset, trials=1), Store(tmp_path / "r")
    record = record_of(problem, tmp_path / "s")
    source = source_of(record, store)
    units = source.ask()
    finish(source, store, units, 0.5)
    source.ask()
    again = source_of(record_of(problem, tmp_path / "s"), store)  # a new process
    assert again.upcoming == 2
    (pretraining, evaluation) = again.ask()
    assert pretraining.label == "trial 0: pretrain seq, fold 1/2"
    monitor = again.monitor(pretraining)
    assert monitor is not None
    assert (monitor.evaluation, monitor.every, monitor.reported) == (evaluation, 2, 0)
    again.tell(pretraining, 2, 0.25)
    monitor = again.monitor(pretraining)
    assert monitor is not None
    assert monitor.reported == 2
    finish(again, store, [pretraining, evaluation], 0.75)
    (trial,) = record_of(problem, tmp_path / "s").trials()
    assert [(r.epoch, r.value) for r in trial.intermediate_values] == [
        (4, 0.5),
        (6, 0.375),
        (8, 0.625),
    ]
    assert trial.state == "completed"
    assert again.exhausted


def test_a_value_is_pooled_over_the_clips_of_the_folds_so_far(
    tmp_path: Path, eight: SkeletonDataset
) -> None:
    """Four subjects in three folds of 18, 9 and 9 clips."""
    problem, store = problem_of(tmp_path, eight, trials=1, folds=3), Store(tmp_path / "r")
    assert problem.clips == (18, 9, 9)
    assert (problem.epochs, problem.steps) == (4, 12)
    source = source_of(record := record_of(problem, tmp_path / "s"), store)
    for fold, top1 in enumerate((0.5, 0.25, 1.0)):
        pretraining, evaluation = source.ask()
        source.tell(pretraining, 2, 0.125)
        assert pretraining.side.fold == evaluation.side.fold == problem.folds[fold]
        finish(source, store, [pretraining, evaluation], top1)
    found = {r.epoch: r.value for r in record.trial(0).intermediate_values}
    assert found == pytest.approx(
        {
            2: 0.125,
            4: 0.5,
            6: (18 * 0.5 + 9 * 0.125) / 27,
            8: (18 * 0.5 + 9 * 0.25) / 27,
            10: (18 * 0.5 + 9 * 0.25 + 9 * 0.125) / 36,
            12: (18 * 0.5 + 9 * 0.25 + 9 * 1.0) / 36,
        }
    )
    assert record.trial(0).state == "completed"


def test_asha_stops_a_trial_between_its_folds(tmp_path: Path, dataset: SkeletonDataset) -> None:
    problem = problem_of(tmp_path, dataset, trials=3, scheduler={"name": "asha", "grace": 2})
    store, record = Store(tmp_path / "r"), record_of(problem, tmp_path / "s")
    source = source_of(record, store)
    default, bad = source.ask(), source.ask()
    finish(source, store, default, 0.9)
    finish(source, store, bad, 0.1)
    assert record.trial(1).state == "stopped"
    assert [(r.epoch, r.value) for r in record.trial(1).intermediate_values] == [(4, 0.1)]
    assert numbers_of(source.ask())[0] == "trial 0: pretrain seq, fold 1/2"
    assert numbers_of(source.ask())[0] == "trial 2: pretrain seq, fold 0/2"


def test_a_failure_ends_all_trials_that_share_the_unit_and_none_is_waited_for(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    space = {"linear.epochs": {"choice": [1, 2, 3]}}  # not used: the task is retrieval
    problem = problem_of(tmp_path, dataset, trials=3, space=space)
    record = record_of(problem, tmp_path / "s")
    source = source_of(record, Store(tmp_path / "r"))
    first, second = source.ask(), source.ask()
    assert list(first) == list(second)
    source.report(Failed(first[0], "failed: OSError: no luck", tmp_path / "log.txt", "failed"))
    assert source.ask() == ()
    assert source.exhausted
    assert {(t.state, t.reason) for t in record.trials()} == {("failed", "OSError: no luck")}
    assert len(record.trials()) == 3


def test_a_population_trains_on_the_first_fold_and_says_so(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset, scheduler={"name": "pbt"})
    (units,) = problem.units({})
    assert units.pretraining.side.fold == problem.folds[0]
    assert (problem.steps, problem.num_folds, len(problem.folds)) == (4, 2, 1)
    record = record_of(problem, tmp_path / "s")
    record.report(record.ask().number, 4, 0.5, 1.0)
    summary = Summary(record, Store(tmp_path / "r"))
    assert "folds: 0/2 alone" in summary.caption
    assert any("on the first fold" in note for note in summary.notes)


# -- trials of different lengths --------------------------------------------------------------


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 4), st.data())
def test_trials_of_any_length_are_compared_at_shares_of_their_training(
    own: int, scale: int, fold: int, data: st.DataObject
) -> None:
    steps = Steps(own, scale)
    asked = data.draw(st.integers(1, scale))
    every = steps.every(asked)
    assert 1 <= every <= own
    assert steps.at(fold, own) == (fold + 1) * scale
    due = list(range(every, own, every))
    at = [steps.at(fold, epoch) for epoch in due]
    assert at == sorted(set(at))  # no two evaluations at one step
    for epoch, step in zip(due, at, strict=True):
        assert abs((step - fold * scale) - epoch * scale / own) <= 0.5
        # After a crash: less than an evaluation off, so that none is left out.
        assert abs(steps.epoch(fold, step) - epoch) < every
        assert steps.epoch(fold + 1, step) == 0


def test_a_step_is_an_epoch_in_a_trial_as_long_as_the_default() -> None:
    steps = Steps(9, 9)
    assert [steps.at(fold, epoch) for fold in (0, 2) for epoch in (1, 4, 9)] == [
        1,
        4,
        9,
        19,
        22,
        27,
    ]
    assert [steps.epoch(2, step) for step in (0, 17, 18, 19, 27, 28)] == [0, 0, 0, 1, 9, 9]
    assert [steps.every(n) for n in (1, 4, 9)] == [1, 4, 9]


def test_the_length_of_the_training_can_be_searched(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    """The default has 4 epochs; half as many and twice as many report at the same steps."""
    problem = problem_of(tmp_path, dataset, space={EPOCHS: {"choice": [2, 8]}})
    trials = run_trials(problem, tmp_path / "r", 3)
    assert sorted(trial.parameters[EPOCHS] for trial in trials) == [2, 4, 8]
    store = Store(tmp_path / "r")
    for trial in trials:
        assert [r.epoch for r in trial.intermediate_values] == [2, 4, 6, 8]
        assert {store.result(key)["epochs"] for key in trial.units[::2]} == {
            trial.parameters[EPOCHS]
        }
    summary = Summary(record_of(problem, problem.directory(tmp_path / "r")), store)
    assert any("same share of their own training" in note for note in summary.notes)
    # The cost of further trials counts both lengths.
    lengths = [unit.epochs for unit in problem.expected(8) if unit.kind == "pretrain"]
    assert lengths == [2, 2, 8, 8]


# -- what it ends with ------------------------------------------------------------------------


def per_clip(store: Store, evaluations: Sequence[str]) -> Any:
    """Clip -> (hit, group), of all folds."""
    found = {}
    for key in evaluations:
        with np.load(store.directory(key) / "predictions.npz") as saved:
            hits = saved["prediction"] == saved["label"]
            found |= dict(zip(saved["clip"], zip(hits, saved["group"], strict=True), strict=True))
    return [found[clip] for clip in sorted(found)]


@pytest.fixture(scope="module")
def searched(
    eight: SkeletonDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SearchRecord, Store]:
    """Three trials on four folds."""
    place = tmp_path_factory.mktemp("searched")
    problem, store = problem_of(place, eight, trials=3), Store(place / "r")
    run_trials(problem, store.results, 3)
    return record_of(problem, problem.directory(store.results)), store


def test_the_best_has_an_error_and_a_lead_over_the_default(
    searched: tuple[SearchRecord, Store],
) -> None:
    record, store = searched
    summary = Summary(record, store)
    trials = record.trials()
    assert [len(trial.evaluations) for trial in trials] == [4, 4, 4]
    for trial in trials:
        hits, groups = zip(*per_clip(store, trial.evaluations), strict=True)
        assert len(hits) == 36
        assert trial.value == pytest.approx(np.mean(hits))
        assert summary.evidence.error(trial) == pytest.approx(standard_error(hits, groups))
    best, default = trials[1], trials[0]
    lead = summary.evidence.lead(best, default)
    assert lead is not None
    a, b = (np.array(per_clip(store, trial.evaluations)) for trial in (best, default))
    expected = paired_difference(a[:, 0], b[:, 0], a[:, 1])
    assert (lead.value, lead.error) == pytest.approx(expected)
    assert lead.clear == (abs(lead.value) > lead.error)
    assert "over the subjects of the training side (folds: 4)" in summary.caption


@pytest.mark.parametrize("clear", [True, False])
def test_what_is_within_its_error_is_said_to_be(
    tmp_path: Path, eight: SkeletonDataset, clear: bool
) -> None:
    """Of 36 clips trial 1 has nine more right, in each subject alike, or one alone."""
    problem, store = problem_of(tmp_path, eight, trials=2), Store(tmp_path / "r")
    record = record_of(problem, problem.directory(store.results))
    source = source_of(record, store)
    while units := source.ask():
        evaluation = units[1]
        assert isinstance(evaluation, EvaluateUnit)
        clips = evaluation.side.clips(eight, "validation")
        hits = np.arange(len(clips)) % 3 == 0
        assert evaluation.side.fold is not None
        if "trial 1" in evaluation.label and (clear or evaluation.side.fold.index == 0):
            hits[[1, 4] if clear else [1]] = True
        directory = store.begin(evaluation.key, evaluation.to_json())
        groups = eight.columns["subject"][clips]
        labels, wrong = np.zeros(len(clips), int), (~hits).astype(int)
        predicted = {"clip": clips, "label": labels, "prediction": wrong, "group": groups}
        np.savez(directory / "predictions.npz", **predicted)
        finish(source, store, units, float(hits.mean()))
    summary = Summary(record, store)
    assert summary.best is not None
    assert summary.best.number == 1
    lost = ": within one standard error of the default."
    assert summary.verdict.startswith("Best less default: +")
    assert "over clips and subjects" in summary.verdict
    assert summary.verdict.endswith(lost) != clear
    report.export(summary, tmp_path)
    document = json.loads((tmp_path / "search.json").read_text())
    assert document["verdict"] == summary.verdict
    assert document["best"]["error"] == summary.evidence.error(summary.best)
    assert document["lead"]["value"] == pytest.approx(8 / 36 if clear else 1 / 36)
    for name in ("best.yaml", "preset.yaml"):
        text = (tmp_path / name).read_text()
        assert summary.verdict in text
        assert f"{100 * (summary.best.value or 0):.2f} ± {100 * document['best']['error']:.2f}" in (
            text
        )


def test_the_preset_holds_for_what_was_searched_and_gives_the_trials_settings(
    searched: tuple[SearchRecord, Store], tmp_path: Path
) -> None:
    record, store = searched
    summary, problem = Summary(record, store), record.problem
    written = report.export(summary, tmp_path)
    assert "preset.yaml" in written
    text = (tmp_path / "preset.yaml").read_text()
    assert problem.dataset.fingerprint in text
    assert "skelcon-ablate STUDY --data PATH --preset preset.yaml" in text  # wherever it is moved
    assert "no other row had a search of its own" in Preset.of(tmp_path / "preset.yaml").chosen
    values = yaml.safe_load(text)
    assert values["extends"] == "quick"
    (names,) = values["by_representations"]
    assert names == "seq"
    assert summary.best is not None
    wanted = problem.settings(problem.changes(summary.best.parameters))
    tree = preset_tree("quick")
    special = tree.setdefault("by_representations", {})
    tree["by_representations"] = special | values["by_representations"]
    asked = [{"pretrain.representations": ["seq"]}]
    assert resolve_with_preset(tree, asked, {}, "preset.yaml") == wanted
    other = [{"pretrain.representations": ["img"]}]
    before = resolve_with_preset(preset_tree("quick"), other, {}, "quick")
    assert resolve_with_preset(tree, other, {}, "preset.yaml") == before


def test_a_preset_file_is_one_that_commands_take(
    searched: tuple[SearchRecord, Store], tmp_path: Path
) -> None:
    record, store = searched
    summary, problem = Summary(record, store), record.problem
    report.export(summary, tmp_path)
    found = Preset.of(tmp_path / "preset.yaml")
    assert found.base == "quick"
    assert list(found.changes["by_representations"]) == ["seq"]
    assert summary.best is not None
    wanted = problem.settings(problem.changes(summary.best.parameters))
    asked = [{"pretrain.representations": ["seq"]}]
    assert resolve_with_preset(found.tree, asked, {}, "preset.yaml") == wanted


@pytest.mark.parametrize("extends", ["small", None])
def test_a_search_with_a_preset_file_keeps_what_that_holds(
    tmp_path: Path, dataset: SkeletonDataset, extends: str | None
) -> None:
    own = {"by_representations": {"seq": {"pretrain.epochs": 5, LR: 0.5}, "img": {LR: 0.25}}}
    own |= {"linear.epochs": 7} if extends is None else {"extends": extends}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    (tmp_path / "space.yaml").write_text(
        yaml.safe_dump({**SPACE, "base": {**SPACE["base"], "pretrain.epochs": 4}})
    )
    choices: dict[str, Any] = {"protocol": None, "overrides": {}}
    space = load_space(tmp_path / "space.yaml")
    problem = SearchProblem.of(space, dataset, preset=str(tmp_path / "mine.yaml"), **choices)
    record = record_of(problem, tmp_path / "s")
    record.report(record.ask().number, problem.steps, 0.5, 1.0)
    record.end(0, "completed")
    report.export(Summary(record, Store(tmp_path / "r")), tmp_path / "s")
    (tmp_path / "mine.yaml").unlink()
    found = Preset.of(tmp_path / "s" / "preset.yaml")
    assert found.base == (extends or "")
    for names, epochs, lr in ((["seq"], 4, problem.defaults[LR]), (["img"], None, 0.25)):
        asked = [{"pretrain.representations": names}]
        settings = resolve_with_preset(found.tree, asked, {}, "preset.yaml")
        assert settings.pretrain.optimiser.lr == lr
        assert epochs in (None, settings.pretrain.epochs)
        assert extends is not None or settings.linear.epochs == 7


def test_a_finetuning_can_be_what_a_trial_is_measured_by(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    base = {**SPACE["base"], "finetune": {"epochs": 2, "subsets": 1, "batch": 4}}
    problem = problem_of(tmp_path, dataset, task="finetune", base=base)
    (trial,) = run_trials(problem, tmp_path / "r", 1)
    assert trial.state == "completed"
    assert [r.epoch for r in trial.intermediate_values] == [2, 4, 6, 8]
