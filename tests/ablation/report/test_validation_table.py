"""The table of a cross-validation: pooled accuracies, their errors, and the rows near the best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ablation.plan import Plan, make_plan
from ablation.report import Table, cells_frame, export, make_table
from ablation.statistics import paired_difference, standard_error
from ablation.store import Store, write_json
from ablation.study import load_study
from ablation.units import EvaluateUnit
from skelcon.data import SkeletonDataset, split

SEEDS = (0, 1)
FOLDS = 3
"""Folds of four subjects, with 18, 9 and 9 clips."""


@pytest.fixture
def plan(eight: SkeletonDataset, study_file: Path) -> Plan:
    study = load_study(study_file)
    choices: dict[str, Any] = {"preset": "paper", "seeds": SEEDS, "evaluate_on": "validation"}
    return make_plan(study, eight, folds=FOLDS, **choices)


def hits_of(row: str, column: str, seed: int, dataset: SkeletonDataset) -> NDArray[np.bool_]:
    """(N,) correct clips: in IMG one row is better in all subjects, in SEQ only in one."""
    subject = dataset.columns["subject"]
    take = np.array([(subject[:clip] == subject[clip]).sum() for clip in range(len(dataset))])
    hits = (take + seed) % 3 > 0
    if row == "crop+jitter":
        hits |= (take == 0) & ((subject == 5) | (column == "img"))
    return hits


def finish(plan: Plan, store: Store, *, predictions: bool = True) -> None:
    """Write the files of all evaluations."""
    dataset = plan.dataset
    for cell in plan.cells:
        unit = cell.unit
        assert isinstance(unit, EvaluateUnit)
        clips = unit.side.clips(dataset, unit.test)
        hits = hits_of(cell.row, cell.column, cell.seed, dataset)[clips]
        directory = store.begin(unit.key, unit.to_json())
        write_json(directory / "result.json", {"top1": float(hits.mean()), "parameters": 10})
        if predictions:
            labels, groups = dataset.labels[clips], dataset.columns["subject"][clips]
            np.savez(
                directory / "predictions.npz",
                clip=clips,
                label=labels,
                prediction=np.where(hits, labels, labels + 1),
                group=groups,
            )
        store.finish(unit.key)


def table_of(plan: Plan, store: Store) -> Table:
    return make_table(plan, cells_frame(plan, store), store)


def test_an_entry_is_pooled_over_its_folds_with_an_error_over_clips_and_groups(
    plan: Plan, tmp_path: Path
) -> None:
    store, dataset = Store(tmp_path), plan.dataset
    finish(plan, store)
    frame, table = cells_frame(plan, store), table_of(plan, store)
    assert len(frame) == len(plan.cells) == 3 * 2 * len(SEEDS) * FOLDS
    assert list(frame.columns)[-2:] == ["fold", "pretraining"]
    assert set(frame["fold"]) == {0, 1, 2}
    train = split(dataset, "xsub", "train")
    sizes = {len(cell.unit.side.clips(dataset, "validation")) for cell in plan.cells if cell.unit}
    assert sizes == {18, 9}  # else weights would not matter
    groups = dataset.columns["subject"][train]
    for (row, column), entry in table.entries.items():
        seeds = np.array([hits_of(row, column, seed, dataset)[train] for seed in SEEDS])
        assert entry.mean == pytest.approx(100 * seeds.mean())
        assert entry.error == pytest.approx(100 * standard_error(seeds.mean(axis=0), groups))
        assert (entry.n, entry.spread) == (2, None)
        assert entry.plus_minus == entry.error
    assert "cross-validation over the subjects of the training side" in table.caption
    assert table.caption.endswith(
        "n = 2 seeds, mean ± standard error over clips and subjects (3 folds)."
    )
    assert "The last epoch is reported; the test side was not read." in table.notes


def test_a_note_per_column_names_the_rows_within_one_standard_error(
    plan: Plan, tmp_path: Path
) -> None:
    store, dataset = Store(tmp_path), plan.dataset
    finish(plan, store)
    train = split(dataset, "xsub", "train")
    groups = dataset.columns["subject"][train]
    apart = {}
    for column in ("img", "seq"):
        better, worse = (
            np.mean([hits_of(row, column, seed, dataset)[train] for seed in SEEDS], axis=0)
            for row in ("crop+jitter", "none")
        )
        difference, error = paired_difference(better, worse, groups)
        assert difference > 0
        apart[column] = difference > error
    assert apart == {"img": True, "seq": False}  # else the test shows nothing
    notes = [note for note in table_of(plan, store).notes if "best" in note]
    assert notes == [
        "IMG: best crop+jitter; every other row is more than one standard error of the "
        "difference below.",
        "SEQ: best crop+jitter; within one standard error of the difference: none.",
    ]


def test_a_seed_counts_when_all_of_its_folds_are_done(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(plan, store)
    (left,) = [
        cell.unit
        for cell in plan.cells
        if (cell.row, cell.column, cell.seed, cell.fold) == ("none", "seq", 1, 2)
    ]
    assert left is not None
    (store.directory(left.key) / "DONE").unlink()
    table = table_of(plan, store)
    train = split(plan.dataset, "xsub", "train")
    hits = hits_of("none", "seq", 0, plan.dataset)[train]
    entry = table.entries["none", "seq"]
    assert (entry.n, entry.mean) == (1, pytest.approx(100 * hits.mean()))
    groups = plan.dataset.columns["subject"][train]
    assert entry.error == pytest.approx(100 * standard_error(hits, groups))
    assert "n = 1 to 2 seeds" in table.caption


def test_without_predictions_there_is_no_standard_error(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(plan, store, predictions=False)
    table = table_of(plan, store)
    assert all(entry.mean and entry.plus_minus is None for entry in table.entries.values())
    assert "±" not in str(table)
    assert "standard error" not in table.caption
    assert not any("best" in note for note in table.notes)


def test_files_have_the_folds_and_the_errors(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    finish(plan, store)
    table, frame = table_of(plan, store), cells_frame(plan, store)
    export.export(table, frame, [], tmp_path / "out")
    header, first, *_ = (tmp_path / "out" / "cells.csv").read_text().splitlines()
    assert header.endswith(",paper,fold,pretraining")
    needed = plan.cells[0].unit.needs if plan.cells[0].unit else ()
    assert first.endswith(f",0,{'+'.join(needed)}")
    cells = json.loads((tmp_path / "out" / "table.json").read_text())["cells"]
    for cell in cells:
        entry = table.entries[cell["row"], cell["column"]]
        assert cell["error"] == pytest.approx(entry.error)
        assert f"{entry.mean:.1f} ± {entry.error:.1f}" in (tmp_path / "out/table.md").read_text()
