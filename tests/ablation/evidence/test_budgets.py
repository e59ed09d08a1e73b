"""Rows are compared if they have equal numbers of steps; otherwise a note says so."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from ablation.evidence.budgets import Budget, budget_of
from ablation.plan import Plan, make_plan
from ablation.report import cells_frame, make_table
from ablation.store import Store, write_json
from ablation.study import Study, load_study, named_study
from ablation.units import PretrainUnit
from skelcon.data import SkeletonDataset, split
from skelcon.presets import preset_tree, resolve_with_preset


def budget_note(plan: Plan, results: Path) -> str:
    """The note that rows are not compared, if any, for results in the paper's order."""
    store = Store(results)
    for cell in plan.cells:
        if cell.unit is not None and not store.is_done(cell.unit.key):
            directory = store.begin(cell.unit.key, cell.unit.to_json())
            value = (plan.paper_value(cell.row, cell.column) or 0) / 100
            write_json(directory / "result.json", {"top1": value, "parameters": 1})
            store.finish(cell.unit.key)
    notes = make_table(plan, cells_frame(plan, store)).notes
    found = [note for note in notes if "not compared" in note]
    ranked = any("rank correlation" in note for note in notes)
    assert not (found and ranked)
    return "".join(found)


@pytest.fixture
def study(study_file: Path) -> Study:
    return load_study(study_file)


def changed(study: Study, row: str, **settings: Any) -> Study:
    """``study`` with further settings in a row."""
    values = {key.replace("__", "."): value for key, value in settings.items()}
    base = {key: value for key, value in study.base.items() if key not in values}
    others = {
        name: each.model_copy(
            update={
                "set": each.set | (values if name == row else {k: study.base[k] for k in values})
            }
        )
        for name, each in study.rows.items()
    }
    return study.model_copy(update={"base": base, "rows": others})


def test_a_budget_is_epochs_times_full_batches(study: Study, dataset: SkeletonDataset) -> None:
    plan = make_plan(study, dataset, preset="small", seeds=(0,))
    clips = len(split(dataset, "xsub", "train"))
    assert clips == 18
    units = [unit for unit in plan.units.values() if isinstance(unit, PretrainUnit)]
    assert {budget_of(plan, unit) for unit in units} == {Budget(epochs=3, steps=3 * 2)}


def test_with_equal_steps_rows_are_compared(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    plan = make_plan(study, dataset, preset="small", seeds=(0, 1))
    assert not budget_note(plan, tmp_path)


@pytest.mark.parametrize(
    ("change", "budgets"),
    [
        ({"pretrain__epochs": 7}, "(none 7 epochs, crop+jitter 3)"),
        ({"pretrain__batch": 6}, "(none 9 steps, crop+jitter 6)"),
    ],
    ids=["epochs", "batch"],
)
def test_with_different_steps_rows_are_not_compared(
    study: Study, dataset: SkeletonDataset, tmp_path: Path, change: dict[str, Any], budgets: str
) -> None:
    plan = make_plan(changed(study, "none", **change), dataset, preset="small", seeds=(0, 1))
    note = budget_note(plan, tmp_path)
    assert note == f"The rows are not compared with the paper's: the budgets differ {budgets}."
    # There is no note on rows for which the paper has no values.
    report = study.paper[0].model_copy(update={"values": {"crop+jitter": {"seq": 80.0}}})
    alone = plan.study.model_copy(update={"paper": (report,)})
    plan = make_plan(alone, dataset, preset="small", seeds=(0,))
    notes = make_table(plan, cells_frame(plan, Store(tmp_path))).notes
    assert not any("not compared" in note for note in notes)


def test_different_batches_with_equal_steps_are_compared(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    plan = make_plan(
        changed(study, "none", pretrain__batch=6, pretrain__epochs=2),
        dataset,
        preset="small",
        seeds=(0,),
    )
    assert not budget_note(plan, tmp_path)


def test_columns_may_differ_in_their_steps(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    seq = study.columns["seq"]
    longer = seq.model_copy(update={"set": seq.set | {"pretrain.epochs": 5}})
    base = {key: value for key, value in study.base.items() if key != "pretrain.epochs"}
    img = study.columns["img"]
    short = img.model_copy(update={"set": img.set | {"pretrain.epochs": 3}})
    study = study.model_copy(update={"base": base, "columns": {"img": short, "seq": longer}})
    plan = make_plan(study, dataset, preset="small", seeds=(0,))
    assert not budget_note(plan, tmp_path)


def test_a_row_without_pretraining_has_no_budget(dataset: SkeletonDataset, tmp_path: Path) -> None:
    plan = make_plan(named_study("semi-supervised"), dataset, preset="quick", seeds=(0,))
    assert not budget_note(plan, tmp_path)


@pytest.mark.parametrize("preset", ["quick", "small"])
def test_a_preset_gives_every_combination_the_same_steps(preset: str) -> None:
    names = ("img", "stg", "seq")
    found = set()
    for count in (1, 2, 3):
        for chosen in itertools.combinations(names, count):
            tree = {"pretrain.representations": list(chosen)}
            config = resolve_with_preset(preset_tree(preset), [tree], {}, preset).pretrain
            found.add((config.epochs, config.batch, config.monitor))
    assert len(found) == 1


def test_rows_of_one_and_of_several_representations_are_compared_in_a_preset(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    plan = make_plan(
        named_study("rep-pairs"),
        dataset,
        preset="small",
        seeds=(0,),
        overrides={"pretrain": {"batch": 8}},
    )
    assert not budget_note(plan, tmp_path)
