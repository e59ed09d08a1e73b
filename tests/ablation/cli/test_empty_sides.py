"""A protocol without training or test clips is refused before anything runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablation.plan import make_plan
from ablation.study import named_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


def one_sided(dataset: SkeletonDataset, side: int) -> SkeletonDataset:
    """The data, of whose two protocols xsub has one side only."""
    split = dataset.splits["xsub"]
    return replace(dataset, splits={"xsub": np.full_like(split, side), "xview": split})


@pytest.mark.parametrize(("side", "missing"), [(0, "test"), (1, "training"), (-1, "training")])
def test_no_study_is_planned_on_a_protocol_without_a_side(
    dataset: SkeletonDataset, side: int, missing: str
) -> None:
    study = named_study("augmentations")
    data = one_sided(dataset, side)
    options: dict[str, Any] = {"preset": "small", "seeds": (0,)}
    with pytest.raises(UserError, match=rf"xsub: no {missing}.* clip: give --protocol xview"):
        make_plan(study, data, protocol="xsub", **options)
    assert make_plan(study, data, protocol="xview", **options).units


def test_a_cross_validation_needs_no_test_side(dataset: SkeletonDataset) -> None:
    plan = make_plan(
        named_study("augmentations"),
        one_sided(dataset, 0),
        preset="small",
        seeds=(0,),
        protocol="xsub",
        evaluate_on="validation",
    )
    assert plan.units


def test_the_source_of_a_transfer_needs_a_training_side_only(dataset: SkeletonDataset) -> None:
    study = named_study("transfer")
    options: dict[str, Any] = {"preset": "small", "seeds": (0,), "protocol": "xsub"}
    assert make_plan(study, dataset, source=one_sided(dataset, 0), **options).units
    with pytest.raises(UserError, match="xsub: no training clip"):
        make_plan(study, dataset, source=one_sided(dataset, 1), **options)


@pytest.fixture
def odd_subjects(utd: Path, tmp_path: Path) -> Path:
    """UTD-MHAD of the subjects that train."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for file in [*utd.glob("*_s1_*"), *utd.glob("*_s3_*")]:
        shutil.copy(file, folder)
    return folder


def test_commands_end_with_one_line(
    skelcon: Callable[..., Any],
    ablate: Callable[..., Any],
    odd_subjects: Path,
    tmp_path: Path,
) -> None:
    results = ("--results", tmp_path / "r")
    ended = ablate("augmentations", "--data", odd_subjects, "--preset", "quick", *results)
    assert ended.code == 2
    assert "error: data set 'UTD-MHAD', xsub: no test clip" in ended.err
    assert not (tmp_path / "r").exists()
    ended = skelcon("pretrain", "--data", odd_subjects, *results, "--set", "pretrain.batch=500")
    assert ended.code == 2
    assert "pretrain.batch 500" in ended.err  # there is somebody to train on


def test_who_only_tests_cannot_be_trained_on(
    skelcon: Callable[..., Any], utd: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "even"
    folder.mkdir()
    for file in utd.glob("*_s2_*"):
        shutil.copy(file, folder)
    ended = skelcon("pretrain", "--data", folder, "--results", tmp_path / "r")
    assert ended.code == 2
    assert "xsub: no training clip: import data that has both sides" in ended.err
