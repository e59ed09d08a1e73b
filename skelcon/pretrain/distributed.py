"""One pre-training in several processes, each with its share of every batch.

The step is that of one process on the whole batch: the same order of clips, the same draws of
augmentation and dropout (made for the whole batch in each process, of which each takes its rows),
batch norm over all rows, one queue of all keys in the order of the batch, and gradients that are
averaged. Only the order of floating-point sums differs. All processes hold the same parameters,
statistics and queues, to the bit, so that one of them can write what all go on from, and a
checkpoint does not tell how many made it.

What a registered encoder does across a batch by other means than torch's batch norm and dropout
modules is not divided: it then sees the rows of its process alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skelcon.encoders.hcn import HCN, DistinctBodies
from skelcon.errors import UserError

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
ANSWER_SECONDS = 120.0
"""How long a process waits for what another one is to contribute to a step."""


@dataclass(frozen=True)
class Team:
    """The processes that train one model, seen from one of them; use within :func:`joined`."""

    rank: int
    size: int

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of what all have: (B, ...) -> (B / size, ...)."""
        return batch if self.size == 1 else batch.chunk(self.size)[self.rank]

    def gather(self, rows: Tensor) -> Tensor:
        """All processes' rows in their order, without a gradient: (B / size, ...) -> (B, ...)."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


ALONE = Team(0, 1)
"""The team of a process that trains by itself."""


def check_divides(batch: int, size: int) -> None:
    """:class:`UserError` if ``size`` processes cannot have equal shares of a batch."""
    if batch % size:
        raise UserError(
            f"pretrain.batch {batch} cannot be divided among {size} devices: give a multiple of "
            f"{size}, or --gpus-per-trial a divisor of {batch}"
        )


@contextlib.contextmanager
def joined(
    team: Team, meeting: Path, device: torch.device, seconds: float = ANSWER_SECONDS
) -> Iterator[None]:
    """Be connected to the others of ``team``, on this machine and over loopback only.

    Args:
        team: which process this is, of how many; all must come.
        meeting: a file that does not exist yet, the same for all.
        device: where this process trains.
        seconds: after which a missing answer is an error of an exchange.
    """
    loopback = next((n for _, n in socket.if_nameindex() if n.startswith("lo")), "lo")
    for library in ("GLOO", "NCCL"):
        os.environ[f"{library}_SOCKET_IFNAME"] = loopback
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=distributed.FileStore(str(meeting), team.size),
        rank=team.rank,
        world_size=team.size,
        timeout=timedelta(seconds=seconds),
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def divided(model: nn.Module, team: Team) -> nn.Module:
    """Let what looks across a batch in ``model`` look across all of ``team``'s; in place.

    Parameters, buffers and their names stay what they are.
    """
    if team.size > 1:
        _divide(model, team, None)
    return model


def _divide(module: nn.Module, team: Team, distinct: _SharedDistinct | None) -> None:
    if isinstance(module, HCN):
        distinct = module.distinct = _SharedDistinct(team)
    for name, child in module.named_children():
        if isinstance(child, NORMS):
            setattr(module, name, _SharedNorm(child, team, distinct))
        elif isinstance(child, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            whole = isinstance(child, nn.Dropout)
            setattr(module, name, _SharedDropout(child.p, whole, team, distinct))
        else:
            _divide(child, team, distinct)


class _SharedDistinct(DistinctBodies):
    """One absent body for all processes; remembers where the rows that are computed belong.

    Each process that has an absent body computes it, as the last row of the whole batch.

    Attributes:
        rows: (n,) where this process's rows stand in the whole batch; None if all are computed.
        total: rows of the whole batch, those of absent bodies counted once.
        weights: (n,) what each row counts for; they sum to ``total`` over the processes.
    """

    def __init__(self, team: Team) -> None:
        super().__init__()
        self._team = team
        self.rows: Tensor | None = None
        self.weights: Tensor | None = None
        self.total = 0

    def forward(self, present: Tensor) -> tuple[Tensor, Tensor] | None:
        """As :class:`DistinctBodies`, for the rows of this process."""
        number = present.sum()
        counts = self._team.gather(torch.stack((number, len(present) - number))[None])
        sharing = int(counts[:, 1].count_nonzero())
        if not sharing:
            self.rows = self.weights = None
            return None
        which, place = self.shared(present)
        mine, before = int(number), int(counts[: self._team.rank, 0].sum())
        self.total = int(counts[:, 0].sum()) + 1
        self.rows = torch.arange(before, before + len(which), device=present.device)
        self.weights = torch.ones(len(which), dtype=torch.float64, device=present.device)
        self.rows[mine:] = self.total - 1
        self.weights[mine:] = 1 / sharing
        return which, place


class _SharedDropout(nn.Module):
    """Dropout whose mask is drawn for the whole batch, as one process would draw it."""

    def __init__(self, p: float, whole: bool, team: Team, distinct: _SharedDistinct | None) -> None:
        super().__init__()
        self._p, self._whole, self._team, self._distinct = p, whole, team, distinct

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, ...) -> the same shape; with a mask for each value, or for each channel."""
        if not self.training or self._p == 0:
            return x
        distinct = self._distinct
        if distinct is None or distinct.rows is None:
            mask = self._team.share(self._drawn(x, len(x) * self._team.size))
        else:
            mask = self._drawn(x, distinct.total)[distinct.rows]
        return x * mask

    def _drawn(self, x: Tensor, total: int) -> Tensor:
        """By torch's own functions: a GPU has other ways to draw than the CPU."""
        if self._whole:
            return torch.dropout(x.new_ones(total, *x.shape[1:]), self._p, train=True)
        ones = x.new_ones(total, x.shape[1], *[1] * (x.dim() - 2))
        return torch.feature_dropout(ones, self._p, train=True)


class _SharedNorm(_BatchNorm):
    """Batch norm over the rows of all processes, with the parameters and buffers of ``norm``."""

    def __init__(self, norm: _BatchNorm, team: Team, distinct: _SharedDistinct | None) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=False)
        self._team, self._distinct = team, distinct
        self.affine, self.track_running_stats = norm.affine, norm.track_running_stats
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.training = norm.training

    def _check_input_dim(self, input: Tensor) -> None:
        """Any (n, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, ...) -> the same shape."""
        if not self.training and self.running_mean is not None:
            evaluated: Tensor = super().forward(x)
            return evaluated
        weights = None if self._distinct is None else self._distinct.weights
        normalise: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = _Normalise.apply
        y, mean, variance, count = normalise(x, weights, self.eps, self._team)
        if self.affine:
            shape = (1, -1, *[1] * (x.dim() - 2))
            y = y * self.weight.view(shape) + self.bias.view(shape)
        if self.training and self.running_mean is not None:
            self._follow(mean, variance * count / (count - 1))
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        if self.momentum is None:  # torch's cumulative average
            step = float(1 / self.num_batches_tracked)
        else:
            step = self.momentum
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance, step)


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) by the statistics of all processes' rows.

    With weights w_i of the rows, W their sum times the positions of a row, g the gradient of the
    result y, and sums over all rows and positions of all processes, the gradient of x_i is
    (g_i - w_i (sum g) / W - w_i y_i (sum g y) / W) / sqrt(variance + eps).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor | None, eps: float, team: Team
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns y, the mean, the (biased) variance and W; float32 where x has fewer bits."""
        x = _precise(x)
        shape = (1, -1, *[1] * (x.dim() - 2))
        axes = [0, *range(2, x.dim())]
        positions = x[0, 0].numel()
        if weights is None:
            w = x.new_ones(())
            count = x.new_tensor(float(len(x) * positions))
        else:
            w = weights.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
            count = w.sum() * positions
        mean = (w * x).sum(axes) / count
        spread = (w * (x - mean.view(shape)).square()).sum(axes)
        # Each process's count, mean and squares about its mean; summed in one order by all.
        each = team.gather(torch.cat((count[None], mean, spread))[None])
        counts, means, spreads = each[:, :1], each[:, 1 : 1 + len(mean)], each[:, 1 + len(mean) :]
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (spreads + counts * (means - mean).square()).sum(0) / total
        scale = (variance + eps).rsqrt()
        y = (x - mean.view(shape)) * scale.view(shape)
        ctx.save_for_backward(y, scale, w, total)
        ctx.team = team
        ctx.mark_non_differentiable(mean, variance, total)
        return y, mean, variance, total

    @staticmethod
    def backward(ctx: Any, g: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x."""
        y, scale, w, total = ctx.saved_tensors
        shape = (1, -1, *[1] * (y.dim() - 2))
        axes = [0, *range(2, y.dim())]
        g = _precise(g)
        local = torch.stack((g.sum(axes), (g * y).sum(axes)))
        along, across = ctx.team.gather(local[None]).sum(0) / total
        inner = g - w * (along.view(shape) + y * across.view(shape))
        return inner * scale.view(shape), None, None, None


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
