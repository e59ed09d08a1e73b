"""Notes on units of one table that are not comparable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from claim_helpers import finish

from ablation.plan import Plan, make_plan
from ablation.report import cells_frame, make_table
from ablation.store import Store, write_json
from ablation.store.provenance import arithmetic
from ablation.study import load_study
from ablation.study_parts import Row
from ablation.units import PretrainUnit
from skelcon.data import SkeletonDataset


@pytest.fixture
def plan(dataset: SkeletonDataset, study_file: Path) -> Plan:
    study = load_study(study_file)
    half = study.rows["none"].set | {"pretrain.precision": "bf16"}
    rows = {**study.rows, "half": Row(label="half precision", set=half)}
    return make_plan(study.model_copy(update={"rows": rows}), dataset, preset="small", seeds=(0,))


def differing(plan: Plan, results: Path, **of_halves: Any) -> list[str]:
    """The notes of a table whose pre-trainings in bf16 have another provenance."""
    store = Store(results)
    finish(plan, store, {})
    common: dict[str, Any] = {"data": {"family": "utd-mhad"}, "device": "cpu"}
    for unit in plan.units.values():
        halves = isinstance(unit, PretrainUnit) and unit.options["precision"] == "bf16"
        directory = store.begin(unit.key, unit.to_json())
        write_json(directory / "provenance.json", common | (of_halves if halves else {}))
    notes = make_table(plan, cells_frame(plan, store), store).notes
    return [note for note in notes if note.startswith("Units differ")]


def test_precisions_are_named_with_their_rows(plan: Plan, tmp_path: Path) -> None:
    (note,) = differing(plan, tmp_path)
    assert "their precision: fp32 (none and crop+jitter), bf16 (half precision)." in note


def test_different_arithmetic_and_layout_families_are_named(plan: Plan, tmp_path: Path) -> None:
    rounding = {"tf32_products": False, "tf32_convolutions": True, "deterministic": True}
    notes = differing(
        plan,
        tmp_path,
        device="cuda:0",
        hardware={"gpu": "NVIDIA H200"},
        arithmetic=rounding,
        data={"family": "agcn-npy"},
    )
    family, arithmetic = (next(n for n in notes if w in n) for w in ("family", "arithmetic"))
    assert "utd-mhad (all rows), agcn-npy (half precision)" in family
    assert "float32 on the CPU (all rows)" in arithmetic
    assert "NVIDIA H200 with TF32 convolutions (half precision)" in arithmetic


def test_comparable_units_have_no_note(dataset: SkeletonDataset, study_file: Path, tmp_path: Path):
    plan = make_plan(load_study(study_file), dataset, preset="small", seeds=(0,))
    assert differing(plan, tmp_path) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_caption_names_a_precision_that_is_not_float32(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path, precision: str
) -> None:
    names = ("pretrain", "linear", "retrieval", "finetune")
    overrides = {f"{name}.precision": precision for name in names}
    plan = make_plan(
        load_study(study_file), dataset, preset="small", seeds=(0,), overrides=overrides
    )
    store = Store(tmp_path)
    notes = make_table(plan, cells_frame(plan, store), store).notes
    assert ("In bf16: pre-training, linear." in notes) == (precision == "bf16")


def test_provenance_has_what_a_unit_computes_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    found = [arithmetic(precision) for precision in ("fp32", "tf32", "bf16")]
    assert [each["precision"] for each in found] == ["fp32", "tf32", "bf16"]
    for each in found:
        tf32 = each["precision"] == "tf32"
        assert each["tf32_products"] == each["tf32_convolutions"] == tf32
        assert each["cublas_workspace"] == ":4096:8"
