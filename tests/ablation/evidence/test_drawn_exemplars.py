"""Notes on seeds that test different clips, as exemplars are drawn from the tested clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claim_helpers import finish

from ablation.plan import Plan, make_plan
from ablation.report import Table, cells_frame, make_table
from ablation.store import Store
from ablation.study import load_study
from skelcon.data import SkeletonDataset

NOTE = "IMG and SEQ: each seed was tested on other clips "


def plan_of(study_file: Path, data: SkeletonDataset, **changes: Any) -> Plan:
    study = load_study(study_file).model_copy(update={"task": "oneshot"})
    return make_plan(study, data, **{"preset": "paper", "seeds": (0, 1, 2), **changes})


def draw_exemplars(plan: Plan, store: Store, same: bool = False) -> None:
    """Leave out a tested clip of each evaluation: the same for all seeds, or a different one."""
    for cell in plan.cells:
        assert cell.unit is not None
        path = store.directory(cell.unit.key) / "predictions.npz"
        with np.load(path) as saved:
            kept = np.arange(len(saved["clip"])) != (0 if same else cell.seed)
            values = {name: saved[name][kept] for name in saved}
        np.savez(path, **values)


def table_of(plan: Plan, store: Store) -> tuple[Table, list[str]]:
    table = make_table(plan, cells_frame(plan, store), store)
    return table, [note for note in table.notes if "each seed was tested on other clips" in note]


@pytest.mark.parametrize("evaluate_on", ["test", "validation"])
def test_a_table_says_why_it_has_no_standard_error_over_clips(
    study_file: Path, eight: SkeletonDataset, tmp_path: Path, evaluate_on: str
) -> None:
    plan, store = plan_of(study_file, eight, evaluate_on=evaluate_on), Store(tmp_path / "results")
    finish(plan, store, {})
    draw_exemplars(plan, store)
    table, notes = table_of(plan, store)
    assert [note.startswith(NOTE) for note in notes] == [True]
    assert notes[0].endswith("no standard error over clips, and intervals are over seeds alone.")
    assert not table.evidence.hits
    entry = table.entries["none", "seq"]
    assert (entry.error, entry.interval is None) == (None, False)


def test_there_is_no_note_if_all_seeds_test_the_same_clips(
    study_file: Path, eight: SkeletonDataset, tmp_path: Path
) -> None:
    plan, store = plan_of(study_file, eight), Store(tmp_path / "results")
    assert not table_of(plan, store)[1]
    finish(plan, store, {})
    assert not table_of(plan, store)[1]
    draw_exemplars(plan, store, same=True)
    table, notes = table_of(plan, store)
    assert not notes
    assert set(table.evidence.hits) == {(c.row, c.column) for c in plan.cells}
