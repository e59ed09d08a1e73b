from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablation.canonical import digest
from ablation.plan import Plan, make_plan
from ablation.study import Study, load_study, named_study
from ablation.units import EncoderSource, EvaluateUnit, read_unit
from skelcon.data import SkeletonDataset
from skelcon.data.synthetic import synthesize
from skelcon.errors import UserError


def plan_of(dataset: SkeletonDataset, study: Study | None = None, **options: Any) -> Plan:
    choices = {"preset": "small", "seeds": (0,), **options}
    return make_plan(study or named_study("augmentations"), dataset, **choices)


def test_table_5_names_21_pretrainings_and_26_evaluations(dataset: SkeletonDataset) -> None:
    """A reference of coordinates is one evaluation for all columns."""
    plan = plan_of(dataset)
    assert (len(plan.cells), plan.count("pretrain"), plan.count("evaluate")) == (30, 21, 26)
    assert plan.protocol == "xsub"
    # the nearest neighbour of the coordinates depends on no seed
    assert len(plan_of(dataset, seeds=(0, 1, 2)).units) == 3 * 46 + 1


def test_a_pretraining_comes_before_the_units_that_need_it(dataset: SkeletonDataset) -> None:
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
    References: random weights (3 rows of them in Table 10) and two of the coordinates.
    """
    names = ("augmentations", "rep-pairs", "jitter-joints", "crop-length", "rep-combinations")
    plans = [plan_of(dataset, named_study(name), preset="paper") for name in names]
    assert [len(plan.cells) for plan in plans] == [21 + 9, 21 + 9, 5 + 3, 3 + 3, 18 + 15]
    assert [plan.count("pretrain") for plan in plans] == [21, 7, 5, 3, 6]
    distinct: set[str] = set()
    new = []
    for plan in plans:
        own = {key for key, unit in plan.units.items() if unit.kind == "pretrain"}
        new.append(len(own - distinct))
        distinct |= own
    assert new == [21, 4, 4, 2, 0]
    assert len(distinct) == 31


def test_intra_combines_encoders_that_were_trained_separately(dataset: SkeletonDataset) -> None:
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


def test_columns_whose_protocol_the_data_lacks_are_left_out_with_a_note(
    dataset: SkeletonDataset,
) -> None:
    plan = plan_of(dataset, named_study("recognition"))
    assert list(plan.study.columns) == ["xsub"]
    assert plan.notes == ("Left out, as the data set has no such protocol: xview, xsetup.",)
    with pytest.raises(UserError, match="it has: xsub"):
        plan_of(dataset, named_study("recognition"), protocol="xview")


def test_a_protocol_of_the_data_alone_is_taken_by_its_name(dataset: SkeletonDataset) -> None:
    own = replace(dataset, splits={"random": dataset.splits["xsub"]})
    for asked in (None, "random"):
        plan = plan_of(own, protocol=asked)
        assert plan.protocol == "random"
        assert {unit.side.protocol for unit in plan.units.values()} == {"random"}
    with pytest.raises(UserError, match=r"'ramdom': did you mean 'random'\?"):
        plan_of(own, protocol="ramdom")


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
        assert len(leaves) > 10
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
        {"linear.test_ratio": 0.5},
        {"linear.l_min": 0.7},
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
def test_the_key_does_not_change_with_unused_settings(
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


def test_a_new_seed_adds_units_and_changes_no_others(
    dataset: SkeletonDataset,
) -> None:
    one, two = plan_of(dataset, seeds=(0,)), plan_of(dataset, seeds=(0, 1))
    assert set(one.units) < set(two.units)
    assert {u.side.seed for k, u in two.units.items() if k not in one.units} == {1}


def test_set_cannot_make_rows_equal(dataset: SkeletonDataset) -> None:
    for change in ({"pretrain": {"augment": {"use": ["crop"]}}}, {"pretrain": {"augment": 3}}):
        with pytest.raises(UserError, match=r"--set pretrain.augment.*row 'none'.*sets"):
            plan_of(dataset, overrides=change)
    with pytest.raises(UserError, match=r"column 'img'"):
        plan_of(dataset, overrides={"pretrain": {"representations": ["seq"]}})


def test_an_unknown_override_names_the_nearest(dataset: SkeletonDataset) -> None:
    with pytest.raises(UserError, match=r"--set: unknown key 'pretrain.epoch'.*'pretrain.epochs'"):
        plan_of(dataset, overrides={"pretrain.epoch": 3})


REFERENCES = ("augmentations", "rep-pairs", "jitter-joints", "crop-length", "rep-combinations")


@pytest.mark.parametrize("name", REFERENCES)
def test_the_references_have_a_unit_in_every_cell(dataset: SkeletonDataset, name: str) -> None:
    plan = plan_of(dataset, named_study(name))
    assert {"nearest", "regularised"} < set(plan.study.references)
    found: dict[str, set[str]] = {}
    for cell in plan.cells:
        if cell.row in plan.study.references:
            assert isinstance(cell.unit, EvaluateUnit), (cell.row, cell.column, cell.reason)
            assert cell.unit.needs == ()
            found.setdefault(cell.row, set()).add(cell.unit.key)
            (source,) = cell.unit.encoders
            assert source.calibrated == cell.row.startswith("random")
    assert len(found["nearest"]) == len(found["regularised"]) == 1


def test_the_random_weights_of_all_studies_are_the_same_units(dataset: SkeletonDataset) -> None:
    def random(name: str) -> set[str]:
        plan = plan_of(dataset, named_study(name))
        cells = (cell for cell in plan.cells if cell.row.startswith("random"))
        return {cell.unit.key for cell in cells if cell.unit is not None}

    assert random("rep-pairs") == random("rep-combinations") == random("augmentations")
    assert random("crop-length") < random("augmentations")


def test_coordinates_are_those_that_the_encoders_see(dataset: SkeletonDataset) -> None:
    study = named_study("augmentations").only(("nearest", "regularised"))
    plan, other = (
        plan_of(dataset, study, overrides={"pretrain.encoders.frames": frames})
        for frames in (32, 48)
    )
    assert set(plan.units).isdisjoint(other.units)
    for unit in plan.units.values():
        assert isinstance(unit, EvaluateUnit)
        assert unit.encoders[0].coordinates == unit.encoders[0].encoders
        assert unit.encoders[0].to_json()["coordinates"]["frames"] == 32
        assert read_unit(unit.to_json()) == unit
    assert [unit.task_name for unit in plan.units.values()] == ["retrieval", "linear"]


def test_a_reference_keeps_its_own_settings_under_set(dataset: SkeletonDataset) -> None:
    """A ``--set`` changes the rows, and only those settings of a reference that it leaves open."""
    changes = {"linear": {"weight_decay": 0.5, "test_ratio": 0.7}}
    plan = plan_of(dataset, named_study("augmentations"), overrides=changes)
    for cell in plan.cells:
        if cell.unit is not None and cell.unit.task_name == "linear":
            decay = "auto" if cell.row == "regularised" else 0.5
            options = cell.unit.options
            assert (options["weight_decay"], options["test_ratio"]) == (decay, 0.7)


def test_only_what_stays_frozen_is_calibrated(dataset: SkeletonDataset) -> None:
    for name, calibrated in (("augmentations", True), ("retrieval", True), ("supervised", False)):
        plan = plan_of(dataset, named_study(name))
        units = [unit for unit in plan.units.values() if isinstance(unit, EvaluateUnit)]
        random = [each for unit in units for each in unit.encoders if each.random is not None]
        assert random
        assert {source.calibrated for source in random} == {calibrated}
        values = random[0].to_json()
        assert ("calibrated" in values) == calibrated
        assert EncoderSource.from_json(values) == random[0]


def test_another_metric_has_the_same_units_and_no_paper_values(
    dataset: SkeletonDataset,
) -> None:
    plan = plan_of(dataset)
    other = plan.showing("nn_top1")
    assert other.units == plan.units
    assert (plan.metric("seq"), other.metric("seq")) == ("top1", "nn_top1")
    assert plan.report is not None
    assert other.report is None
    assert plan.showing("top1") == plan
    combined = plan_of(dataset, named_study("rep-combinations")).showing("nn_top1")
    assert combined.metric("parameters") == "parameters"
    for metric in ("nn_top", "weight_decay"):
        with pytest.raises(UserError, match=rf"--metric {metric}: .*"):
            plan.showing(metric)
    with pytest.raises(UserError, match="did you mean 'nn_top1'"):
        plan.showing("nn_top")
    with pytest.raises(UserError) as error:
        plan.showing("accuracy")
    assert str(error.value).count(" top1,") == 1


def test_rows_with_the_same_units_in_all_columns_have_a_note(dataset: SkeletonDataset) -> None:
    study = named_study("augmentations").only(("none", "jitter", "random"))
    jitter = study.rows["jitter"]

    def notes(joints: int) -> list[str]:
        settings = {**jitter.set, "pretrain.augment.jitter.joints": joints}
        rows = {**study.rows, "mine": jitter.model_copy(update={"set": settings})}
        plan = plan_of(dataset, study.model_copy(update={"rows": rows}), preset="small")
        return [note for note in plan.notes if "same units" in note]

    assert notes(10) == []
    (note,) = notes(5)  # as the preset small has it
    assert note.startswith("Rows jitter and mine are the same units")


def test_a_chosen_weight_decay_leaves_the_options_of_sgd_out_of_the_keys(
    dataset: SkeletonDataset, study_file: Path
) -> None:
    def keys(linear: dict[str, Any]) -> list[str]:
        plan = make_plan(
            load_study(study_file),
            dataset,
            preset="paper",
            seeds=(0,),
            overrides={"linear": {"crops": 2, **linear}},
        )
        return list(plan.units)

    assert keys({"weight_decay": "auto", "lr": 0.5}) == keys({"weight_decay": "auto"})
    assert keys({"weight_decay": 0.1, "lr": 0.5}) != keys({"weight_decay": 0.1})
