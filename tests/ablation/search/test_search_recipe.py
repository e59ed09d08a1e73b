"""The search of a recipe for one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from search_helpers import SPACE, record_of

from ablation.search import report
from ablation.search.problem import EPOCHS, SearchProblem
from ablation.search.report import Summary
from ablation.search.space import load_space, named_space
from ablation.store import Store
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

LR = "pretrain.optimiser.lr"


def recipe(dataset: SkeletonDataset, **settings: Any) -> SearchProblem:
    overrides = {"pretrain": {"batch": 8, **settings}}
    space = named_space("recipe")
    return SearchProblem.of(space, dataset, preset="small", protocol=None, overrides=overrides)


@pytest.mark.parametrize("names", [["img"], ["seq"], ["img", "seq"]])
def test_a_recipe_is_searched_for_the_representations_that_are_asked(
    eight: SkeletonDataset, names: list[str], tmp_path: Path
) -> None:
    problem = recipe(eight, representations=names)
    folds = problem.units({})
    assert len(folds) == 4
    for fold in folds:
        assert list(fold.pretraining.representations) == names
        assert list(fold.evaluation.representations) == names
        assert set(fold.pretraining.augmentations) == {"crop", "pose", "jitter"}
    record = record_of(problem, tmp_path / "s")
    record.report(record.ask().number, problem.steps, 0.5, 1.0)
    record.end(0, "completed")
    report.export(Summary(record, Store(tmp_path / "r")), tmp_path)
    values = yaml.safe_load((tmp_path / "preset.yaml").read_text())
    assert list(values["by_representations"]) == ["+".join(names)]
    (settings,) = values["by_representations"].values()
    for path in problem.space.space:  # a rate may be one for each representation
        assert any(f"{name}.".startswith(f"{path}.") for name in settings), path
    assert "pretrain.representations" not in settings


def test_a_recipe_varies_strength_speed_length_and_orientation(eight: SkeletonDataset) -> None:
    searched = set(recipe(eight).space.space)
    augment = {f"pretrain.augment.{name}" for name in ("crop.l_min", "pose.amplitude")}
    assert searched >= {*augment, "pretrain.augment.jitter.joints", LR, EPOCHS}
    assert "pretrain.encoders.orientation" in searched


def test_an_encoder_that_is_not_trained_is_no_recipe(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump({**SPACE, "downstream": ["img"]}))
    with pytest.raises(UserError, match="the representation is not in the pre-training"):
        SearchProblem.of(load_space(path), dataset, preset="quick", protocol=None, overrides={})
