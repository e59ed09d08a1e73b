"""Rows from a design or a grid: their names, their settings, and errors in a file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablation.plan import make_plan
from ablation.study import Study, load_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

FACTORS = {
    "objective": {
        "levels": {
            "moco": {"label": "MoCo", "set": {"pretrain.objective.name": "moco"}},
            "byol": {"label": "BYOL", "set": {"pretrain.objective.name": "byol"}},
        }
    },
    "encoder": {
        "levels": {
            name: {"set": {"pretrain.representations": [name]}, "downstream": [name]}
            for name in ("img", "stg", "seq")
        }
    },
}
ITEMS = {"use": {"setting": "pretrain.augment.use", "items": ["crop", "pose", "jitter"]}}


def study_of(folder: Path, design: dict[str, Any] | None = None, **more: Any) -> Study:
    path = folder / "mine.yaml"
    values = {"title": "x", "columns": {"c": {"label": "C"}}, "downstream": ["seq"], **more}
    path.write_text(
        yaml.safe_dump(values | ({"design": design} if design else {}), sort_keys=False)
    )
    return load_study(path)


def used(study: Study) -> dict[str, tuple[str, ...]]:
    return {row: study.settings(row, "c", {}, {}).pretrain.augment.use for row in study.rows}


def test_a_grid_has_all_combinations_with_their_settings(tmp_path: Path) -> None:
    study = study_of(tmp_path, {"kind": "grid", "factors": FACTORS})
    levels = itertools.product(["moco", "byol"], ["img", "stg", "seq"])
    assert list(study.rows) == [f"{one}/{other}" for one, other in levels]
    row = study.rows["byol/stg"]
    assert (row.label, row.downstream) == ("BYOL / stg", ("stg",))
    assert row.levels == {"objective": "byol", "encoder": "stg"}
    settings = study.settings("byol/stg", "c", {}, {}).pretrain
    assert (settings.objective.name, settings.representations) == ("byol", ("stg",))


def test_names_and_units_stay_when_levels_are_moved_or_added(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    def units(factors: dict[str, Any]) -> dict[str, str]:
        study = study_of(tmp_path, {"kind": "grid", "factors": factors})
        plan = make_plan(study, dataset, preset="quick", seeds=(0,))
        return {cell.row: cell.unit.key for cell in plan.cells if cell.unit is not None}

    before, objective = units(FACTORS), FACTORS["objective"]["levels"]
    further = {**objective, "simclr": {"set": {"pretrain.objective.name": "simclr"}}}
    moved = dict(reversed(further.items()))
    after = units({**FACTORS, "objective": {"levels": moved}})
    assert len(after) == 9
    assert {row: after[row] for row in before} == before


def test_a_list_is_a_factor_for_each_of_its_items(tmp_path: Path) -> None:
    every = used(study_of(tmp_path, {"kind": "grid", "factors": ITEMS}))
    assert len(every) == 8
    assert every["none"] == ()
    assert all(row == "+".join(use) for row, use in every.items() if use)
    without = used(study_of(tmp_path, {"kind": "leave-one-out", "factors": ITEMS}))
    assert without == {
        "all": ("crop", "pose", "jitter"),
        "all-crop": ("pose", "jitter"),
        "all-pose": ("crop", "jitter"),
        "all-jitter": ("crop", "pose"),
    }
    alone = used(study_of(tmp_path, {"kind": "add-one", "factors": ITEMS}))
    assert alone == {
        "none": (),
        **{f"none+{name}": (name,) for name in ("crop", "pose", "jitter")},
    }
    both = used(study_of(tmp_path, {"kind": ["leave-one-out", "add-one"], "factors": ITEMS}))
    assert both == without | alone


def test_levels_called_in_and_out_keep_their_names(tmp_path: Path) -> None:
    levels = {
        name: {"set": {"pretrain.epochs": n}} for n, name in enumerate(("in", "mid", "out"), 1)
    }
    study = study_of(tmp_path, {"kind": "grid", "factors": {"norm": {"levels": levels}}})
    assert list(study.rows) == ["in", "mid", "out"]


def test_a_small_part_of_very_many_combinations_is_found_at_once(tmp_path: Path) -> None:
    factors = {
        f"f{i}": {"setting": f"pretrain.augment.custom.a{i}", "values": [1, 2]} for i in range(31)
    }
    study = study_of(tmp_path, {"kind": "fractional", "runs": 32, "factors": factors})
    assert len(study.rows) == 32
    assert list(study.rows) == sorted(study.rows)


def test_one_at_a_time_starts_from_the_base(tmp_path: Path) -> None:
    design = {"kind": "one-at-a-time", "base": {"encoder": "seq"}, "factors": FACTORS}
    study = study_of(tmp_path, design)
    assert {name: tuple(row.levels.values()) for name, row in study.rows.items()} == {
        "base": ("moco", "seq"),
        "objective=byol": ("byol", "seq"),
        "encoder=img": ("moco", "img"),
        "encoder=stg": ("moco", "stg"),
    }
    assert study.rows["base"].label == "base (MoCo / seq)"


def test_sobol_spreads_over_ranges_and_keeps_its_first_runs(tmp_path: Path) -> None:
    factors = {
        "rate": {"setting": "pretrain.optimiser.lr", "range": [0.001, 0.1], "log": True},
        "joints": {"setting": "pretrain.augment.jitter.joints", "range": [1, 20]},
        "objective": FACTORS["objective"],
    }
    rows = study_of(tmp_path, {"kind": "sobol", "runs": 16, "factors": factors}).rows
    fewer = study_of(tmp_path, {"kind": "sobol", "runs": 5, "factors": factors}).rows
    assert list(rows) == [f"sobol-{number}" for number in range(1, 17)]
    assert fewer == {name: rows[name] for name in fewer}
    assert len(fewer) == 5
    other = study_of(tmp_path, {"kind": "sobol", "runs": 5, "seed": 1, "factors": factors}).rows
    assert other != fewer
    rates = [float(row.levels["rate"]) for row in rows.values()]
    assert all(0.001 <= rate <= 0.1 for rate in rates)
    for low in (0.001, 0.001 * 10**0.5, 0.01, 0.01 * 10**0.5):  # a quarter each, in logarithms
        assert sum(low <= rate < low * 10**0.5 for rate in rates) == 4
    assert sum(row.levels["objective"] == "moco" for row in rows.values()) == 8
    for name, row in rows.items():
        settings = study_of(tmp_path, {"kind": "sobol", "runs": 16, "factors": factors}).settings(
            name, "c", {}, {}
        )
        assert settings.pretrain.optimiser.lr == float(row.levels["rate"])
        assert settings.pretrain.augment.jitter.joints == int(row.levels["joints"])


def test_a_grid_in_a_row_is_a_row_for_each_value(tmp_path: Path) -> None:
    grid = {"pretrain.contrast.temperature": [0.05, 0.1], "pretrain.augment.use": [[], ["crop"]]}
    rows = {"mine": {"label": "Mine", "set": {"pretrain.epochs": 5}, "grid": grid}, "other": {}}
    study = study_of(tmp_path, rows=rows)
    assert list(study.rows) == [
        "mine/temperature=0.05/use=none",
        "mine/temperature=0.05/use=crop",
        "mine/temperature=0.1/use=none",
        "mine/temperature=0.1/use=crop",
        "other",
    ]
    assert study.rows["mine/temperature=0.1/use=crop"].label == "Mine, temperature 0.1, use crop"
    settings = study.settings("mine/temperature=0.1/use=crop", "c", {}, {}).pretrain
    assert (settings.contrast.temperature, settings.augment.use, settings.epochs) == (
        0.1,
        ("crop",),
        5,
    )


def test_design_rows_and_ordinary_rows_can_be_combined_and_claimed(tmp_path: Path) -> None:
    claims = [{"text": "t", "rows": "byol/img > plain"}]
    study = study_of(
        tmp_path, {"kind": "grid", "factors": FACTORS}, rows={"plain": {}}, claims=claims
    )
    assert list(study.rows)[:2] == ["plain", "moco/img"]
    assert list(study.only(("byol/img",)).rows) == ["byol/img"]
    again = Study.model_validate(study.model_dump(mode="json", exclude_defaults=True))
    assert again.model_dump() == study.model_dump()


def of(kind: str, **more: Any) -> dict[str, Any]:
    return {"design": {"kind": kind, "factors": FACTORS, **more}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (of("gird"), "kind: no kind 'gird': did you mean 'grid'?"),
        (of("fractional"), "fractional needs runs (how many rows)"),
        (of("grid", runs=4), "runs (how many rows): only for fractional and sobol"),
        (
            of("fractional", runs=3),
            "3 runs are too few: the main effects of 2 factors need at least 4",
        ),
        (of("fractional", runs=9), "9 runs are too many: there are 6 combinations"),
        (of("add-one"), "factor 'encoder' has 3 levels: add-one takes two"),
        (of("grid", base={"encoder": "img"}), "base: only for one-at-a-time"),
        (of("one-at-a-time", base={"encoder": "imf"}), "no level 'imf': did you mean 'img'?"),
        (
            of("one-at-a-time", base={"encode": "img"}),
            "no factor 'encode': did you mean 'encoder'?",
        ),
        (of("grid", factor=1), "unknown key 'factor': did you mean 'factors'?"),
        (of("grid", factors={"a": {"levels": {"x": {}}}}), "at least two levels"),
        (of("grid", factors={"a": {"setting": "b"}}), "give levels, or a setting with values"),
        (of("grid", factors={"a": {"values": [1, 2]}}), "give levels, or a setting with values"),
        (
            of("grid", factors={"a": {"setting": "b", "values": [1, 1]}}),
            "level '1' is given twice",
        ),
        (of("grid", factors={"a": {"setting": "b", "range": [1, 2]}}), "a range is only for sobol"),
        (
            of("grid", factors={"a": {"levels": {"x/y": {}, "z": {}}}}),
            "level 'x/y': give a name without",
        ),
        (
            of(
                "grid",
                factors={
                    "a": {"setting": "pretrain.epochs", "values": [1, 2]},
                    "b": {"levels": {"x": {"set": {"pretrain": {"epochs": 3}}}, "y": {}}},
                },
            ),
            "factors 'a' and 'b' both set 'pretrain.epochs'",
        ),
        ({"rows": {"a": {"grid": {"pretrain.epochs": 3}}}}, "'pretrain.epochs' needs a list of va"),
        ({"rows": {"a": {"grid": []}}}, "grid: give settings, each with a list of values"),
        ({"rows": {"a": {"levels": {"b": "c"}}}}, "levels: the study has no design"),
        ({**of("grid"), "rows": {"moco/img": {}}}, "row 'moco/img' exists already"),
        ({"design": 3}, "design: give a mapping"),
    ],
)
def test_an_invalid_design_is_an_error_of_one_line(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        study_of(tmp_path, **wrong)
    assert message in str(error.value)
    assert str(error.value).startswith(f"'{tmp_path / 'mine.yaml'}'")
    assert "\n" not in str(error.value)


def test_a_wrong_setting_of_a_level_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: x\ndownstream: [seq]\ncolumns: {c: {}}\ndesign:\n  kind: grid\n  factors:\n"
        "    size:\n      levels:\n        small: {set: {pretrain.epochs: 2}}\n"
        "        large: {set: {pretrain.epoch: 4}}\n"
    )
    study = load_study(path)
    with pytest.raises(UserError, match=r"line 10: .*row 'large'.*did you mean 'pretrain.epochs'"):
        study.settings("large", "c", {}, {})


def test_set_cannot_change_the_settings_of_a_factor(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    study = study_of(tmp_path, {"kind": "grid", "factors": FACTORS})
    overrides = {"pretrain": {"objective": {"name": "simclr"}}}
    with pytest.raises(UserError, match=r"row 'moco/img' of study 'mine' sets"):
        make_plan(study, dataset, preset="quick", seeds=(0,), overrides=overrides)
