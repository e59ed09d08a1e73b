"""Search spaces: their files, their domains, and optuna's distributions."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablation.search.problem import SearchProblem
from ablation.search.space import Domain, known_spaces, load_space, named_space
from ablation.study import known_studies
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError
from skelcon.settings import merge

SPACE: dict[str, Any] = {
    "title": "A tiny search",
    "protocols": ["xsub"],
    "downstream": ["seq"],
    "base": {"pretrain.batch": 4},
    "space": {"pretrain.optimiser.lr": {"loguniform": [0.001, 0.1]}},
}


def written(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**SPACE, **changes}, sort_keys=False))
    return path


def domain(**given: Any) -> Domain:
    return Domain.model_validate(given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 5}, r"line \d+: unknown key 'trails': did you mean 'trials'"),
        (
            {"scheduler": {"nam": "asha"}},
            "unknown key 'scheduler.nam': did you mean 'scheduler.name'",
        ),
        ({"algorithm": "optima"}, "algorithm"),
        ({"metric": "parameters"}, "unknown metric 'parameters' of task linear"),
        ({"task": "finetuning"}, "unknown task 'finetuning': did you mean 'finetune'"),
        ({"folds": 1}, "folds"),
        ({"trials": 0}, "trials"),
        ({"space": {}}, "space"),
        ({"space": {"pretrain.representations": {"choice": [[], ["seq"]]}}}, "cannot be searched"),
        (
            {"space": {"pretrain.optimiser.lr": {"unifrom": [0, 1]}}},
            r"line \d+: space.pretrain.optimiser.lr: unknown kind of domain 'unifrom': did you "
            "mean 'uniform'",
        ),
        ({"space": {"a.b": {"uniform": [2, 1]}}}, "lower bound 2.0 is not below"),
        ({"space": {"a.b": {"loguniform": [0, 1]}}}, "bounds above 0"),
        ({"space": {"a.b": {"int": [0.5, 2]}}}, "whole numbers"),
        ({"space": {"a.b": {"uniform": ["low", 2]}}}, "'low' is not a finite number"),
        ({"space": {"a.b": {"choice": ["x", "x"]}}}, "duplicate"),
        ({"space": {"a.b": {"choice": ["x"]}}}, "at least two values"),
        ({"space": {"a.b": {"uniform": [0, 1], "int": [0, 1]}}}, "give one of uniform"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_space(written(tmp_path, **changes))
    assert "tiny.yaml', line" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        ("pretrain.optimiser.lrr", {"uniform": [0, 1]}, r"did you mean 'pretrain\.optimiser\.lr'"),
        ("pretrain.optimiser.lr", {"uniform": [-1, 1]}, "greater than 0"),
        ("pretrain.optimiser.name", {"choice": ["sgd", "adam"]}, "'sgd' or 'adamw'"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_found_before_anything_runs(
    tmp_path: Path, dataset: SkeletonDataset, path: str, given: dict[str, Any], message: str
) -> None:
    space = load_space(written(tmp_path, space={path: given}))
    with pytest.raises(UserError, match=message) as caught:
        SearchProblem.of(space, dataset, preset="quick", protocol=None, overrides={})
    assert "tiny.yaml', line" in str(caught.value)


def test_what_is_searched_cannot_be_set(tmp_path: Path, dataset: SkeletonDataset) -> None:
    space = load_space(written(tmp_path))
    with pytest.raises(UserError, match=r"--set pretrain\.optimiser\.lr: .* is searched"):
        SearchProblem.of(
            space,
            dataset,
            preset="quick",
            protocol=None,
            overrides={"pretrain": {"optimiser": {"lr": 0.1}}},
        )


def test_pbt_searches_only_what_a_training_can_change(tmp_path: Path) -> None:
    space = load_space(written(tmp_path, space={"pretrain.contrast.queue": {"int": [16, 64]}}))
    with pytest.raises(UserError, match=r"line \d+: pbt cannot change 'pretrain.contrast.queue'"):
        space.chosen(scheduler="pbt")


def test_the_spaces_that_come_with_skelcon_are_no_studies() -> None:
    assert "optimiser" in known_spaces()
    assert set(known_studies()).isdisjoint(known_spaces())
    for name in known_spaces():
        assert named_space(name).name == name
    with pytest.raises(UserError, match="did you mean 'optimiser'"):
        named_space("optimizer")


DOMAINS = [
    domain(uniform=[-1, 2]),
    domain(loguniform=[0.0001, 1]),
    domain(int=[0, 3]),
    domain(logint=[1, 8]),
    domain(choice=[["crop"], ["crop", "pose"], None]),
]


@pytest.mark.parametrize("one", DOMAINS, ids=lambda one: one.kind)
def test_a_domain_draws_and_moves_within_itself(one: Domain) -> None:
    draws = random.Random(0)
    drawn = [one.draw(draws) for _ in range(400)]
    moved = [one.neighbour(value, draws) for value in drawn]
    assert all(one.contains(value) for value in (*drawn, *moved))
    if one.whole or one.kind == "choice":
        values = range(one.values[0], one.values[1] + 1) if one.whole else one.values
        assert all(value in drawn for value in values), "both bounds are included"
        assert all(isinstance(value, int) for value in drawn) or not one.whole
    assert any(a != b for a, b in zip(drawn, moved, strict=True))


def test_a_logarithmic_domain_gives_each_order_of_magnitude_its_share() -> None:
    draws = random.Random(0)
    drawn = [DOMAINS[1].draw(draws) for _ in range(2000)]
    below = sum(value < 0.01 for value in drawn) / len(drawn)
    assert math.isclose(below, 0.5, abs_tol=0.05)


def test_optuna_has_the_same_domains() -> None:
    from optuna import distributions

    from ablation.search.sampling import distribution

    assert {one.kind: distribution(one) for one in DOMAINS} == {
        "uniform": distributions.FloatDistribution(-1, 2),
        "loguniform": distributions.FloatDistribution(0.0001, 1, log=True),
        "int": distributions.IntDistribution(0, 3),
        "logint": distributions.IntDistribution(1, 8, log=True),
        "choice": distributions.CategoricalDistribution(('["crop"]', '["crop", "pose"]', "null")),
    }


def test_a_space_is_read_without_the_libraries_that_search_it() -> None:
    program = (
        "import sys; import ablation.search.space; "
        "print([m for m in ('torch', 'ray', 'optuna', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# -- what nothing reads ------------------------------------------------------------------------

TEMPERATURE = "pretrain.contrast.temperature"
UNREAD = "decides nothing: it is an option of moco, not of simclr"


@pytest.mark.parametrize(
    ("base", "path", "overrides", "message"),
    [
        ({"pretrain.objective.name": "simclr"}, TEMPERATURE, {}, rf"line \d+: '{TEMPERATURE}' "),
        ({}, TEMPERATURE, {"pretrain.objective.name": "simclr"}, rf"line \d+: '{TEMPERATURE}' "),
        (
            {"pretrain.objective.name": "simclr"},
            "pretrain.optimiser.lr",
            {TEMPERATURE: 0.2},
            f"^--set: '{TEMPERATURE}' ",
        ),
        (
            {"pretrain.objective.name": "simclr", "pretrain.contrast.momentum": 0.9},
            "pretrain.optimiser.lr",
            {},
            r"line \d+: 'pretrain.contrast.momentum' ",
        ),
    ],
)
def test_a_search_over_a_setting_that_nothing_reads_is_a_mistake(
    tmp_path: Path,
    dataset: SkeletonDataset,
    base: dict[str, Any],
    path: str,
    overrides: dict[str, Any],
    message: str,
) -> None:
    own = {"pretrain.batch": 4, **base}
    space = load_space(written(tmp_path, base=own, space={path: {"uniform": [0.05, 0.2]}}))
    asked: dict[str, Any] = {}
    merge(asked, overrides)
    with pytest.raises(UserError, match=f"{message}{UNREAD}"):
        SearchProblem.of(space, dataset, preset="quick", protocol=None, overrides=asked)


def test_a_setting_that_some_trials_read_is_no_mistake(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    searched = {
        TEMPERATURE: {"uniform": [0.05, 0.2]},
        "pretrain.objective.name": {"choice": ["simclr", "moco"]},
    }
    base = {"pretrain.batch": 4, "pretrain.objective.name": "simclr"}
    space = load_space(written(tmp_path, base=base, space=searched))
    problem = SearchProblem.of(space, dataset, preset="quick", protocol=None, overrides={})
    assert TEMPERATURE in problem.space.space
