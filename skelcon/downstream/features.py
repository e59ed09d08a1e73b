"""Features of clips from frozen encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skelcon.encoders import Encoder
from skelcon.precision import Precision, autocast, computing


@torch.no_grad()
def extract(
    encoders: Sequence[Encoder],
    clips: Tensor,
    view: Callable[[Tensor], Tensor],
    batch: int = 256,
    precision: Precision = "fp32",
) -> Tensor:
    """Features of ``clips`` in the order given, the encoders' features concatenated.

    The encoders run in evaluation mode, and their state does not change: no gradient, no dropout,
    no update of batch-norm statistics.

    Args:
        encoders: frozen encoders on the clips' device.
        clips: (n,) int64.
        view: from (B,) clips to a view (B, M, T, V, C).
        batch: clips of a pass.
        precision: of the encoders.

    Returns:
        (n, sum of feature sizes) float32.

    Raises:
        FloatingPointError: if a feature is not finite.
    """
    modes = [encoder.training for encoder in encoders]
    for encoder in encoders:
        encoder.eval()
    try:
        parts = []
        for some in torch.split(clips, batch):
            seen = view(some)
            with computing(precision, clips.device), autocast(precision, clips.device):
                found = [encoder(seen).float() for encoder in encoders]
            parts.append(torch.cat(found, dim=1))
        features = torch.cat(parts)
        if not features.isfinite().all():
            raise FloatingPointError("an encoder gives features that are not finite")
        return features
    finally:
        for encoder, mode in zip(encoders, modes, strict=True):
            encoder.train(mode)
