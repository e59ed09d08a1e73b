"""A study with recipes by data set, and with a preset file that its table then does not need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablation.plan import Plan, make_plan
from ablation.report import cells_frame, make_table
from ablation.report.from_results import load_plan, save_plan
from ablation.report.numbers import document
from ablation.store import Store
from ablation.study import Study, load_study, named_study
from ablation.units import PretrainUnit
from skelcon.config import Json
from skelcon.data import CENTRED, Normalisation, SkeletonDataset
from skelcon.data.synthetic import synthesize

RECIPE = "extends: small\nlinear.lr: 0.25\npretrain:\n  encoders.orientation: as_recorded\n"


def called(dataset: SkeletonDataset, name: str, **changes: object) -> SkeletonDataset:
    return replace(dataset, meta={**dataset.meta, "name": name}, **changes)


def pretraining(plan: Plan) -> Json:
    options: list[Json] = [u.options for u in plan.units.values() if isinstance(u, PretrainUnit)]
    assert options
    return options[0]


def table_notes(plan: Plan, tmp_path: Path) -> tuple[str, tuple[str, ...]]:
    table = make_table(plan, cells_frame(plan, Store(tmp_path)))
    return table.caption, table.notes


@pytest.fixture
def study(study_file: Path) -> Study:
    return load_study(study_file).model_copy(update={"base": {}})


def test_a_files_content_decides_the_units(
    dataset: SkeletonDataset, study: Study, tmp_path: Path
) -> None:
    plans = []
    for name in ("a.yaml", "deep/b.yml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(RECIPE)
        plans.append(make_plan(study, dataset, preset=str(path), seeds=(0,)))
    overrides = {"linear": {"lr": 0.25}, "pretrain": {"encoders": {"orientation": "as_recorded"}}}
    typed = make_plan(study, dataset, preset="small", seeds=(0,), overrides=overrides)
    small = make_plan(study, dataset, preset="small", seeds=(0,))
    assert list(plans[0].units) == list(plans[1].units) == list(typed.units)
    assert set(plans[0].units).isdisjoint(
        key for key, unit in small.units.items() if unit.kind == "evaluate"
    )


def test_a_table_is_made_again_without_the_file(
    dataset: SkeletonDataset, study: Study, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    plan = make_plan(study, dataset, preset=str(path), seeds=(0,))
    save_plan(plan, tmp_path, tmp_path / study.name)
    path.unlink()
    again = load_plan(tmp_path, study.name)
    assert list(again.units) == list(plan.units)
    assert again.preset == plan.preset
    caption, notes = table_notes(again, tmp_path)
    assert ", mine.yaml preset, " in caption
    recipe = "linear.lr=0.25, pretrain.encoders.orientation=as_recorded."
    assert f"Preset mine.yaml: the small preset, changed by {recipe}" in notes
    frame = cells_frame(again, Store(tmp_path))
    written = document(make_table(again, frame), frame, [])
    assert written["settings"]["preset"]["linear"]["lr"] == 0.25
    assert written["preset"] == "mine.yaml"
    assert not any(
        "Preset" in note
        for note in table_notes(make_plan(study, dataset, preset="small", seeds=(0,)), tmp_path)[1]
    )


def test_recipes_by_data_set_are_like_the_paper(
    dataset: SkeletonDataset, study: Study, tmp_path: Path
) -> None:
    for data, epochs, queue in (("pkummd2", 600, 2048), ("ntu60", 451, 16384)):
        report = study.paper[0].model_copy(update={"data": data, "protocol": "xsub"})
        asked = study.model_copy(update={"paper": (report,)})
        plans = {
            name: make_plan(asked, called(dataset, data), preset=name, seeds=(0,))
            for name in ("paper", "authors", "small")
        }
        assert [plan.like_the_paper for plan in plans.values()] == [True, True, False]
        options = pretraining(plans["paper"])
        assert (options["epochs"], options["contrast"]["queue"]) == (epochs, queue)
        table = make_table(plans["paper"], cells_frame(plans["paper"], Store(tmp_path)))
        beside = "In the columns headed paper: the paper's value (Table 5)."
        assert beside in table.layout().notes
    by_hand = make_plan(study, called(dataset, "pkummd1"), preset="paper", seeds=(0,))
    assert not by_hand.like_the_paper  # the report is of other data


def test_of_a_transfer_the_source_decides_the_pretraining(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    source = called(
        synthesize(tmp_path / "source", subjects=2, repetitions=1, cameras=1), "PKU-MMD I"
    )
    target = called(dataset, "pkummd2")
    study = named_study("transfer")
    plan = make_plan(study, target, preset="paper", seeds=(0,), source=source, protocol="xsub")
    options = pretraining(plan)
    assert (options["epochs"], options["contrast"]["queue"]) == (600, 8192)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "by_data:\n"
        "  pkummd1: {pretrain.epochs: 3, finetune.epochs: 4}\n"
        "  pkummd2: {pretrain.epochs: 5, finetune.epochs: 6}\n"
    )
    plan = make_plan(study, target, preset=str(recipe), seeds=(0,), source=source, protocol="xsub")
    assert {unit.epochs for unit in plan.units.values() if unit.kind == "pretrain"} == {3}
    tuned = {unit.options["epochs"] for unit in plan.units.values() if unit.kind == "evaluate"}
    assert tuned == {6}


@pytest.mark.parametrize(
    ("steps", "family", "noted"),
    [
        (CENTRED, "utd-mhad", None),
        (Normalisation(), "utd-mhad", "its import turned them. Import it again with --normalise"),
        (Normalisation(), "agcn-npy", "its files hold them turned"),
    ],
)
def test_clips_that_were_turned_before_are_reported(
    dataset: SkeletonDataset,
    study: Study,
    tmp_path: Path,
    steps: Normalisation,
    family: str,
    noted: str | None,
) -> None:
    data = replace(dataset, normalisation=steps, family=family)
    found = {}
    for orientation in ("as_recorded", "median"):
        overrides = {"pretrain": {"encoders": {"orientation": orientation}}}
        plan = make_plan(study, data, preset="small", seeds=(0,), overrides=overrides)
        found[orientation] = [n for n in table_notes(plan, tmp_path)[1] if "not as_recorded" in n]
    assert found["median"] == []
    assert len(found["as_recorded"]) == (noted is not None)
    if noted is not None:
        assert noted in found["as_recorded"][0]
        assert dataset.name in found["as_recorded"][0]


def test_clips_in_2d_stay_as_they_are_and_a_note_says_so(
    dataset: SkeletonDataset, study: Study, tmp_path: Path
) -> None:
    planar = replace(dataset, layout=replace(dataset.layout, dimensions=2))
    for orientation in ("as_recorded", "median"):
        overrides = {"pretrain": {"encoders": {"orientation": orientation}}}
        for data in (dataset, planar):
            plan = make_plan(study, data, preset="small", seeds=(0,), overrides=overrides)
            notes = [each for each in table_notes(plan, tmp_path)[1] if "in 2D" in each]
            assert len(notes) == (data is planar and orientation == "median")
            assert all("as_recorded, not median" in each for each in notes)


@pytest.mark.parametrize("what", ["frames: 48", "orientation: median"])
def test_encoders_of_different_views_are_not_combined(
    dataset: SkeletonDataset, tmp_path: Path, what: str
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"by_representations: {{img: {{pretrain.encoders: {{{what}}}}}}}\n")
    study = named_study("rep-combinations").only(("img+stg",))
    plan = make_plan(study, dataset, preset=str(recipe), seeds=(0,))
    reasons = {cell.column: cell.reason for cell in plan.cells}
    assert (
        f"differ in encoders.{what.split(':', maxsplit=1)[0]} " in reasons["intra"]
    )  # trained apart
    assert reasons["inter"] == ""
