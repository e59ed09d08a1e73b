"""Masked motion prediction, part by part, against numpy in double precision, a token at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelcon.contrast import ContrastConfig, Objective, ObjectiveConfig
from skelcon.contrast.masking import frames_of, hide, motion_odds, motion_target
from skelcon.data import KINECT_V1
from skelcon.encoders import BiGRUConfig, Encoder, EncodersConfig
from skelcon.errors import UserError

Array = NDArray[np.float64]
N, T, V, SEGMENT = 3, 12, 5, 4
L = T // SEGMENT * V
TOKENS = {"encoder": "transformer", "options": {"dim": 8, "depth": 1, "heads": 2}}
CONFIG = EncodersConfig.model_validate(
    {"custom": {"stg": TOKENS}, "seq": BiGRUConfig(hidden=4, layers=1), "frames": 16}
)


def bodies(seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(N, T, V, 3, generator=draws, dtype=torch.float64).cumsum(dim=1)


def token(values: Array, at: int, joints: int = V) -> Array:
    """The values of a token of a body (T, V, C)."""
    s, v = divmod(at, joints)
    return np.concatenate([values[s * SEGMENT + f, v] for f in range(SEGMENT)])


def target_by_hand(body: Array, at: int) -> Array:
    moved = np.zeros_like(body)
    for t in range(len(body) - 1):
        moved[t] = body[t + 1] - body[t]
    values = token(moved, at, body.shape[1])
    return (values - values.mean()) / math.sqrt(values.var(ddof=1) + 1e-6)


def odds_by_hand(body: Array, temperature: float) -> Array:
    joints, tokens = body.shape[1], len(body) // SEGMENT * body.shape[1]
    found = np.zeros(tokens)
    for at in range(tokens):
        later = at if at >= joints else at + joints
        here, before = token(body, later, joints), token(body, later - joints, joints)
        found[at] = np.abs(here - before).mean()
    raised = np.exp(found / (found.max() * temperature))
    return np.log(raised / raised.sum())


def test_the_target_is_the_normalised_motion_of_each_token() -> None:
    found = motion_target(bodies(), SEGMENT).numpy()
    assert found.shape == (N, L, 3 * SEGMENT)
    for n, body in enumerate(bodies().numpy()):
        for at in range(L):
            np.testing.assert_allclose(found[n, at], target_by_hand(body, at), atol=1e-12)
    assert not motion_target(torch.ones(1, T, V, 3), SEGMENT).any()


@pytest.mark.parametrize("temperature", [0.1, 0.8])
def test_what_moves_more_is_hidden_more_often(temperature: float) -> None:
    found = motion_odds(bodies(), SEGMENT, temperature).numpy()
    for n, body in enumerate(bodies().numpy()):
        np.testing.assert_allclose(found[n], odds_by_hand(body, temperature), atol=1e-12)


@pytest.mark.parametrize("frames", [SEGMENT, T])
def test_a_body_that_rests_has_even_odds(frames: int) -> None:
    tokens = frames // SEGMENT * V
    odds = motion_odds(torch.ones(1, frames, V, 3), SEGMENT, 0.8)
    torch.testing.assert_close(odds, torch.full((1, tokens), -math.log(tokens)))


def test_tokens_are_hidden_as_often_as_the_odds_say() -> None:
    odds = torch.tensor([0.1, 0.6, 0.3]).log()
    noise = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0))
    noise[:5, 1] = 0  # its logarithm is not finite
    hidden = hide(odds.expand_as(noise), noise, 1)
    assert hidden.sum(dim=1).eq(1).all()
    torch.testing.assert_close(hidden.float().mean(dim=0), odds.exp(), atol=0.01, rtol=0)
    # Two of three: the one that is left is not among the first two draws.
    kept = 1 - hide(odds.expand_as(noise), noise, 2).float().mean(dim=0)
    p = odds.exp().tolist()
    chances = [
        sum(p[a] * p[b] / (1 - p[a]) for a, b in ((i, j), (j, i)))
        for i, j in ((1, 2), (0, 2), (0, 1))
    ]
    torch.testing.assert_close(kept, torch.tensor(chances), atol=0.01, rtol=0)


def test_frames_of_hidden_tokens() -> None:
    hidden = torch.zeros(1, L, dtype=torch.bool)
    hidden[0, V + 2] = True  # joint 2 in the second segment
    found = frames_of(hidden, SEGMENT, V).nonzero().tolist()
    assert found == [[0, t, 2] for t in range(SEGMENT, 2 * SEGMENT)]


# -- the objective -----------------------------------------------------------------------------


def built(representation: str, bodies: int = 2, **options: object) -> Objective:
    torch.manual_seed(0)
    encoder = Encoder(representation, CONFIG, KINECT_V1, bodies)
    chosen = ObjectiveConfig(name="masked", options={"depth": 1, "ratio": 0.7, **options})
    made = chosen.build(ContrastConfig(), {representation: encoder}, torch.Generator())
    return made.double().train()


def view(seed: int, present: int = 2) -> Tensor:
    """Of three clips; the second body of the first is absent."""
    draws = torch.Generator().manual_seed(seed)
    shape = (3, present, 16, KINECT_V1.num_joints, 3)
    found = torch.randn(shape, generator=draws, dtype=torch.float64)
    found[0, 1:] = 0
    return found


def of_a_view(
    objective: Objective, seen: Tensor, noise: Array, representation: str, ratio: float
) -> float:
    """The error by hand, given the encoder and what predicts."""
    joints = seen.shape[3]
    tokens = 4 * joints
    number = round(ratio * tokens)
    predictor, encoder = objective.predictors[representation], objective.encoder(representation)
    errors, blank, places = [], seen.clone(), []
    for b, m in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1)):
        body = seen[b, m].numpy()
        score = odds_by_hand(body, 0.8) - np.log(-np.log(noise[b, m]))
        hidden = sorted(np.argsort(-score)[:number])
        kept = [at for at in range(tokens) if at not in hidden]
        places.append((b, m, hidden, kept, body))
        for at in hidden:
            s, v = divmod(at, joints)
            blank[b, m, 4 * s : 4 * s + 4, v] = 0
    for b, m, hidden, kept, body in places:
        if encoder.segment:
            at_kept = torch.tensor([kept])
            predicted = predictor(encoder.tokens(seen[b, m][None, None], at_kept), at_kept)[0]
        else:
            predicted = predictor(encoder(blank)).view(3, 2, tokens, 12)[b, m]
        aims = np.stack([target_by_hand(body, at) for at in hidden])
        errors.append(np.square(predicted[hidden].detach().numpy() - aims).mean())
    return float(np.mean(errors))


@pytest.mark.parametrize("representation", ["stg", "seq"])
@pytest.mark.parametrize("ratio", [0.7, 0.9])
def test_the_loss_is_the_error_of_what_is_hidden_in_both_views(
    representation: str, ratio: float
) -> None:
    objective = built(representation, ratio=ratio)
    torch.manual_seed(3)
    noise = [torch.rand(3, 2, 4 * KINECT_V1.num_joints).double().numpy() for _ in range(2)]
    parts = [(objective, view(i), noise[i], representation, ratio) for i in range(2)]
    expected = [of_a_view(*each) for each in parts]
    torch.manual_seed(3)
    result = objective(view(0), view(1))
    assert float(result.loss.detach()) == pytest.approx(np.mean(expected), rel=1e-9)
    assert result.top1 is None
    assert objective.pairs == [(representation, representation)]


@pytest.mark.parametrize("representation", ["stg", "seq"])
@pytest.mark.parametrize("ratio", [0.7, 0.9])
def test_what_is_hidden_is_not_seen(representation: str, ratio: float) -> None:
    """With a choice at random the same tokens are hidden, whatever they hold."""
    objective = built(representation, choice="random", ratio=ratio)
    seen, tokens = view(0), 4 * KINECT_V1.num_joints
    noise = torch.rand(3, 2, tokens)
    objective.draw = lambda shape: noise
    even = torch.zeros(6, tokens)
    hidden = frames_of(hide(even, noise.flatten(0, 1), round(ratio * tokens)), 4, seen.shape[3])
    present = seen.flatten(2).any(dim=2)[..., None, None, None]
    there = hidden.view(3, 2, 16, -1, 1) & present
    other = torch.where(there, seen * 3 + 1, seen)
    first, second = objective(seen, other), objective(torch.where(there, seen, seen + 1e-3), seen)
    torch.testing.assert_close(first.queries[representation], first.keys[representation])
    assert (second.queries[representation] - second.keys[representation]).abs().max() > 1e-6
    assert float(first.loss.detach()) != float(second.loss.detach())


def test_every_part_has_a_gradient_and_an_empty_view_none() -> None:
    objective = built("stg")
    objective(view(0), view(1)).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in objective.query_parameters())
    empty = torch.zeros_like(view(0))
    assert float(objective(empty, empty).loss.detach()) == 0


def test_a_segment_that_does_not_divide_the_frames_is_an_error() -> None:
    with pytest.raises(UserError, match="frames 16 is not a multiple of the 5 frames of a token"):
        built("seq", segment=5)
    assert built("stg", segment=5).predictors["stg"].out.out_features == 12  # it has its own
