"""Two commands of one study at once: neither loses what the other has written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ablation.cli.options import StudyDataOptions, StudyOptions
from ablation.cli.request import plan_study
from ablation.job import Job
from ablation.report.from_results import load_plan, save_plan
from ablation.study import load_study
from skelcon.data import SkeletonDataset


@pytest.mark.parametrize(
    ("changed", "tables"),
    [({}, {"tiny": (0, 7)}), ({"linear": {"epochs": 2}}, {"tiny": (7,), "tiny-nothing-set": (0,)})],
)
def test_a_table_that_was_written_meanwhile_is_extended_or_left(
    ablate: Callable[..., Any],
    dataset: SkeletonDataset,
    study_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    tables: dict[str, tuple[int, ...]],
) -> None:
    options = StudyOptions(only=("none",), seeds=(7,), settings=changed)
    study, console = load_study(study_file), Console(stderr=True)
    other = plan_study(study, dataset, StudyDataOptions(), options, console)

    def run_job(job: Job, store: Any, options: Any, output: Any, report: Any, mirror: Any) -> int:
        save_plan(other, tmp_path, tmp_path / "tiny")
        return int(report())

    monkeypatch.setattr("ablation.running.run_job", run_job)
    words = ("run", study_file, "--data", dataset.path, "--only", "none", "--seeds", "0,")
    ended = ablate(*words, "--results", tmp_path)
    assert ended.code == 0, ended.err
    found = {
        path.parent.name: load_plan(tmp_path, path.parent.name).seeds
        for path in tmp_path.glob("*/study.json")
    }
    assert found == tables
