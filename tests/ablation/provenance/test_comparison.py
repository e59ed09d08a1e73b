"""Two results directories side by side: paired differences, and the facts that differ."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claim_helpers import finish
from numpy.typing import NDArray

from ablation.cli import main
from ablation.plan import Plan, make_plan
from ablation.provenance.comparison import CellPair, TablePair, compare_results
from ablation.provenance.comparison_export import COLUMNS, frame_of, remarks
from ablation.report.from_results import save_plan
from ablation.statistics import adjusted, difference_of, estimate_of
from ablation.store import Store, write_json
from ablation.study import load_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@pytest.fixture
def make(study_file: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Finish the small study in a results directory, with these chances of a correct clip."""

    def of(
        where: str,
        data: SkeletonDataset,
        chances: dict[str, float],
        *,
        name: str = "tiny",
        seeds: tuple[int, ...] = (0, 1, 2),
        rows: tuple[str, ...] = ("none", "crop+jitter"),
        **settings: Any,
    ) -> Plan:
        study = load_study(study_file).only(rows)
        plan = make_plan(study, data, preset="small", seeds=seeds, overrides=settings)
        results = tmp_path / where
        finish(plan, Store(results), chances, of_seeds=0.05)
        save_plan(plan, results, results / name)
        return plan

    return of


def hits(plan: Plan, results: Path, row: str, column: str) -> NDArray[np.bool_]:
    found = []
    for cell in plan.cells:
        if (cell.row, cell.column) == (row, column):
            assert cell.unit is not None
            with np.load(results / "units" / cell.unit.key / "predictions.npz") as saved:
                found.append(saved["prediction"] == saved["label"])
    return np.array(found)


def compared(tmp_path: Path) -> tuple[TablePair, dict[tuple[str, str], CellPair]]:
    (pair,) = compare_results(tmp_path / "a", tmp_path / "b").tables
    return pair, {(cell.row, cell.column): cell for cell in pair.cells}


def test_cells_are_paired_by_seed_and_clip_and_their_p_values_corrected(
    make: Callable[..., Plan], eight: SkeletonDataset, tmp_path: Path
) -> None:
    longer = {"pretrain": {"encoders": {"frames": 32}}}
    one = make("a", eight, {"none": 0.2, "crop+jitter": 0.5}, seeds=(0, 1, 2, 3))
    other = make("b", eight, {"none": 0.95, "crop+jitter": 0.5}, seeds=(1, 2, 3), **longer)
    pair, cells = compared(tmp_path)
    p_values = []
    for (row, column), cell in cells.items():
        own = hits(one, tmp_path / "a", row, column)
        its = hits(other, tmp_path / "b", row, column)
        tested = one.cells[0].unit.side.clips(eight, "test")
        groups = eight.columns["subject"][tested]
        expected = difference_of(its.astype(float), own[1:].astype(float), groups)
        assert cell.difference == expected
        assert cell.first == estimate_of(own.astype(float), groups)
        assert (cell.paired, cell.same_units) == ("seeds and clips", False)
        p_values.append(expected.p)
    assert [cell.p for cell in cells.values()] == pytest.approx(list(adjusted(p_values)))
    assert cells["none", "seq"].significant
    assert not cells["crop+jitter", "seq"].significant
    differs = {each.what: (each.first, each.second, each.where) for each in pair.differing}
    assert differs["pretrain.encoders.frames"] == ("16", "32", "")
    assert differs["seeds"] == ("0, 1, 2, 3", "1, 2, 3", "")
    assert differs["--set"][:2] == ("none", "pretrain.encoders.frames=32")
    assert remarks(pair) == ["4 cells paired seed by seed and clip by clip."]


def test_different_seeds_are_paired_by_clip_and_different_clips_not_at_all(
    make: Callable[..., Plan], eight: SkeletonDataset, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    make("a", eight, {}, seeds=(0, 1))
    make("b", eight, {}, seeds=(2, 3, 4))
    make("c", dataset, {}, seeds=(0, 1))
    _, cells = compared(tmp_path)
    for cell in cells.values():
        assert cell.paired == "clips"
        found, first, second = cell.difference, cell.first, cell.second
        assert found is not None
        assert first is not None
        assert second is not None
        assert found.of_seeds == pytest.approx(first.of_seeds + second.of_seeds)
        assert found.seeds == 2
    (pair,) = compare_results(tmp_path / "a", tmp_path / "c").tables
    assert {cell.paired for cell in pair.cells} == {"unpaired"}
    assert remarks(pair) == ["4 cells unpaired: not the same clips or seeds."]
    differs = {each.what: each.second for each in pair.differing}
    assert dataset.fingerprint in differs["data"]
    assert "evaluated on" not in differs


def test_the_same_units_are_not_compared_and_machines_are_named(
    make: Callable[..., Plan], eight: SkeletonDataset, tmp_path: Path
) -> None:
    for where, cores in (("a", 2), ("b", 64)):
        plan = make(where, eight, {})
        for key in plan.units:
            directory = tmp_path / where / "units" / key
            if directory.exists():
                values = {"hardware": {"cores": cores}, "versions": {"torch": "2.13"}}
                write_json(directory / "provenance.json", values)
    pair, cells = compared(tmp_path)
    assert all(cell.same and cell.p is None for cell in cells.values())
    assert [(each.what, each.first) for each in pair.differing] == [("machine", "2 cores")]
    unit = plan.cells[0].unit
    assert unit is not None
    write_json(tmp_path / "b" / "units" / unit.key / "result.json", {"top1": 0.0, "parameters": 1})
    (tmp_path / "b" / "units" / unit.key / "predictions.npz").unlink()
    pair, cells = compared(tmp_path)
    changed = cells[plan.cells[0].row, plan.cells[0].column]
    assert (changed.same_units, changed.same, changed.paired) == (True, False, "seeds")
    assert not pair.same
    assert any("1 cell with the same units but other numbers" in text for text in remarks(pair))


def test_tables_with_different_names_are_compared_by_their_directories(
    make: Callable[..., Plan], eight: SkeletonDataset, tmp_path: Path
) -> None:
    make("a", eight, {})
    make("a", eight, {}, name="tiny-other", linear={"epochs": 2})
    found = compare_results(tmp_path / "a" / "tiny", tmp_path / "a" / "tiny-other")
    frame = frame_of(found)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 4
    assert frame["second_n"].tolist() == [3] * 4
    assert (frame["difference"] - (frame["second"] - frame["first"])).abs().max() < 1e-9


def test_the_command_prints_a_comparison_and_writes_it_as_json(
    make: Callable[..., Plan],
    eight: SkeletonDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make("a", eight, {"none": 0.2})
    make("b", eight, {"none": 1.0}, linear={"epochs": 2})
    make("b", eight, {}, name="another")
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["skelcon-ablate", "compare", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code)), *capsys.readouterr()

    code, out, _ = run(tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert "linear.epochs" in out
    assert "paired seed by seed and clip by clip" in out
    assert f"Only in {tmp_path / 'b'}: another" in out
    assert "Nothing differs." in run(tmp_path / "a", tmp_path / "a")[1]
    code, out, _ = run(tmp_path / "a", tmp_path / "b", "tiny", "--json")
    (table,) = json.loads(out)["tables"]
    assert [cell["significant"] for cell in table["cells"]] == [True, True, False, False]
    code, _, err = run(tmp_path / "a", tmp_path / "b", "tony")
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'tiny'" in err


def test_tables_that_cannot_be_compared_are_an_error_of_one_line(
    make: Callable[..., Plan], eight: SkeletonDataset, tmp_path: Path
) -> None:
    make("a", eight, {})
    make("b", eight, {}, name="another")
    with pytest.raises(UserError, match="no table in common"):
        compare_results(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UserError, match="/nowhere' does not exist"):
        compare_results(tmp_path / "a", tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="/none' has no tables"):
        compare_results(tmp_path / "a", tmp_path / "none")
    make("b", eight, {}, rows=("random",))
    with pytest.raises(UserError, match="no cell of tiny is in both"):
        compare_results(tmp_path / "a", tmp_path / "b")
    shutil.copytree(tmp_path / "a", tmp_path / "c", ignore=shutil.ignore_patterns("units"))
    with pytest.raises(UserError, match=r"/c' has no value of tiny: .*units/"):
        compare_results(tmp_path / "a", tmp_path / "c")
    shutil.rmtree(tmp_path / "c" / "data")
    (tmp_path / "c" / "tiny" / "study.json").rename(tmp_path / "c" / "tiny" / "cells.csv")
    with pytest.raises(UserError, match=r"/c' has only exported tables \(tiny\)"):
        compare_results(tmp_path / "a", tmp_path / "c")
