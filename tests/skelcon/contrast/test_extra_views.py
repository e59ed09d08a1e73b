"""Further views: one more pair with the key view each, against networks that are only called."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from test_momentum import INTRA, PAIR
from test_momentum import built as contrast_of
from test_objectives import built
from torch import Tensor

from skelcon.contrast import Objective, ObjectiveConfig, distribution_loss, info_nce, meet_the_key
from skelcon.contrast.barlow import barlow_twins
from skelcon.contrast.byol import regression_loss
from skelcon.contrast.objectives import BUILTIN
from skelcon.contrast.simclr import nt_xent_logits
from skelcon.contrast.simsiam import negative_cosine
from skelcon.contrast.vicreg import vicreg

Losses = Callable[[Objective, Tensor, Tensor, str, str], Tensor]


def four_views() -> list[Tensor]:
    draws = torch.Generator().manual_seed(5)
    return [torch.randn(4, 2, 16, 20, 3, generator=draws) for _ in range(4)]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def test_the_distribution_loss_in_float64():
    draws = torch.Generator().manual_seed(0)
    mine, target = (3 * torch.randn(5, 9, generator=draws, dtype=torch.float64) for _ in range(2))
    mine.requires_grad_()
    target.requires_grad_()
    loss = distribution_loss(mine, target)
    shares = np.exp(log_softmax(target.detach().numpy()))
    expected = -(shares * log_softmax(mine.detach().numpy())).sum(axis=1).mean()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert target.grad is None
    predicted = np.exp(log_softmax(mine.detach().numpy()))
    np.testing.assert_allclose(mine.grad, (predicted - shares) / 5, atol=1e-12)


@pytest.mark.parametrize("names", [INTRA, PAIR], ids="+".join)
@pytest.mark.parametrize("kind", ["infonce", "distribution"])
def test_moco_has_one_more_query_for_the_same_keys(names: tuple[str, ...], kind: str):
    """With momentum 1 the keys' networks stay what they are; tau is 0.1."""
    contrast = contrast_of(names, momentum=1.0, extra=kind)
    twin = copy.deepcopy(contrast)
    views = four_views()
    with torch.no_grad():
        queries = {n: [twin.query(n)(view).double().numpy() for view in views] for n in names}
        keys = {n: twin.branches[n].key(views[1]).double().numpy() for n in names}
    expected, hits = 0.0, []
    for query, key in contrast.pairs:
        negatives = twin.queue(key).double().numpy()
        logits = [
            np.concatenate(((q * keys[key]).sum(axis=1, keepdims=True), q @ negatives.T), 1) / 0.1
            for q in queries[query]
        ]
        expected -= log_softmax(logits[0])[:, 0].mean()
        shares = np.exp(log_softmax(logits[0]))
        for extra in (logits[2], logits[3]):
            if kind == "infonce":
                expected -= log_softmax(extra)[:, 0].mean() / 2
            else:
                expected -= (shares * log_softmax(extra)).sum(axis=1).mean() / 2
        hits.append((logits[0][:, 0] > logits[0][:, 1:].max(axis=1)).mean())
    result = contrast(*views)
    assert float(result.loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(result.top1) == pytest.approx(np.mean(hits))
    contrast.after_backward(result)
    for name in names:  # the queue takes the keys of a clip once
        np.testing.assert_allclose(contrast.queue(name)[:4], keys[name], atol=1e-5)
    assert int(contrast.pointer) == 4


def joint(loss: Callable[[Tensor, Tensor], Tensor]) -> Losses:
    def of_pair(twin: Objective, one: Tensor, key: Tensor, a: str, b: str) -> Tensor:
        return loss(twin.query(a)(one), twin.query(b)(key))

    return of_pair


def of_byol(twin: Objective, one: Tensor, key: Tensor, a: str, b: str) -> Tensor:
    predict, target = twin.get_submodule(f"predictors.{a}"), twin.get_submodule(f"targets.{b}")
    there = regression_loss(predict(twin.query(a)(one)), target(key))
    return there + regression_loss(predict(twin.query(a)(key)), target(one))


def of_simsiam(twin: Objective, one: Tensor, key: Tensor, a: str, b: str) -> Tensor:
    predict = twin.get_submodule(f"predictors.{a}")
    there = negative_cosine(predict(twin.query(a)(one)), twin.query(b)(key))
    return (there + negative_cosine(predict(twin.query(a)(key)), twin.query(b)(one))) / 2


PAIRS: dict[str, Losses] = {
    "simclr": joint(lambda a, b: info_nce(nt_xent_logits(a, b, 0.1))),
    "barlow": joint(lambda a, b: 0.024 * barlow_twins(a, b, 0.0051)),
    "vicreg": joint(lambda a, b: vicreg(a, b, 25, 25, 1)),
    "byol": of_byol,
    "simsiam": of_simsiam,
}


@pytest.mark.parametrize("names", [INTRA, PAIR], ids="+".join)
@pytest.mark.parametrize("name", PAIRS)
def test_further_views_add_the_mean_of_their_pairs(name: str, names: tuple[str, ...]):
    """At the start BYOL's targets are its online networks, and following them changes nothing."""
    objective = built(name, names)
    twin = copy.deepcopy(objective)
    query, key, *extra = four_views()
    of_views = [
        sum(PAIRS[name](twin, view, key, a, b) for a, b in objective.pairs)
        for view in (query, *extra)
    ]
    expected = of_views[0] + (of_views[1] + of_views[2]) / 2
    result = objective(query, key, *extra)
    torch.testing.assert_close(result.loss, expected)
    result.loss.backward()
    assert all(p.grad is not None for p in objective.query_parameters())


@pytest.mark.parametrize("name", ["moco", *PAIRS])
def test_without_further_views_nothing_is_added(name: str):
    """The same bits, whatever the weights: embeddings are the query's and the key's alone."""
    query, key, *extra = four_views()
    results = []
    for views in ((query, key), (query, key, *extra)):
        objective = contrast_of(INTRA) if name == "moco" else built(name, INTRA)
        results.append(objective(*views))
    for of_two, of_four in (
        (results[0].queries, results[1].queries),
        (results[0].keys, results[1].keys),
        (results[0].features, results[1].features),
    ):
        assert torch.equal(of_two["stg"], of_four["stg"])
    assert results[0].loss != results[1].loss


def test_all_built_in_objectives_take_further_views():
    assert set(PAIRS) <= set(BUILTIN)
    for name in ("moco", *PAIRS):
        assert ObjectiveConfig(name=name).takes_extra
    assert meet_the_key(2) == [(0, 1.0)]
    assert meet_the_key(3) == [(0, 1.0), (2, 1.0)]
