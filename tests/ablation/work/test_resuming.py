"""A unit whose checkpoint cannot be used at present keeps it: an attempt later resumes from it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ablation.plan import make_plan
from ablation.store import Store
from ablation.study import load_study
from ablation.units import Unit
from ablation.work import Context, UnitRun
from ablation.work.checkpoints import EpochLog
from skelcon.data import SkeletonDataset

Harm = Callable[[pytest.MonkeyPatch], None]


def no_memory(*_: object, **how: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def full_disk(patch: pytest.MonkeyPatch) -> None:
    """As the log of the epochs is cut back; a moment later there is space."""
    resume = EpochLog.resume

    def fails(log: EpochLog, epoch: int) -> int | None:
        if epoch:
            raise OSError(errno.ENOSPC, "No space left on device")
        return resume(log, epoch)

    patch.setattr(EpochLog, "resume", fails)


def full_memory(patch: pytest.MonkeyPatch) -> None:
    """As the state is loaded: beside the model, it takes as much again."""
    patch.setattr(torch, "load", no_memory)


def silent_disk(patch: pytest.MonkeyPatch) -> None:
    """As the checkpoint is read."""
    read = Path.read_bytes

    def fails(path: Path) -> bytes:
        if path.name == "checkpoint.pt":
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    patch.setattr(Path, "read_bytes", fails)


@pytest.fixture
def unit(dataset: SkeletonDataset, study_file: Path) -> Unit:
    study = load_study(study_file).only(("crop+jitter",))
    return next(iter(make_plan(study, dataset, preset="paper", seeds=(0,)).units.values()))


@pytest.mark.parametrize("harm", [full_disk, full_memory, silent_disk])
def test_what_ends_an_attempt_to_resume_costs_no_epoch(
    tmp_path: Path,
    dataset: SkeletonDataset,
    unit: Unit,
    harm: Harm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, context = Store(tmp_path), Context({dataset.fingerprint: dataset.path})
    with contextlib.closing(UnitRun(unit, store, context)) as first:
        assert first.step(budget=0).epoch == 1
    with monkeypatch.context() as patch:
        harm(patch)
        with pytest.raises((OSError, torch.OutOfMemoryError)):
            UnitRun(unit, store, context)
    with contextlib.closing(UnitRun(unit, store, context)) as second:
        assert second.step(budget=0).epoch == 2
    assert len(store.files(unit.key).metrics()) == 2
