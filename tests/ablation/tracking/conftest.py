from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tracking_helpers import finish

from ablation.plan import Plan, make_plan
from ablation.store import Store
from ablation.study import load_study
from skelcon.data import SkeletonDataset


@pytest.fixture(scope="module")
def plan(study_file: Path, dataset: SkeletonDataset) -> Plan:
    """A pre-training of SEQ and its evaluation."""
    study = load_study(study_file).only(("none",))
    study = study.model_copy(update={"columns": {"seq": study.columns["seq"]}})
    return make_plan(study, dataset, preset="paper", seeds=(0,))


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results directory in which all units are done."""
    results = tmp_path_factory.mktemp("finished")
    finish(plan, Store(results))
    return results


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "results")
    return Store(tmp_path / "results")
