import numpy as np
import pytest
import torch
from torch.nn import functional

from skelcon.contrast import contrast_logits, info_nce, pairings

TAU = 0.07


def unit(rows: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, 8, generator=draws), dim=1)


def test_eq_5_in_float64():
    query, key, queue = unit(5, 0), unit(5, 1), unit(11, 2)
    q, k, n = (values.double().numpy() for values in (query, key, queue))
    losses = []
    for i in range(5):
        positive = np.exp(q[i] @ k[i] / TAU)
        negatives = sum(np.exp(q[i] @ negative / TAU) for negative in n)
        losses.append(-np.log(positive / (positive + negatives)))
    loss = info_nce(contrast_logits(query, key, queue, TAU))
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_positive_is_column_0_and_the_queue_follows_in_order():
    query, key, queue = unit(5, 0), unit(5, 1), unit(11, 2)
    logits = contrast_logits(query, key, queue, TAU)
    assert logits.shape == (5, 12)
    for i in range(5):
        assert float(logits[i, 0]) == pytest.approx(float(query[i] @ key[i]) / TAU, abs=1e-5)
        for j in range(11):
            expected = float(query[i] @ queue[j]) / TAU
            assert float(logits[i, 1 + j]) == pytest.approx(expected, abs=1e-5)


def test_the_gradient_pulls_the_positive_and_pushes_the_negatives_by_their_share():
    logits = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    info_nce(logits).backward()
    share = np.exp(logits.detach().numpy())
    share /= share.sum(axis=1, keepdims=True)
    share[:, 0] -= 1
    np.testing.assert_allclose(logits.grad, share / 3, atol=1e-12)


def test_one_representation_meets_itself():
    assert pairings(["seq"]) == [("seq", "seq")]


def test_two_representations_meet_each_other_only():
    assert sorted(pairings(["img", "seq"])) == [("img", "seq"), ("seq", "img")]


def test_three_representations_make_six_ordered_pairs():
    assert sorted(pairings(["img", "stg", "seq"])) == [
        ("img", "seq"),
        ("img", "stg"),
        ("seq", "img"),
        ("seq", "stg"),
        ("stg", "img"),
        ("stg", "seq"),
    ]
