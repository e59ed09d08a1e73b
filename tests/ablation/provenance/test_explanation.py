"""How a number was computed: units, sources of settings, and a command with the same units."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claim_helpers import finish
from rich.console import Console
from study_helpers import TINY_STUDY

from ablation.cli import main
from ablation.cli.request import read_request
from ablation.plan import Plan, make_plan
from ablation.provenance.explanation import Explanation, explain
from ablation.report.from_results import save_plan
from ablation.store import Store, write_json
from ablation.study import load_study, named_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

SETTINGS = {"pretrain": {"contrast": {"temperature": 0.1}}, "linear": {"l_min": 0.6}}
RAN = {
    "device": "cuda:0",
    "seconds": 60.0,
    "threads": 1,
    "ranks": 2,
    "revision": "abc123",
    "versions": {"torch": "2.13", "cuda": "13.0", "cudnn": "91900"},
    "hardware": {"gpu": "NVIDIA H200", "cores": 16},
    "arithmetic": {"tf32_products": False, "tf32_convolutions": True, "deterministic": True},
    "peak_memory": {"process_mib": 500.0, "gpu_mib": 900.0},
}


def finished(plan: Plan, results: Path, **provenance: Any) -> None:
    store = Store(results)
    finish(plan, store, {"none": 0.4})
    for key, unit in plan.units.items():
        if unit.kind == "pretrain":
            store.begin(key, unit.to_json())
            store.finish(key)
        write_json(store.directory(key) / "provenance.json", provenance)
    save_plan(plan, results, results / plan.study.name)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    own = "none: {set: {pretrain.augment.use: [], pretrain.precision: bf16}}"
    text = TINY_STUDY.replace("none: {set: {pretrain.augment.use: []}}", own)
    path.write_text(text.replace("xsub]", "xsub, xview]"))
    return path


@pytest.fixture
def plan(study: Path, eight: SkeletonDataset, tmp_path: Path) -> Plan:
    plan = make_plan(
        load_study(study), eight, preset="small", seeds=(0, 1, 4), overrides=SETTINGS, folds=5
    )
    finished(plan, tmp_path / "r", **RAN)
    return plan


@pytest.fixture
def found(plan: Plan, tmp_path: Path) -> Explanation:
    return explain(tmp_path / "r", "tiny", "none", "SEQ")


def test_an_explanation_has_the_units_of_each_seed_and_the_interval(
    found: Explanation, plan: Plan, tmp_path: Path
) -> None:
    cells = [each for each in plan.cells if (each.row, each.column) == ("none", "seq")]
    assert [each.seed for each in found.values] == [0, 1, 4]
    assert [each.unit for each in found.values] == [c.unit.key for c in cells if c.unit]
    assert [each.pretrainings for each in found.values] == [c.unit.needs for c in cells if c.unit]
    assert found.entry.mean == pytest.approx(100 * np.mean([v.value for v in found.values]))
    assert found.over == "3 seeds, 4 subjects and 36 clips"
    assert found.entry.interval is not None
    assert found.values[0].peak_memory == {"process_mib": 500.0, "gpu_mib": 900.0}
    assert found.values[0].pretraining_seconds == 60
    assert found.ran["version of cudnn"] == "91900"
    assert found.ran["arithmetic"] == "NVIDIA H200 with TF32 convolutions"


def test_settings_name_their_source(found: Explanation) -> None:
    sources = {each.key: (each.value, each.source) for each in found.settings}
    assert sources["pretrain.precision"] == ("bf16", "row none")
    assert sources["pretrain.representations"] == (["seq"], "column seq")
    assert sources["pretrain.epochs"] == (3, "study")
    assert sources["pretrain.contrast.temperature"] == (0.1, "--set")
    assert sources["linear.l_min"] == (0.6, "--set")
    assert sources["linear.standardise"] == (True, "preset small")
    assert sources["linear.min_frames"] == (1, "default")
    assert "pretrain.augment.crop.l_min" not in sources  # none is used


def test_the_settings_of_a_view_name_their_source(eight: SkeletonDataset, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    row = """weak-key:
    set:
      pretrain.augment: {use: [crop], crop.l_min: 0.4}
      pretrain.views.query: {use: [crop, jitter], jitter.joints: 10}
  alike: {set: {pretrain.views: {query: {use: [crop]}, key: {use: [crop]}}}}"""
    path.write_text(TINY_STUDY.replace("none: {set: {pretrain.augment.use: []}}", row, 1))
    path.write_text(path.read_text().replace("{none: {img: 51.0, seq: 50.0}, ", "{"))
    joints = {"pretrain": {"views": {"query": {"jitter": {"mode": "mixed"}}}}}
    plan = make_plan(load_study(path), eight, preset="small", seeds=(0,), overrides=joints)
    finished(plan, tmp_path / "r", **RAN)

    def sources(row: str) -> dict[str, tuple[Any, str]]:
        settings = explain(tmp_path / "r", "tiny", row, "SEQ").settings
        return {each.key: (each.value, each.source) for each in settings}

    found, own = sources("weak-key"), "pretrain.views.query."
    assert found[f"{own}use"] == (["crop", "jitter"], "row weak-key")
    assert found[f"{own}crop.l_min"] == (0.4, "row weak-key")
    assert found[f"{own}jitter.joints"] == (10, "row weak-key")
    assert found[f"{own}jitter.mode"] == ("mixed", "--set")
    assert found[f"{own}crop.min_frames"] == (1, "default")
    assert found["pretrain.views.key.use"] == (["crop"], "row weak-key")
    assert found["pretrain.views.extra"] == ([], "default")
    assert "pretrain.augment.use" not in found
    found = sources("alike")
    assert found["pretrain.augment.use"] == (["crop"], "row alike")
    assert found["pretrain.augment.crop.l_min"] == (0.5, "preset small")


def test_a_recipe_for_a_representation_and_a_reference_are_sources(
    eight: SkeletonDataset, tmp_path: Path
) -> None:
    study = named_study("augmentations").only(("none", "random"))
    preset = tmp_path / "mine.yaml"
    rates = "pretrain.optimiser.lr: {img: 0.1, stg: 0.1, seq: 0.2}"
    preset.write_text(f"{rates}\nby_representations: {{img: {{pretrain.optimiser.lr: 0.3}}}}\n")
    plan = make_plan(study, eight, preset=str(preset), seeds=(0,))
    finished(plan, tmp_path, seconds=1.0)
    for column, expected in (
        ("img", (0.3, "preset mine.yaml, by_representations img")),
        ("seq", (0.2, "preset mine.yaml")),
    ):
        found = explain(tmp_path, study.name, "none", column)
        values = {each.key: (each.value, each.source) for each in found.settings}
        assert values["pretrain.optimiser.lr"] == expected
    assert "--preset PRESET.yaml" in found.command.line
    assert any(
        "by_representations.img.pretrain.optimiser.lr=0.3" in r for r in found.command.remarks
    )
    random = explain(tmp_path, study.name, "random", "img")
    assert "pretrain.optimiser.lr" not in {each.key for each in random.settings}
    assert random.values[0].pretrainings == ()


def test_the_command_plans_the_same_units(
    found: Explanation,
    plan: Plan,
    eight: SkeletonDataset,
    study: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(study.parent)
    words = shlex.split(found.command.line)
    assert words[:3] == ["skelcon-ablate", "run", "tiny.yaml"]
    assert words[words.index("--gpus-per-trial") + 1] == "2"
    words[words.index("PATH")] = str(eight.path)
    request = read_request(words[1:])
    again = request.make_plan(Console(quiet=True))
    assert {k for k in again.units if k in plan.units} == set(again.units)
    needed = {key for each in found.values for key in (each.unit, *each.pretrainings)}
    assert needed <= set(again.units)
    assert any(eight.fingerprint in remark for remark in found.command.remarks)


def test_the_command_gives_the_name_of_a_table_that_is_not_named_after_its_study(
    found: Explanation, plan: Plan, tmp_path: Path
) -> None:
    save_plan(plan, tmp_path / "r", tmp_path / "r" / "tiny-longer")
    longer = explain(tmp_path / "r", "tiny-longer", "none", "seq")
    assert found.command.line.endswith("--results reproduced")
    assert longer.command.line == f"{found.command.line} --name tiny-longer"


def test_the_command_of_a_cross_validation_and_of_a_study_that_has_changed(
    eight: SkeletonDataset, tmp_path: Path
) -> None:
    study = named_study("augmentations").only(("none",))
    for changes, remarks in (({}, 1), ({"pretrain.epochs": 7}, 2)):
        rows = {"none": study.rows["none"].model_copy(update={"set": changes})}
        rows = rows if changes else dict(study.rows)
        asked = study.model_copy(update={"rows": rows, "references": {}, "claims": ()})
        results = tmp_path / str(remarks)
        plan = make_plan(
            asked, eight, preset="small", seeds=(5,), evaluate_on="validation", protocol="xsub"
        )
        save_plan(plan, results, results / "augmentations")
        found = explain(results, "augmentations", "none", "img")
        assert len(found.command.remarks) == remarks
        assert "--evaluate-on validation --folds 4" in found.command.line
        assert "--seeds 5, " in found.command.line
        assert {each.fold for each in found.values} == {0, 1, 2, 3}
        assert {each.reason for each in found.values} == {"not run yet"}
        assert found.over == ""


def test_the_command_prints_an_explanation_and_names_the_nearest_row(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: object) -> tuple[int, str, str]:
        own = ["skelcon-ablate", "explain", "tiny", *map(str, words), "--results"]
        monkeypatch.setattr(sys, "argv", [*own, str(tmp_path / "r")])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code)), *capsys.readouterr()

    code, out, _ = run("none", "seq")
    assert code == 0
    for text in ("0.1", "row none", "NVIDIA H200", "abc123", "over 3 seeds", "wall time 6 min 0 s"):
        assert text in out
    assert "skelcon-ablate run tiny.yaml --data PATH --preset small --set" in out
    code, out, _ = run("none", "seq", "--json")
    document = json.loads(out)
    assert (document["row"], document["column"], len(document["values"])) == ("none", "seq", 3)
    code, _, err = run("nome", "seq")
    assert (code, err.count("\n")) == (2, 1)
    assert "no row 'nome': did you mean 'none'?" in err
    with pytest.raises(UserError, match="no column 'sex'"):
        explain(tmp_path / "r", "tiny", "none", "sex")
