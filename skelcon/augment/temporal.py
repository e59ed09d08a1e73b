"""Temporal crop-resize (eq. 3): the start and the length of a crop."""

from __future__ import annotations

import torch
from torch import Tensor

from skelcon.augment.config import CropConfig
from skelcon.augment.spatial import acting


def random_crop(
    lengths: Tensor, config: CropConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw a crop for each clip: a ratio uniform in [l_min, 1], then a start that fits.

    Args:
        lengths: (B,) int64 frames of each clip.
        config: ``l_min``, and the floor ``min_frames`` (1 frame by default; the authors' code
            never crops below 64 frames); the others, with 1 - ``p``, stay whole.
        generator: a CPU generator.

    Returns:
        start and length, each (B,) int64, with start + length <= lengths.
    """
    drawn = torch.rand(2, len(lengths), generator=generator)
    ratio, place = drawn.to(lengths.device, non_blocking=True)
    ratio = config.l_min + (1 - config.l_min) * ratio
    length = (lengths * ratio).long().clamp(min=config.min_frames)
    length = torch.minimum(length, lengths)
    if config.p < 1:
        acts = acting(config.p, len(lengths), generator).to(lengths.device, non_blocking=True)
        length = torch.where(acts, length, lengths)
    start = (place * (lengths - length + 1)).long()
    return torch.minimum(start, lengths - length), length


def centre_crop(lengths: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """The central ``ratio`` of each clip: start and length, each (B,) int64.

    As in the authors' code the margin (1 - ratio) / 2 is rounded down at both ends.
    """
    start = ((1 - ratio) * lengths.double() / 2).long()
    return start, lengths - 2 * start
