"""Parts of masked prediction: the tokens of a body, which of them are hidden, and their target.

After MAMP (Mao et al. 2023, "Masked Motion Predictors ..."), and its authors' public code where the
paper does not say how hidden tokens are chosen.

Notation: N bodies, T frames, V joints, C coordinates, S = T / segment segments, L = S V tokens,
P = segment C values of a token. Tokens are in the order of the segments, in each of the joints.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the variance of a token: one that does not move has a target of zero."""


def motion(bodies: Tensor) -> Tensor:
    """The next frame minus each frame (N, T, V, C); zero for the last frame."""
    return bodies.diff(dim=1, append=bodies[:, -1:])


def tokens_of(values: Tensor, segment: int) -> Tensor:
    """The values of each token: (N, T, V, C) -> (N, L, P)."""
    parts = values.unflatten(1, (values.shape[1] // segment, segment)).transpose(2, 3)
    tokens: Tensor = parts.flatten(3).flatten(1, 2)
    return tokens


def frames_of(hidden: Tensor, segment: int, joints: int) -> Tensor:
    """Whether a joint is hidden in a frame: (N, L) -> (N, T, V)."""
    segments = hidden.unflatten(1, (hidden.shape[1] // joints, joints))
    frames: Tensor = segments.repeat_interleave(segment, dim=1)
    return frames


def motion_target(bodies: Tensor, segment: int) -> Tensor:
    """The :func:`motion` in each token, minus its mean, divided by its deviation: (N, L, P)."""
    values = tokens_of(motion(bodies), segment)
    centred = values - values.mean(dim=2, keepdim=True)
    variance = centred.square().sum(dim=2, keepdim=True) / (values.shape[2] - 1)
    return centred / (variance + EPSILON).sqrt()


def motion_odds(bodies: Tensor, segment: int, temperature: float) -> Tensor:
    """Log-probabilities (N, L) with which tokens are hidden; larger for tokens that move more.

    A softmax over the intensities of a body's tokens, the largest scaled to 1 / temperature.
    An intensity is the mean absolute difference from the joint's previous token; the first token
    has the intensity of the second.

    Args:
        bodies: (N, T, V, C).
        segment: frames of a token.
        temperature: the lower, the more motion counts; tau in the paper.
    """
    N, T, V, _ = bodies.shape
    values = tokens_of(bodies, segment).unflatten(1, (T // segment, V))
    steps = values.diff(dim=1).abs().mean(dim=3)  # (N, S - 1, V)
    first = steps[:, :1] if segment < T else steps.new_zeros(N, 1, V)
    flat = torch.cat((first, steps), dim=1).flatten(1)
    largest = flat.amax(dim=1, keepdim=True) * temperature
    return (flat / largest.clamp(min=torch.finfo(flat.dtype).tiny)).log_softmax(dim=1)


def hide(odds: Tensor, noise: Tensor, number: int) -> Tensor:
    """Draw ``number`` tokens of each body without replacement, by the Gumbel-max trick.

    Args:
        odds: (N, L) log-probabilities.
        noise: (N, L) uniform random numbers in [0, 1).
        number: how many tokens are hidden.

    Returns:
        (N, L) bool, true for a hidden token.
    """
    ranked = (odds - (-noise.log()).log()).argsort(dim=1, descending=True, stable=True)
    hidden = torch.zeros_like(ranked, dtype=torch.bool)
    return hidden.scatter(1, ranked[:, :number], value=True)


def masked_error(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """The mean squared error over the hidden tokens of each body: (N,).

    Args:
        predicted, target: (N, L, P).
        hidden: (N, L), the same number in each row.
    """
    errors = (predicted - target).square().mean(dim=2) * hidden
    return errors.sum(dim=1) / hidden.sum(dim=1)
