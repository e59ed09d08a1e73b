from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from ablation.canonical import digest
from ablation.plan import Plan, make_plan
from ablation.study import Study, load_study, named_study
from skelcon.data import SkeletonDataset
from skelcon.data.synthetic import synthesize
from skelcon.errors import UserError


def plan_of(dataset: SkeletonDataset, study: Study | None = None, **options: Any) -> Plan:
    choices = {"preset": "small", "seeds": (0,), **options}
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
    plan = plan_of(dataset, named_study("rep-pairs").only(("img+seq",)))
    assert plan.count("pretrain") == 1
    assert plan.count("evaluate") == 2
    (missing,) = [cell for cell in plan.cells if cell.unit is None]
    assert missing.column == "stg"
    assert missing.reason.startswith("not applicable")


def test_the_five_ablations_of_the_paper_share_31_pretrainings(dataset: SkeletonDataset) -> None:
    """Counted by hand, for one seed and the paper's setting.

    Table 5: 7 rows x 3 representations, all different: 21, and 3 cells of random weights.
    Table 6: 3 intra, 3 pairs, 1 triple = 7; the 3 intra are the last row of Table 5. 21 cells.
    Table 8: 5 numbers of joints; |j| = 15 is Table 5's jitter in IMG. 5 cells.
    Table 9: 3 shortest crops; 0.1 is Table 5's crop in IMG. 3 cells.
    Table 10: 3 intra (Table 5) and 3 pairs (Table 6) = 6, all known. 6 rows x 3 columns.
    """
    names = ("augmentations", "rep-pairs", "jitter-joints", "crop-length", "rep-combinations")
    plans = [plan_of(dataset, named_study(name), preset="paper") for name in names]
    assert [len(plan.cells) for plan in plans] == [21 + 3, 21, 5, 3, 18]
    assert [plan.count("pretrain") for plan in plans] == [21, 7, 5, 3, 6]
    distinct: set[str] = set()
    new = []
    for plan in plans:
        own = {key for key, unit in plan.units.items() if unit.kind == "pretrain"}
        new.append(len(own - distinct))
        distinct |= own
    assert new == [21, 4, 4, 2, 0]
    assert len(distinct) == 31


def test_intra_combines_encoders_that_were_trained_apart(dataset: SkeletonDataset) -> None:
    plan = plan_of(dataset, named_study("rep-combinations").only(("img+stg",)))
    trained = {cell.column: list(cell.unit.needs) for cell in plan.cells if cell.unit is not None}
    assert len(set(trained["intra"])) == 2
    assert len(set(trained["inter"])) == 1
    assert trained["parameters"] == trained["inter"]
    for cell in plan.cells:
        assert cell.unit is not None
        assert set(cell.unit.needs) == set(trained[cell.column])


def test_scratch_and_pretrained_see_the_same_task(dataset: SkeletonDataset) -> None:
    plan = plan_of(dataset, named_study("semi-supervised"))
    tasks: dict[str, list[Any]] = {}
    for cell in plan.cells:
        assert cell.unit is not None
        own = {k: v for k, v in cell.unit.to_json().items() if k != "encoders"}
        tasks.setdefault(cell.column, []).append(own)
    assert all(scratch == inter for scratch, inter in tasks.values())
    assert plan.count("pretrain") == 1


def test_a_column_whose_protocol_the_data_lacks_is_left_out_and_said(
    dataset: SkeletonDataset,
) -> None:
    plan = plan_of(dataset, named_study("recognition"))
    assert list(plan.study.columns) == ["xsub"]
    assert plan.notes == ("Left out, as the data set has no such protocol: xview, xsetup.",)
    with pytest.raises(UserError, match="it has: xsub"):
        plan_of(dataset, named_study("recognition"), protocol="xview")


def test_a_transfer_pretrains_on_the_source_in_the_targets_joints(
    dataset: SkeletonDataset, tmp_path: Any
) -> None:
    source = synthesize(tmp_path / "source", subjects=2, repetitions=1, cameras=1)
    study = named_study("transfer")
    with pytest.raises(UserError, match="--source"):
        plan_of(dataset, study)
    plan = plan_of(dataset, study, source=source)
    (pretraining,) = [u.to_json() for u in plan.units.values() if u.kind == "pretrain"]
    assert pretraining["data"] == source.fingerprint
    assert pretraining["as"] == {"layout": dataset.layout.to_dict(), "bodies": 2}
    for unit in plan.units.values():
        if unit.kind == "evaluate":
            assert unit.side.data == dataset.fingerprint
            assert unit.side.to_json()["as"] == {"layout": dataset.layout.to_dict(), "bodies": 2}
    assert any("20 joints of kinect-v1" in note for note in plan.notes)


def _leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [leaf for k, v in tree.items() for leaf in _leaves(v, (*path, k))]
    if isinstance(tree, list) and tree:
        return [leaf for i, v in enumerate(tree) for leaf in _leaves(v, (*path, i))]
    return [path]


def test_the_key_changes_with_each_field_of_the_configuration(dataset: SkeletonDataset) -> None:
    for unit in plan_of(dataset).units.values():
        leaves = _leaves(unit.to_json())
        assert len(leaves) > 20
        for path in leaves:
            changed = copy.deepcopy(unit.to_json())
            at = changed
            for part in path[:-1]:
                at = at[part]
            at[path[-1]] = "changed"
            assert digest(changed) != unit.key, path


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
    sides = {(u.side.train, getattr(u, "test", "")) for u in validation.units.values()}
    assert sides == {("fit", ""), ("fit", "validation")}


def test_seeds_are_an_axis_and_a_new_seed_asks_for_new_units_only(
    dataset: SkeletonDataset,
) -> None:
    one, two = plan_of(dataset, seeds=(0,)), plan_of(dataset, seeds=(0, 1))
    assert set(one.units) < set(two.units)
    assert {u.side.seed for k, u in two.units.items() if k not in one.units} == {1}


def test_set_must_not_make_rows_alike(dataset: SkeletonDataset) -> None:
    for change in ({"pretrain": {"augment": {"use": ["crop"]}}}, {"pretrain": {"augment": 3}}):
        with pytest.raises(UserError, match=r"--set pretrain.augment.*row 'none'.*sets"):
            plan_of(dataset, overrides=change)
    with pytest.raises(UserError, match=r"column 'img'"):
        plan_of(dataset, overrides={"pretrain": {"representations": ["seq"]}})


def test_an_unknown_override_names_the_nearest(dataset: SkeletonDataset) -> None:
    with pytest.raises(UserError, match=r"--set: unknown key 'pretrain.epoch'.*'pretrain.epochs'"):
        plan_of(dataset, overrides={"pretrain.epoch": 3})
