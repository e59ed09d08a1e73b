"""What a unit must not see: other values there change nothing that is learned or chosen."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ablation.plan import make_plan
from ablation.store import Store
from ablation.study import load_study
from ablation.units import EvaluateOn, Unit
from ablation.work import Context, UnitRun
from skelcon.data import SkeletonDataset, split

BATCH = {"batch": 4, "contrast": {"queue": 16}}
CHANGES = {"pretrain": {"epochs": 3, "monitor": 1, **BATCH}, "linear": {"weight_decay": "auto"}}


def disturbed(dataset: SkeletonDataset, clips: np.ndarray, place: Path) -> Path:
    """A copy under the same fingerprint whose ``clips`` have other frames."""
    shutil.copytree(dataset.path, place)
    frames = np.load(place / "frames.npy")
    offsets, counts = (dataset.blocks[name][clips].flat for name in ("offset", "count"))
    for offset, count in zip(offsets, counts, strict=True):
        frames[offset : offset + count] *= -3.0
    np.save(place / "frames.npy", frames)
    return place


def run(unit: Unit, store: Store, path: Path) -> None:
    unit_run = UnitRun(unit, store, Context({unit.side.data: path}))
    try:
        while not unit_run.step(budget=0).done:
            pass
    finally:
        unit_run.close()


@pytest.mark.parametrize("on", ["test", "validation"])
def test_nothing_is_learned_or_chosen_on_what_is_tested(
    on: EvaluateOn, tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    study = load_study(study_file).only(("crop+jitter",))
    plan = make_plan(study, dataset, preset="quick", seeds=(0,), evaluate_on=on, overrides=CHANGES)
    folds = {unit.side.fold for unit in plan.units.values()}
    assert len(folds) == (1 if on == "test" else 2)
    fold = min(folds, key=str)
    test = split(dataset, plan.protocol, "test")
    held_out = test if fold is None else split(dataset, plan.protocol, "validation", fold)
    other = disturbed(dataset, np.union1d(test, held_out), tmp_path / "other")
    one, two = Store(tmp_path / "a"), Store(tmp_path / "b")
    compared = 0
    for unit in plan.units.values():
        if unit.side.fold != fold:
            continue
        run(unit, one, dataset.path)
        run(unit, two, other)
        first, second = one.result(unit.key), two.result(unit.key)
        if unit.kind == "pretrain":
            assert first == second  # what it monitors as well
            weights = [
                (store.directory(unit.key) / "weights.safetensors").read_bytes()
                for store in (one, two)
            ]
            assert weights[0] == weights[1]
        else:
            for name in ("weight_decay", "top1_train"):
                assert first[name] == second[name]
            predictions = [
                np.load(s.directory(unit.key) / "predictions.npz")["clip"] for s in (one, two)
            ]
            assert sorted(predictions[0]) == sorted(predictions[1]) == sorted(held_out)
        compared += 1
    assert compared >= 4
