from __future__ import annotations

from pathlib import Path

import pytest
from live_helpers import finish

from ablation.plan import Plan, make_plan
from ablation.store import Store
from ablation.study import load_study
from skelcon.data import SkeletonDataset


@pytest.fixture
def plan(study_file: Path, dataset: SkeletonDataset) -> Plan:
    return make_plan(load_study(study_file), dataset, preset="paper", seeds=(0, 1))


@pytest.fixture
def store(plan: Plan, tmp_path: Path) -> Store:
    """One cell is done, another has failed."""
    store = Store(tmp_path)
    cells = {(cell.row, cell.column, cell.seed): cell for cell in plan.cells}
    cell = cells["random", "img", 1]
    assert cell.unit is not None
    finish(store, cell.unit, 0.625)
    failed = cells["random", "seq", 0]
    assert failed.unit is not None
    store.fail(failed.unit.key, "failed: out of memory")
    return store
