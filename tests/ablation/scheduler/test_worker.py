"""The worker's side of a trial, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.plan import make_plan
from ablation.scheduler.worker import NO_GPU, Worker
from ablation.store import Store
from ablation.study import load_study
from ablation.work.checkpoints import CheckpointPolicy
from skelcon.data import SkeletonDataset


@pytest.mark.parametrize(("gpu", "lines"), [(0.5, 1), (0, 0)])
def test_a_gpu_that_torch_does_not_see_is_a_line_in_the_log(
    gpu: float,
    lines: int,
    dataset: SkeletonDataset,
    study_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A logical GPU is no mistake, so the unit runs on the CPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("ablation.scheduler.worker.data_at", lambda wanted, path, node: path)
    study = load_study(study_file).only(("none",))
    plan = make_plan(study, dataset, preset="paper", seeds=(0,))
    unit = next(iter(plan.units.values()))
    store = Store(tmp_path)
    directory = store.begin(unit.key, unit.to_json())
    worker = Worker(1, gpu)
    worker.take(
        {
            "results": str(tmp_path),
            "mirror": None,
            "key": unit.key,
            "plugins": [],
            "directory": ".",
            "data": {dataset.fingerprint: str(dataset.path)},
            "node": None,
            "checkpoints": CheckpointPolicy(),
            "gpu": gpu,
            "alone": False,
            "monitor": None,
        }
    )
    worker.step()
    worker.release()
    assert (directory / "log.txt").read_text().count(NO_GPU) == lines
