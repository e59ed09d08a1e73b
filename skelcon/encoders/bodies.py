"""Absent bodies of a batch are the same input: one is computed, and counts for all of them.

Notation: B clips, M bodies, N = B M bodies of a batch, n of them computed, C channels, P positions
(frames and joints).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Gather = Callable[[Tensor], Tensor]
"""From the rows of this process to the rows of all processes that train together."""


@dataclass(frozen=True)
class CountedBodies:
    """Which bodies of a batch are computed: the present ones, and an absent one of each slot.

    (Absent bodies of different slots differ behind an input norm, which has statistics for each.)

    Attributes:
        rows: (n,) int64 the bodies to compute, among all N.
        place: (N,) int64 where each of the N is among the computed ones.
        weights: (n,) float32 for how many each counts; they sum to N.
    """

    rows: Tensor
    place: Tensor
    weights: Tensor

    @classmethod
    def of(cls, view: Tensor) -> CountedBodies:
        """The bodies of a view (B, M, ...); an absent body is zero everywhere."""
        present = view.flatten(2).ne(0).any(dim=2)
        B, M = present.shape
        every = torch.arange(B * M, device=view.device).view(B, M)
        first = every.gather(0, present.int().argmin(dim=0, keepdim=True))  # absent, if any is
        stands = torch.where(present, every, first)
        own = (stands == every).flatten()
        counts = torch.where(present, 1, (~present).sum(dim=0)).flatten().float()
        # The one number that the host has to wait for is how many there are.
        rows = own.int().argsort(descending=True, stable=True)[: int(own.sum())]
        return cls(rows, (own.cumsum(0) - 1)[stands.flatten()], counts[rows])


def mean_over_bodies(
    network: Callable[[Tensor, Tensor | None], Tensor], view: Tensor, bodies: Tensor
) -> Tensor:
    """The mean over bodies of ``network``'s features; an absent body is computed once.

    Args:
        network: from (n, ...) bodies and for how many each counts, (n,) or None, to (n, F).
        view: (B, M, ...), which shows what is absent.
        bodies: (N, ...) the network's input, of all N.

    Returns:
        (B, F).
    """
    B, M = view.shape[:2]
    if M == 1:
        return network(bodies, None)
    counted = CountedBodies.of(view)
    features = network(bodies[counted.rows], counted.weights)
    return features[counted.place].view(B, M, -1).mean(dim=1)


class WeightedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm in which a row can count for several equal ones."""

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """(n, C, T, V) -> the same shape.

        Args:
            x: the rows.
            weights: (n,) for how many equal rows each counts; without them torch's own batch norm.
        """
        if weights is None or not self.training:
            plain: Tensor = super().forward(x)
            return plain
        return weighted_norm(self, x, weights)


def weighted_norm(
    norm: _BatchNorm, x: Tensor, weights: Tensor, gather: Gather = lambda rows: rows
) -> Tensor:
    """``norm`` in training mode, of rows (n, C, ...) that count ``weights`` (n,) times each.

    Its running statistics follow, as torch's do. The gradients of ``x`` are the sums over the equal
    rows. Less than float32 is computed in float32.

    Args:
        norm: a batch norm; its affine parameters and its buffers are used.
        x: the rows of this process.
        weights: of these rows.
        gather: collects the rows of all processes, over which the statistics are taken.
    """
    normalise: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = _Normalise.apply
    y, mean, variance, count = normalise(x, weights, norm.weight, norm.bias, norm.eps, gather)
    if norm.running_mean is not None:
        _follow(norm, mean, variance * count / (count - 1))
    return y


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    if norm.momentum is None:  # torch's cumulative average
        step = float(1 / norm.num_batches_tracked)
    else:
        step = norm.momentum
    norm.running_mean.lerp_(mean, step)
    norm.running_var.lerp_(variance, step)


class _Normalise(torch.autograd.Function):
    """a (x - mean) / sqrt(variance + eps) + b by the statistics of weighted rows.

    With weights w_i, W their sum times P, s = 1 / sqrt(variance + eps), d = x - mean, g the
    gradient of the result, and sums over all rows and positions of all processes, the gradient of
    x_i is a s (g_i - w_i (sum g) / W - w_i d_i s^2 (sum g d) / W).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weights: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        eps: float,
        gather: Gather,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the result, the mean (C,), the (biased) variance (C,) and W."""
        rows = _rows(x)
        P = rows.shape[2]
        w = weights.to(rows.dtype)[:, None]
        # Of each row, so that what is added up next is small and exact.
        means = rows.sum(dim=2) / P
        spreads = (rows - means[:, :, None]).square_().sum(dim=2)
        count = w.sum() * P
        mean = (w * means).sum(0) * P / count
        spread = (w * (spreads + P * (means - mean).square())).sum(0)
        # Each process's count, mean and squares about its mean; all sum them in the same order.
        each = gather(torch.cat((count[None], mean, spread))[None])
        counts, means, spreads = each[:, :1], each[:, 1 : 1 + len(mean)], each[:, 1 + len(mean) :]
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (spreads + counts * (means - mean).square()).sum(0) / total
        y = nn.functional.batch_norm(x, mean, variance, scale, shift, training=False, eps=eps)
        ctx.save_for_backward(x, w, scale, mean, (variance + eps).rsqrt(), total)
        ctx.gather = gather
        ctx.mark_non_differentiable(mean, variance, total)
        return y, mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, the scale and the shift."""
        x, w, scale, mean, inverse, total = ctx.saved_tensors
        g, d = _rows(gradients[0]), _rows(x) - mean[:, None]
        along = g.sum(dim=(0, 2))
        across = (g * d).sum(dim=(0, 2)) * inverse
        sums = ctx.gather(torch.stack((along, across))[None]).sum(0) / total
        factor = inverse if scale is None else inverse * scale
        result = g * factor[:, None]
        result.addcmul_(d, (w * -(factor * inverse * sums[1]))[:, :, None])
        result.add_((w * -(factor * sums[0]))[:, :, None])
        affine = (None, None) if scale is None else (across, along)
        return result.view(x.shape).to(x.dtype), None, *affine, None, None


def _rows(x: Tensor) -> Tensor:
    """(n, C, ...) -> (n, C, P), in float32 at least."""
    return (x if x.dtype == torch.float64 else x.float()).reshape(*x.shape[:2], -1)
