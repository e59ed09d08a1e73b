"""Each objective's formula against numpy in double precision, spelt out; and its networks."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_momentum import ENCODERS, INTRA, PAIR, TRIPLE, views
from torch import Tensor

from skelcon.contrast import (
    ContrastConfig,
    Objective,
    ObjectiveConfig,
    info_nce,
    momentum_update,
    pairings,
)
from skelcon.contrast.barlow import barlow_twins
from skelcon.contrast.byol import BYOL, regression_loss
from skelcon.contrast.objectives import BUILTIN, MOCO, OBJECTIVES
from skelcon.contrast.simclr import nt_xent_logits
from skelcon.contrast.simsiam import negative_cosine
from skelcon.contrast.vicreg import vicreg
from skelcon.data import KINECT_V1
from skelcon.encoders import Encoder

Array = NDArray[np.float64]
OPTIONS = {
    "simclr": {"dim": 6, "hidden": 8},
    "byol": {"dim": 6, "hidden": 8, "momentum": 0.9},
    "simsiam": {"dim": 6, "hidden": 8, "bottleneck": 4},
    "barlow": {"dim": 6, "hidden": 8},
    "vicreg": {"dim": 6, "hidden": 8},
    "masked": {"dim": 6},
    "cmd": {},
}
CONTRAST = ContrastConfig(dim=6, queue=8)
SIZES = st.integers(2, 9), st.integers(2, 7), st.integers(0, 99)


def rows(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    shape = (count, size)
    first = torch.randn(shape, generator=draws, dtype=torch.float64)
    return first, first + torch.randn(shape, generator=draws, dtype=torch.float64)


def built(name: str, names: tuple[str, ...], **options: float) -> Objective:
    torch.manual_seed(0)
    encoders = {each: Encoder(each, ENCODERS, KINECT_V1, bodies=2) for each in names}
    config = ObjectiveConfig(name=name, options={**OPTIONS[name], **options})
    return config.build(CONTRAST, encoders, torch.Generator()).train()


def cosine(one: Array, other: Array) -> float:
    return float(one @ other / math.sqrt(one @ one) / math.sqrt(other @ other))


# -- the formulas ------------------------------------------------------------------------------


@settings(max_examples=15)
@given(*SIZES)
def test_simclr_is_equation_1(count: int, size: int, seed: int) -> None:
    first, second = rows(count, size, seed)
    everything = np.concatenate((first, second))
    total, hits = 0.0, 0
    for i, anchor in enumerate(everything):
        similar = {j: cosine(anchor, z) / 0.3 for j, z in enumerate(everything) if j != i}
        positive = similar[(i + count) % (2 * count)]
        total -= math.log(math.exp(positive) / sum(map(math.exp, similar.values())))
        hits += positive == max(similar.values())
    logits = nt_xent_logits(first, second, 0.3)
    assert float(info_nce(logits)) == pytest.approx(total / (2 * count), rel=1e-9)
    assert int((logits.argmax(dim=1) == 0).sum()) == hits


@settings(max_examples=15)
@given(*SIZES)
def test_byol_and_simsiam_regress_by_the_cosine(count: int, size: int, seed: int) -> None:
    first, second = rows(count, size, seed)
    cosines = [cosine(a, b) for a, b in zip(first.numpy(), second.numpy(), strict=True)]
    distances = [
        np.square(a / np.linalg.norm(a) - b / np.linalg.norm(b)).sum()
        for a, b in zip(first.numpy(), second.numpy(), strict=True)
    ]
    assert float(regression_loss(first, second)) == pytest.approx(np.mean(distances), rel=1e-7)
    assert float(negative_cosine(first, second)) == pytest.approx(-np.mean(cosines), rel=1e-7)


def test_no_gradient_reaches_the_target_of_simsiam() -> None:
    first, second = (each.requires_grad_() for each in rows(4, 3, 0))
    negative_cosine(first, second).backward()
    assert first.grad is not None
    assert second.grad is None


@settings(max_examples=15)
@given(*SIZES)
def test_barlow_twins_are_equations_1_and_2(count: int, size: int, seed: int) -> None:
    first, second = rows(count, size, seed)
    expected = 0.0
    for i in range(size):
        for j in range(size):
            a, b = first[:, i].numpy(), second[:, j].numpy()
            a, b = a - a.mean(), b - b.mean()
            spread = math.sqrt((a @ a / count + 1e-5) * (b @ b / count + 1e-5))
            correlation = a @ b / count / spread
            expected += (1 - correlation) ** 2 if i == j else 0.2 * correlation**2
    assert float(barlow_twins(first, second, 0.2)) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=15)
@given(*SIZES)
def test_vicreg_is_equation_6(count: int, size: int, seed: int) -> None:
    first, second = rows(count, size, seed)
    expected = 2.0 * np.square((first - second).numpy()).mean()
    for each in (first.numpy(), second.numpy()):
        covariance = np.atleast_2d(np.cov(each.T))  # (over B - 1)
        deviations = np.sqrt(np.diag(covariance) + 1e-4)
        expected += 3.0 * np.maximum(0, 1 - deviations).mean()
        off = covariance - np.diag(np.diag(covariance))
        expected += 0.5 * np.square(off).sum() / size
    assert float(vicreg(first, second, 2.0, 3.0, 0.5)) == pytest.approx(expected, rel=1e-9)


# -- the networks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "names"),
    [
        (name, names)
        for name in BUILTIN
        for names in (INTRA, PAIR, TRIPLE)
        if (name != "cmd" or names != INTRA) and (name != "masked" or names == INTRA)
    ],
)
def test_every_parameter_of_a_representation_is_trained_at_its_rate(
    name: str, names: tuple[str, ...]
) -> None:
    objective = built(name, names)
    own = [(each, each) for each in names]
    assert objective.pairs == (own if name == "cmd" else pairings(names))
    ((query_view, key_view),) = views(1)
    result = objective(query_view, key_view)
    result.loss.backward()
    parts = [objective.query_parameters(each) for each in names]
    trained = {id(p) for p in objective.parameters() if p.requires_grad}
    assert {id(p) for part in parts for p in part} == trained
    assert sum(map(len, parts)) == len(objective.query_parameters()) == len(trained)
    assert all(p.grad is not None for p in objective.query_parameters())
    for each in names:
        size = objective.encoder(each).feature_size if name == "masked" else 6
        assert result.queries[each].shape == result.keys[each].shape == (len(query_view), size)
        torch.testing.assert_close(result.keys[each].norm(dim=1), torch.ones(len(query_view)))
        assert len(result.features[each]) == len(query_view)
        assert not result.features[each].requires_grad
        assert isinstance(objective.encoder(each), Encoder)
    chances = {"simclr": 1 / (2 * len(query_view) - 1), "cmd": 1 / (1 + CONTRAST.queue)}
    assert (result.top1 is None) == (name not in chances)
    assert result.chance == chances.get(name)


@pytest.mark.parametrize("names", [INTRA, PAIR], ids="+".join)
@pytest.mark.parametrize("name", ["simclr", "barlow", "vicreg"])
def test_losses_are_summed_over_the_pairs_of_representations(
    name: str, names: tuple[str, ...]
) -> None:
    objective = built(name, names)
    ((query_view, key_view),) = views(1)
    twin = copy.deepcopy(objective)
    first, second = ({n: twin.query(n)(v) for n in names} for v in (query_view, key_view))
    loss = {
        "simclr": lambda a, b: info_nce(nt_xent_logits(a, b, 0.1)),
        "barlow": lambda a, b: 0.024 * barlow_twins(a, b, 0.0051),
        "vicreg": lambda a, b: vicreg(a, b, 25, 25, 1),
    }[name]
    expected = sum(loss(first[a], second[b]) for a, b in objective.pairs)
    torch.testing.assert_close(objective(query_view, key_view).loss, expected)


@pytest.mark.parametrize("names", [INTRA, PAIR], ids="+".join)
def test_byol_predicts_a_target_that_follows(names: tuple[str, ...]) -> None:
    objective = built("byol", names)
    assert isinstance(objective, BYOL)
    optimiser = torch.optim.SGD(objective.query_parameters(), 0.5)
    for query_view, key_view in views(2):
        twin = copy.deepcopy(objective)
        for name, target in twin.targets.items():
            momentum_update(target, twin.query(name), 0.9)
        # In its order: statistics of batch norms do not matter in training mode.
        first, second = ({n: twin.query(n)(v) for n in names} for v in (query_view, key_view))
        one, other = (
            {n: twin.targets[n](v).detach() for n in names} for v in (query_view, key_view)
        )
        expected = torch.zeros(())
        for a, b in objective.pairs:
            predict = twin.predictors[a]
            expected = expected + regression_loss(predict(first[a]), other[b])
            expected = expected + regression_loss(predict(second[a]), one[b])
        result = objective(query_view, key_view)
        torch.testing.assert_close(result.loss, expected)
        for mine, theirs in zip(
            objective.targets.parameters(), twin.targets.parameters(), strict=True
        ):
            assert torch.equal(mine, theirs)
            assert mine.grad is None
        optimiser.zero_grad()
        result.loss.backward()
        optimiser.step()
    followed, leading = objective.targets[names[0]], objective.query(names[0])
    pairs = zip(followed.parameters(), leading.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_simsiam_is_half_of_each_direction() -> None:
    objective = built("simsiam", INTRA)
    ((query_view, key_view),) = views(1)
    twin = copy.deepcopy(objective)
    first, second = (twin.query("stg")(view) for view in (query_view, key_view))
    predict = twin.get_submodule("predictors.stg")
    expected = negative_cosine(predict(first), second) / 2
    expected = expected + negative_cosine(predict(second), first) / 2
    torch.testing.assert_close(objective(query_view, key_view).loss, expected)


def test_the_default_objective_is_built_in() -> None:
    assert ObjectiveConfig().resolved() == {"name": MOCO, "options": {}}
    with pytest.raises(ValueError, match="objective 'moco' is built in, not registered"):
        OBJECTIVES[MOCO]
    with pytest.raises(ValueError, match="unknown objective 'moca': did you mean 'moco'"):
        OBJECTIVES["moca"]
