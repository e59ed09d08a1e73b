"""Batch-norm statistics of an encoder that was not trained.

A new network has running means of 0 and variances of 1, whatever the scale of its layers' inputs.
To compare random with trained weights and nothing else, the statistics of random weights are
estimated on clips, as a training would have done.
"""

from __future__ import annotations

import contextlib
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skelcon.augment import CropConfig, training_view
from skelcon.data import ClipBank
from skelcon.encoders import Encoder
from skelcon.precision import computing
from skelcon.seeding import generator

CLIPS = 1024
"""How many clips are used at most; for each batch norm they pass through the encoder up to it."""
CROP = CropConfig(l_min=0.5)
"""As the training crops of a linear evaluation (A.1)."""
BATCH = 256


@torch.no_grad()
def calibrate(encoder: Encoder, bank: ClipBank, clips: Tensor, seed: int) -> None:
    """Set the batch-norm statistics of ``encoder`` to the statistics of one random crop a clip.

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
    parts = torch.split(chosen, BATCH)
    views = [training_view(bank, some, CROP, encoder.frames, draws) for some in parts]
    mode = encoder.training
    encoder.eval()
    try:
        with computing("fp32", bank.device):
            calls = [_calls(encoder, view) for view in views]
            for norm in calls[0]:
                moments = _Moments(norm)
                for view, calls_of_view in zip(views, calls, strict=True):
                    moments.add(encoder, view, calls_of_view[norm])
                moments.set()
    finally:
        encoder.train(mode)


def _calls(encoder: Encoder, view: Tensor) -> Counter[_BatchNorm]:
    """How often a view passes each batch norm with running statistics, in the order of passing."""
    calls: Counter[_BatchNorm] = Counter()
    norms = [each for each in encoder.modules() if isinstance(each, _BatchNorm)]
    with contextlib.ExitStack() as stack:
        for norm in norms:
            if norm.running_mean is not None:
                hook = norm.register_forward_pre_hook(lambda norm, _: calls.update([norm]))
                stack.callback(hook.remove)
        if norms:
            encoder(view)
    return calls


class _LastInputError(Exception):
    """A batch norm has been given the last of its inputs: what follows is not needed."""


class _Moments:
    """Number, sum and sum of squares of each channel of a batch norm's inputs, in float64."""

    def __init__(self, norm: _BatchNorm) -> None:
        assert norm.running_mean is not None
        zero = torch.zeros((), dtype=torch.float64, device=norm.running_mean.device)
        self._norm, self._count, self._total, self._squares = norm, zero, zero, zero

    def add(self, encoder: Encoder, view: Tensor, calls: int) -> None:
        """Add a view, which passes the norm ``calls`` times; the encoder is left after the last."""
        left = calls

        def add(norm: nn.Module, inputs: tuple[Tensor | None, ...]) -> None:
            nonlocal left
            x, weights = (*inputs, None)[:2]
            assert x is not None
            self._add(x, weights)
            left -= 1
            if not left:
                raise _LastInputError

        hook = self._norm.register_forward_pre_hook(add)
        try:
            with contextlib.suppress(_LastInputError):
                encoder(view)
        finally:
            hook.remove()

    def _add(self, x: Tensor, weights: Tensor | None) -> None:
        values = x.double().movedim(1, 0).flatten(1)  # (channels, values)
        # A row may stand for several (`skelcon.encoders.bodies`).
        counts = x.new_ones(len(x)) if weights is None else weights
        each = counts.double().repeat_interleave(values.shape[1] // len(x))
        self._count = self._count + each.sum()
        self._total = self._total + (each * values).sum(dim=1)
        self._squares = self._squares + (each * values.square()).sum(dim=1)

    def set(self) -> None:
        """Make the mean and the unbiased variance of all that was added the norm's statistics."""
        norm, count, mean = self._norm, self._count, self._total / self._count
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_((self._squares - count * mean.square()) / (count - 1).clamp(min=1))
