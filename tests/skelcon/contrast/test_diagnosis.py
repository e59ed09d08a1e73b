"""The formulas against numpy in double precision, spelt out."""

import math

import numpy as np
import pytest
import torch
from diagnosis_reference import numpy_alignment, numpy_potential, numpy_rank
from hypothesis import given, settings
from hypothesis import strategies as st
from test_momentum import INTRA, PAIR, TRIPLE, built, views

from skelcon.contrast import ContrastResult, EpochDiagnosis, alignment, effective_rank, uniformity


def unit_vectors(count: int, size: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, size, generator=draws), dim=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(2, 30), st.integers(0, 99))
def test_the_formulas_are_those_of_the_papers(count: int, size: int, seed: int) -> None:
    query, key = unit_vectors(count, size, seed), unit_vectors(count, size, seed + 1)
    assert float(alignment(query, key)) == pytest.approx(numpy_alignment(query, key), rel=1e-5)
    expected = math.log(numpy_potential(query))
    assert float(uniformity(query)) == pytest.approx(expected, abs=1e-5)
    features = 3 + key * torch.linspace(0.1, 2, size)  # neither centred nor of one scale
    assert float(effective_rank(features)) == pytest.approx(numpy_rank(features), rel=1e-3)


def test_extreme_embeddings() -> None:
    orthogonal = torch.eye(8)
    assert float(alignment(orthogonal, orthogonal)) == 0
    assert float(alignment(orthogonal, orthogonal.flip(0))) == pytest.approx(2)
    assert float(uniformity(orthogonal)) == pytest.approx(-4)
    assert float(uniformity(orthogonal[:1].repeat(5, 1))) == 0
    assert math.isnan(float(uniformity(orthogonal[:1])))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_rank_counts_directions_and_no_rounding(dtype: torch.dtype) -> None:
    draws = torch.Generator().manual_seed(0)
    constant = torch.rand(200, generator=draws).repeat(64, 1)
    assert float(effective_rank(constant.to(dtype))) == 1
    noise = 1 + 0.2 * torch.finfo(dtype).eps * torch.randn(64, 200, generator=draws)
    assert float(effective_rank((constant * noise).to(dtype))) < 1.5
    assert float(effective_rank(torch.zeros(64, 9, dtype=dtype))) == 1
    line = torch.outer(torch.arange(64.0), torch.ones(200))
    assert float(effective_rank(line.to(dtype))) == pytest.approx(1, abs=0.2)
    # Five directions, each with as much of the clips.
    basis = torch.linalg.qr(torch.randn(200, 5, generator=draws))[0].T
    clips = torch.cat((torch.eye(5), -torch.eye(5))).repeat(6, 1)
    tolerance = 1e-5 if dtype == torch.float32 else 1
    assert float(effective_rank((clips @ basis).to(dtype))) == pytest.approx(5, abs=tolerance)
    # Whichever Gram matrix is the smaller one.
    assert float(effective_rank(clips.to(dtype))) == pytest.approx(5, abs=tolerance)


@pytest.mark.parametrize("names", [INTRA, PAIR, TRIPLE], ids="+".join)
def test_an_epoch_is_the_mean_of_its_steps_and_the_worst_representation(
    names: tuple[str, ...],
) -> None:
    contrast = built(names)
    diagnosis = EpochDiagnosis(contrast.pairs, torch.device("cpu"))
    steps: list[ContrastResult] = []
    for query_view, key_view in views(3):
        steps.append(contrast(query_view, key_view))
        diagnosis.add(steps[-1])
    distances, potentials = [], []
    for step in steps:
        assert set(step.queries) == set(step.keys) == set(step.features) == set(names)
        for name in names:
            assert not step.features[name].requires_grad
            assert not step.queries[name].requires_grad
            head = contrast.branches[name].query[1]
            torch.testing.assert_close(head(step.features[name]), step.queries[name])
        pairs = contrast.pairs
        distances += [numpy_alignment(step.queries[q], step.keys[k]) for q, k in pairs]
        potentials.append([numpy_potential(step.queries[name]) for name in names])
    found = diagnosis.values(lambda rows: rows)
    assert found["alignment"] == pytest.approx(np.mean(distances), rel=1e-5)
    worst = np.log(np.mean(potentials, axis=0)).max()
    assert found["uniformity"] == pytest.approx(worst, abs=1e-5)
    ranks = [numpy_rank(steps[-1].features[name]) for name in names]
    assert found["effective_rank"] == pytest.approx(min(ranks), rel=1e-3)


def test_what_is_no_number_is_none() -> None:
    contrast = built(("seq",))
    diagnosis = EpochDiagnosis(contrast.pairs, torch.device("cpu"))
    nothing = {"alignment": None, "uniformity": None, "effective_rank": None}
    assert diagnosis.values(lambda rows: rows) == nothing
    diagnosis.add(contrast(*views(1, batch=1)[0]))  # one clip makes no pair
    found = diagnosis.values(lambda rows: rows * math.nan)
    assert found == {**nothing, "alignment": found["alignment"]}
    assert found["alignment"] is not None
