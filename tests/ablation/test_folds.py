"""Cross-validation over the groups of the training side: its cells, its units and what they do."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_helpers import write_utd

from ablation.monitor.status import label_of
from ablation.plan import Plan, check_batches, make_plan
from ablation.report.from_results import load_plan, save_plan
from ablation.store import Store
from ablation.study import load_study
from ablation.tracking.runs import runs_of
from ablation.tracking.tensorboard import TensorBoard
from ablation.units import PretrainUnit, Side, UnreadableUnitError, read_unit
from ablation.work import Context, UnitRun
from skelcon.data import Fold, SkeletonDataset, import_dataset, split
from skelcon.errors import UserError


def plan_of(dataset: SkeletonDataset, file: Path, **options: Any) -> Plan:
    study = load_study(file).only(("none", "random"))
    choices = {"preset": "paper", "seeds": (0, 1), "evaluate_on": "validation", **options}
    return make_plan(study, dataset, **choices)


@pytest.mark.parametrize(("asked", "folds"), [(2, 2), (4, 4), (5, 4)])
def test_a_cell_for_each_seed_and_fold(
    eight: SkeletonDataset, study_file: Path, asked: int, folds: int
) -> None:
    """Two rows in two columns; the pre-trainings are those of one row."""
    plan = plan_of(eight, study_file, folds=asked)
    each = {(cell.row, cell.column, cell.seed, cell.fold) for cell in plan.cells}
    assert len(each) == len(plan.cells) == 2 * 2 * 2 * folds
    assert {cell.fold for cell in plan.cells} == set(range(folds))
    assert (plan.count("pretrain"), plan.count("evaluate")) == (2 * 2 * folds, 4 * 2 * folds)
    for cell in plan.cells:
        assert cell.unit is not None
        assert cell.unit.side.fold == Fold(cell.fold or 0, folds)
        assert cell.unit.side.seed == cell.seed
        assert {plan.units[key].side for key in cell.unit.needs} <= {cell.unit.side}


def test_each_fold_trains_without_the_group_that_it_is_evaluated_on(
    eight: SkeletonDataset, study_file: Path
) -> None:
    plan, subjects = plan_of(eight, study_file), eight.columns["subject"]
    tested = []
    for unit in plan.units.values():
        trained = set(subjects[unit.side.clips(eight)])
        assert len(trained) == 3
        if not isinstance(unit, PretrainUnit):
            (subject,) = set(subjects[unit.side.clips(eight, unit.test)])
            assert {subject, *trained} == {1, 3, 5, 7}
            tested.append(int(subject))
    assert sorted(tested) == sorted([1, 3, 5, 7] * 8)


def test_the_key_names_the_fold_and_of_the_test_side_there_is_none(
    eight: SkeletonDataset, study_file: Path
) -> None:
    folded, test = plan_of(eight, study_file), plan_of(eight, study_file, evaluate_on="test")
    assert set(folded.units).isdisjoint(test.units)
    assert all("fold" not in unit.to_json() for unit in test.units.values())
    assert {cell.fold for cell in test.cells} == {None}
    for unit in folded.units.values():
        values = json.loads(json.dumps(unit.to_json()))
        index, of = values["fold"]
        assert unit.side.fold == Fold(index, of)
        assert read_unit(values) == unit
        assert read_unit(values).side == unit.side
    assert set(folded.units).isdisjoint(plan_of(eight, study_file, folds=3).units)


@pytest.mark.parametrize("change", [{"fold": None}, {"fold": [4, 4]}, {"train": "train"}])
def test_a_fold_that_cannot_be_is_unreadable(
    eight: SkeletonDataset, study_file: Path, change: dict[str, Any]
) -> None:
    unit = next(iter(plan_of(eight, study_file).units.values()))
    values = {**copy.deepcopy(unit.to_json()), **change}
    with pytest.raises(UnreadableUnitError, match="fold"):
        read_unit(values)


def test_a_fold_has_to_fill_a_batch(eight: SkeletonDataset, study_file: Path) -> None:
    batch = {"pretrain.batch": 30}  # of 36 training clips a fold has 27
    check_batches(plan_of(eight, study_file, evaluate_on="test", overrides=batch))
    with pytest.raises(UserError, match=r"pretrain.batch.*27"):
        check_batches(plan_of(eight, study_file, overrides=batch))


def test_a_single_group_makes_no_fold(
    eight: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    one = import_dataset(write_utd(tmp_path / "raw", subjects=2), tmp_path / "one")[0]
    with pytest.raises(UserError, match="a single subject"):
        plan_of(one, study_file)
    plan_of(one, study_file, evaluate_on="test")


def test_a_transfer_holds_out_groups_of_the_target_alone(
    eight: SkeletonDataset, dataset: SkeletonDataset, study_file: Path
) -> None:
    study = load_study(study_file).only(("none",))
    study = study.model_copy(update={"task": "finetune", "transfer": True})
    choices: dict[str, Any] = {"preset": "paper", "seeds": (0,), "evaluate_on": "validation"}
    plan = make_plan(study, eight, source=dataset, **choices)
    sides = {unit.side for unit in plan.units.values() if unit.kind == "pretrain"}
    assert sides == {Side(dataset.fingerprint, "xsub", "train", 0)}
    assert plan.count("evaluate") == 2 * 4
    # Of the same data set its own folds train.
    same = make_plan(study, eight, source=eight, **choices)
    assert {unit.side.train for unit in same.units.values()} == {"fit"}
    assert same.count("pretrain") == 2 * 4


def test_the_plan_of_a_cross_validation_comes_back(
    eight: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    plan = plan_of(eight, study_file, folds=3)
    save_plan(plan, tmp_path, tmp_path / plan.study.name)
    again = load_plan(tmp_path, "tiny")
    assert list(again.units) == list(plan.units)
    assert again.cells == plan.cells


def test_each_fold_has_a_run_of_its_own(
    eight: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    runs = runs_of(plan_of(eight, study_file)).values()
    board = TensorBoard(tmp_path, Store(tmp_path))
    assert len({board.directory(run) for run in runs}) == len({run.name for run in runs})
    assert len({run.name for run in runs}) == len(runs)
    first = next(iter(runs))
    assert board.directory(first).parts[-3:] == ("seed0", "fold0", "pretrain-img")
    assert label_of(first.unit).endswith("seed 0 / fold 0/4")


@pytest.mark.parametrize("side", ["test", "validation"])
def test_an_evaluation_leaves_the_group_of_each_clip(
    eight: SkeletonDataset, study_file: Path, tmp_path: Path, side: str
) -> None:
    plan = plan_of(eight, study_file, evaluate_on=side, seeds=(0,))
    store, found = Store(tmp_path), []
    for cell in plan.cells:
        if (cell.row, cell.column) != ("random", "seq"):
            continue
        assert cell.unit is not None
        run = UnitRun(cell.unit, store, Context({eight.fingerprint: eight.path}))
        while not run.step().done:
            pass
        run.close()
        with np.load(store.directory(cell.unit.key) / "predictions.npz") as saved:
            assert saved["group"].dtype == np.int64
            np.testing.assert_array_equal(saved["group"], eight.columns["subject"][saved["clip"]])
            found += saved["clip"].tolist()
    sides = split(eight, "xsub", "train" if side == "validation" else "test")
    assert sorted(found) == sides.tolist()  # each clip in exactly one fold
