"""Distributed pre-training: every rank of a process group trains on its shard of each batch.

A step computes what one process computes on the whole batch: the same order of clips, the same
draws of augmentation and dropout (each rank draws for the whole batch and takes its rows), batch
norm over all rows, one queue of all keys in the order of the batch, and averaged gradients. Only
the order of floating-point sums differs. All ranks hold the same parameters, statistics and queues,
bit by bit, so rank 0 alone writes checkpoints, and a checkpoint can be resumed with any world size.

A registered encoder that looks across a batch by other means than torch's batch norm and dropout
modules sees only the rows of its rank; so does an objective that does not call its ``gather``.
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

from skelcon.contrast import Objective
from skelcon.encoders.bodies import weighted_norm
from skelcon.encoders.hcn import HCN, DistinctBodies
from skelcon.errors import UserError

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
TIMEOUT_SECONDS = 120.0
"""How long a collective waits for the other ranks."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train one model, as one of them sees it, inside :func:`process_group`.

    Attributes:
        rank: which process this is, from 0.
        world_size: how many there are.
    """

    rank: int
    world_size: int

    def shard(self, batch: Tensor) -> Tensor:
        """This rank's rows of what all ranks have: (B, ...) -> (B / world_size, ...)."""
        return batch if self.world_size == 1 else batch.chunk(self.world_size)[self.rank]

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows of all ranks in order, without gradient: (B / world_size, ...) -> (B, ...)."""
        if self.world_size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.world_size)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def gather(self, rows: Tensor) -> Tensor:
        """As :meth:`all_gather`, with gradient."""
        gathered: Callable[[Tensor, ProcessGroup], Tensor] = _Gathered.apply
        return rows if self.world_size == 1 else gathered(rows, self)

    def draw(self, shape: Sequence[int]) -> Tensor:
        """Uniform random numbers (B / world_size, ...): this rank's rows of what all ranks draw."""
        rows, *rest = shape
        return self.shard(torch.rand(rows * self.world_size, *rest))

    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, in one collective."""
        if self.world_size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.world_size
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


class _Gathered(torch.autograd.Function):
    """The rows of all ranks; the gradient of a rank's rows is the sum over the ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: ProcessGroup) -> Tensor:
        """(B / world_size, ...) -> (B, ...)."""
        ctx.group = group
        return group.all_gather(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """(B, ...) -> (B / world_size, ...)."""
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return ctx.group.shard(total), None


SINGLE = ProcessGroup(0, 1)
"""The group of a process that trains by itself."""


def check_world_size(batch: int, world_size: int) -> None:
    """:class:`UserError` if a batch cannot be divided into equal shards."""
    if batch % world_size:
        raise UserError(
            f"pretrain.batch {batch} cannot be divided among {world_size} devices: set it to a "
            f"multiple of {world_size}, or --gpus-per-trial to a divisor of {batch}"
        )


@contextlib.contextmanager
def process_group(
    group: ProcessGroup,
    rendezvous: Path,
    device: torch.device,
    timeout: float = TIMEOUT_SECONDS,
) -> Iterator[None]:
    """Initialise torch's process group, on this machine and over loopback only.

    Args:
        group: the rank and the world size of this process; every rank must call.
        rendezvous: a file that does not exist yet, the same for all ranks.
        device: where this process trains.
        timeout: seconds that a collective waits for a rank that does not take part.
    """
    loopback = next((n for _, n in socket.if_nameindex() if n.startswith("lo")), "lo")
    for library in ("GLOO", "NCCL"):
        os.environ[f"{library}_SOCKET_IFNAME"] = loopback
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=distributed.FileStore(str(rendezvous), group.world_size),
        rank=group.rank,
        world_size=group.world_size,
        timeout=timedelta(seconds=timeout),
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def synchronised(model: nn.Module, group: ProcessGroup) -> nn.Module:
    """Let layers and losses of ``model`` that look across a batch look across all ranks, in place.

    Parameters, buffers and their names stay the same.
    """
    if group.world_size > 1:
        if isinstance(model, Objective):
            model.gather, model.draw = group.gather, group.draw
        _synchronise(model, group, None)
    return model


def _synchronise(module: nn.Module, group: ProcessGroup, distinct: _SyncBodies | None) -> None:
    if isinstance(module, HCN):
        distinct = module.distinct = _SyncBodies(group)
    for name, child in module.named_children():
        if isinstance(child, NORMS):
            setattr(module, name, _SyncNorm(child, group, distinct))
        elif isinstance(child, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            whole = isinstance(child, nn.Dropout)
            setattr(module, name, _SyncDropout(child.p, whole, group, distinct))
        else:
            _synchronise(child, group, distinct)


class _SyncBodies(DistinctBodies):
    """One absent body for all ranks; remembers which rows of the whole batch a rank computes.

    Each rank that has an absent body computes it, as the last row of the whole batch.

    Attributes:
        rows: (n,) the positions of this rank's rows in the whole batch; None if all are computed.
        total: rows of the whole batch; all absent bodies count as one row.
        weights: (n,) the weight of each row; over all ranks they sum to ``total``.
    """

    def __init__(self, group: ProcessGroup) -> None:
        super().__init__()
        self._group = group
        self.rows: Tensor | None = None
        self.weights: Tensor | None = None
        self.total = 0

    def forward(self, present: Tensor) -> tuple[Tensor, Tensor] | None:
        """As :class:`DistinctBodies`, for the rows of this rank."""
        number = present.sum()
        counts = self._group.all_gather(torch.stack((number, len(present) - number))[None])
        each, absent = counts.T.tolist()
        sharing = sum(map(bool, absent))
        if not sharing:
            self.rows = self.weights = None
            return None
        mine, before = each[self._group.rank], sum(each[: self._group.rank])
        which, place = self.shared(present, mine)
        self.total = sum(each) + 1
        self.rows = torch.arange(before, before + len(which), device=present.device)
        self.weights = torch.ones(len(which), dtype=torch.float64, device=present.device)
        self.rows[mine:] = self.total - 1
        self.weights[mine:] = 1 / sharing
        return which, place


class _SyncDropout(nn.Module):
    """Dropout whose mask is drawn for the whole batch, as a single process would draw it."""

    def __init__(
        self, p: float, whole: bool, group: ProcessGroup, distinct: _SyncBodies | None
    ) -> None:
        super().__init__()
        self._p, self._whole, self._group, self._distinct = p, whole, group, distinct

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, ...) -> the same shape; with a mask for each value, or for each channel."""
        if not self.training or self._p == 0:
            return x
        distinct = self._distinct
        if distinct is None or distinct.rows is None:
            mask = self._group.shard(self._drawn(x, len(x) * self._group.world_size))
        else:
            mask = self._drawn(x, distinct.total)[distinct.rows]
        return x * mask

    def _drawn(self, x: Tensor, total: int) -> Tensor:
        """By torch's own functions, as a GPU draws in another way than the CPU."""
        if self._whole:
            return torch.dropout(x.new_ones(total, *x.shape[1:]), self._p, train=True)
        ones = x.new_ones(total, x.shape[1], *[1] * (x.dim() - 2))
        return torch.feature_dropout(ones, self._p, train=True)


class _SyncNorm(_BatchNorm):
    """Batch norm over the rows of all ranks, with the parameters and buffers of ``norm``."""

    def __init__(self, norm: _BatchNorm, group: ProcessGroup, distinct: _SyncBodies | None) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=False)
        self._group, self._distinct = group, distinct
        self.affine, self.track_running_stats = norm.affine, norm.track_running_stats
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.training = norm.training

    def _check_input_dim(self, input: Tensor) -> None:
        """Any (n, C, ...)."""

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """(n, C, ...) -> the same shape; rows count ``weights`` (n,) times each."""
        if not self.training and self.running_mean is not None:
            evaluated: Tensor = super().forward(x)
            return evaluated
        if weights is None and self._distinct is not None:
            weights = self._distinct.weights
        if weights is None:
            weights = x.new_ones(len(x))
        return weighted_norm(self, x, weights, self._group.all_gather)
