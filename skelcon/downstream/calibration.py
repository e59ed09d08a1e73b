"""Batch-norm statistics of an encoder that was not trained.

A new network has running means of 0 and variances of 1, whatever the scale of its layers' inputs.
To compare random with trained weights and nothing else, the statistics of random weights are
estimated on clips, as a training would have done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skelcon.augment import CropConfig, training_view
from skelcon.data import ClipBank
from skelcon.encoders import Encoder
from skelcon.precision import computing
from skelcon.seeding import generator

CLIPS = 1024
"""How many clips are used at most; they pass through the encoder once for each batch norm."""
CROP = CropConfig(l_min=0.5)
"""As the training crops of a linear evaluation (A.1)."""
BATCH = 256


@torch.no_grad()
def calibrate(encoder: Encoder, bank: ClipBank, clips: Tensor, seed: int) -> None:
    """Set the batch-norm statistics of ``encoder`` to those of one random crop of each clip.

    Layer by layer; a layer is in evaluation mode while the layers behind it are estimated.
    Afterwards the inputs of every batch norm have, over all crops and in evaluation mode, exactly
    its running mean and (unbiased) variance.

    Args:
        encoder: on the bank's device; its mode does not change, nor an encoder without batch norm.
        bank: the clips.
        clips: (n,) int64, of the training side; if more than :data:`CLIPS`, a random part is used.
        seed: of the crops and the random part.
    """
    draws = generator(seed, "calibration")
    order = torch.randperm(len(clips), generator=draws)[:CLIPS]
    chosen = clips[order.to(clips.device)]
    start = draws.get_state()

    def views() -> Iterator[Tensor]:
        draws.set_state(start)  # each layer sees the same crops
        for some in torch.split(chosen, BATCH):
            yield training_view(bank, some, CROP, encoder.frames, draws)

    mode = encoder.training
    encoder.eval()
    try:
        with computing("fp32", bank.device):
            for norm in _norms(encoder, next(views())):
                with _inputs_of(norm) as moments:
                    for view in views():
                        encoder(view)
                _set(norm, *moments)
    finally:
        encoder.train(mode)


def _set(norm: _BatchNorm, count: Tensor, total: Tensor, squares: Tensor) -> None:
    mean = total / count
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_((squares - count * mean.square()) / (count - 1).clamp(min=1))


def _norms(encoder: Encoder, view: Tensor) -> list[_BatchNorm]:
    """The batch norms with running statistics, in the order in which a view passes them."""
    order: dict[_BatchNorm, None] = {}
    norms = [each for each in encoder.modules() if isinstance(each, _BatchNorm)]
    with contextlib.ExitStack() as stack:
        for norm in norms:
            if norm.running_mean is not None:
                hook = norm.register_forward_pre_hook(lambda norm, _: order.setdefault(norm))
                stack.callback(hook.remove)
        if norms:
            encoder(view)
    return list(order)


@contextlib.contextmanager
def _inputs_of(norm: _BatchNorm) -> Iterator[list[Tensor]]:
    """Number, sum and sum of squares of each channel of the inputs of ``norm``, in float64."""
    assert norm.running_mean is not None
    zero = torch.zeros((), dtype=torch.float64, device=norm.running_mean.device)
    moments = [zero, zero, zero]

    def add(norm: nn.Module, inputs: tuple[Tensor | None, ...]) -> None:
        x, weights = (*inputs, None)[:2]
        assert x is not None
        values = x.double().movedim(1, 0).flatten(1)  # (channels, values)
        # A row may stand for several (`skelcon.encoders.bodies`).
        counts = x.new_ones(len(x)) if weights is None else weights
        each = counts.double().repeat_interleave(values.shape[1] // len(x))
        moments[0] = moments[0] + each.sum()
        moments[1] = moments[1] + (each * values).sum(dim=1)
        moments[2] = moments[2] + (each * values.square()).sum(dim=1)

    hook = norm.register_forward_pre_hook(add)
    try:
        yield moments
    finally:
        hook.remove()
