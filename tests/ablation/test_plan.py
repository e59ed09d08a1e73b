from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from ablation.plan import Plan, make_plan, unit_key
from ablation.study import Study, load_study, named_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError
from skelcon.settings import preset_tree


def plan_of(dataset: SkeletonDataset, study: Study | None = None, **options: Any) -> Plan:
    choices = {"preset": "small", "preset_tree": preset_tree("small"), "seeds": (0,), **options}
    return make_plan(study or named_study("augmentations"), dataset, **choices)


def test_table_5_names_21_pretrainings_and_24_evaluations(dataset: SkeletonDataset) -> None:
    plan = plan_of(dataset)
    assert (len(plan.cells), plan.count("pretrain"), plan.count("evaluate")) == (24, 21, 24)
    assert plan.protocol == "xsub"
    assert len(plan_of(dataset, seeds=(0, 1, 2)).units) == 3 * 45


def test_a_pretraining_stands_before_what_needs_it(dataset: SkeletonDataset) -> None:
    seen: set[str] = set()
    for key, unit in plan_of(dataset).units.items():
        assert seen.issuperset(unit.needs)
        assert len(key) == 16
        seen.add(key)


def test_two_studies_share_the_same_pretraining(dataset: SkeletonDataset, study_file: Any) -> None:
    study = load_study(study_file)
    renamed = study.model_copy(update={"name": "other", "title": "Other", "references": {}})
    first, second = plan_of(dataset, study), plan_of(dataset, renamed)
    assert set(second.units) < set(first.units)


def test_an_inter_pretraining_serves_all_its_columns(dataset: SkeletonDataset) -> None:
    study = named_study("augmentations")
    rows = {"pair": study.rows["crop"].model_copy(update={"set": {}})}
    columns = {
        name: column.model_copy(update={"set": {"pretrain.representations": ["img", "seq"]}})
        for name, column in study.columns.items()
    }
    both = study.model_copy(update={"rows": rows, "columns": columns, "references": {}})
    plan = plan_of(dataset, both)
    assert plan.count("pretrain") == 1
    assert plan.count("evaluate") == 2
    (missing,) = [cell for cell in plan.cells if cell.unit is None]
    assert missing.column == "stg"
    assert missing.reason.startswith("not applicable")


def _leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [leaf for k, v in tree.items() for leaf in _leaves(v, (*path, k))]
    if isinstance(tree, list) and tree:
        return [leaf for i, v in enumerate(tree) for leaf in _leaves(v, (*path, i))]
    return [path]


def test_the_key_changes_with_each_field_of_the_configuration(dataset: SkeletonDataset) -> None:
    for unit in plan_of(dataset).units.values():
        leaves = _leaves(unit.config)
        assert len(leaves) > 20
        for path in leaves:
            changed = copy.deepcopy(unit.config)
            at = changed
            for part in path[:-1]:
                at = at[part]
            at[path[-1]] = "changed"
            assert unit_key(changed) != unit.key, path


@pytest.mark.parametrize(
    "change",
    [
        {"pretrain.augment.crop.l_min": 0.2},
        {"pretrain.augment.jitter.joints": 10},
        {"pretrain.encoders.seq.hidden": 8},
        {"pretrain.encoders.frames": 48},
        {"pretrain.optimiser.lr": 0.5},
        {"pretrain.optimiser.weight_decay": 0.5},
        {"pretrain.contrast.temperature": 0.5},
        {"pretrain.contrast.queue": 17},
        {"pretrain.epochs": 7},
        {"pretrain.batch": 4},
        {"pretrain.precision": "bf16"},
        {"linear.epochs": 2},
        {"linear.lr": 0.5},
    ],
)
def test_the_key_of_a_cell_changes_with_each_setting_that_matters(
    dataset: SkeletonDataset, change: dict[str, Any]
) -> None:
    study = named_study("augmentations").only(("crop+pose+jitter",))
    before, after = plan_of(dataset, study), plan_of(dataset, study, overrides=change)
    pairs = list(zip(before.cells, after.cells, strict=True))
    seq = [(a.unit, b.unit) for a, b in pairs if a.column == "seq"]
    assert all(a is not None and b is not None and a.key != b.key for a, b in seq)


@pytest.mark.parametrize(
    "change",
    [
        {"pretrain.augment.jitter.joints": 10},  # of an augmentation that is not in use
        {"pretrain.augment.pose.amplitude": 0.5},
        {"pretrain.encoders.img.channels": 8},  # of another representation
        {"pretrain.optimiser.milestones": [3]},  # of the schedule that is not in use
        {"retrieval.test_ratio": 0.5},  # of another task
    ],
)
def test_the_key_does_not_change_with_what_is_not_in_use(
    dataset: SkeletonDataset, change: dict[str, Any]
) -> None:
    study = named_study("augmentations").only(("crop",))
    study = study.model_copy(update={"columns": {"seq": study.columns["seq"]}})
    assert set(plan_of(dataset, study).units) == set(
        plan_of(dataset, study, overrides=change).units
    )


def test_the_key_does_not_depend_on_where_the_data_is(
    dataset: SkeletonDataset, tmp_path: Any
) -> None:
    moved = replace(dataset, path=tmp_path, meta={"name": "other"})
    assert set(plan_of(dataset).units) == set(plan_of(moved).units)
    other = replace(dataset, fingerprint="0" * 16)
    assert set(plan_of(dataset).units).isdisjoint(plan_of(other).units)


def test_validation_shares_nothing_with_test_and_leaves_the_test_side_alone(
    dataset: SkeletonDataset,
) -> None:
    test, validation = plan_of(dataset), plan_of(dataset, evaluate_on="validation")
    assert set(test.units).isdisjoint(validation.units)
    sides = {(u.config["train"], u.config.get("test", "")) for u in validation.units.values()}
    assert sides == {("fit", ""), ("fit", "validation")}


def test_seeds_are_an_axis_and_a_new_seed_asks_for_new_units_only(
    dataset: SkeletonDataset,
) -> None:
    one, two = plan_of(dataset, seeds=(0,)), plan_of(dataset, seeds=(0, 1))
    assert set(one.units) < set(two.units)
    assert {u.config["seed"] for k, u in two.units.items() if k not in one.units} == {1}


def test_an_unknown_override_names_the_nearest(dataset: SkeletonDataset) -> None:
    with pytest.raises(UserError, match=r"--set: unknown key 'pretrain.epoch'.*'epochs'"):
        plan_of(dataset, overrides={"pretrain.epoch": 3})
