"""What a training logs of an epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch: means over its clips, and its speed in clips per second.

    In a pre-training ``top1`` is the contrast's: how often the key of the same clip is the most
    similar; None if the objective ranks nothing. The fields with a default are for pre-trainings
    only, and None where there is no number.

    Attributes:
        lr: the learning rate; if there are several, the highest.
        chance: ``top1`` of random embeddings.
        alignment, uniformity, effective_rank: see :mod:`skelcon.contrast.diagnosis`.
        nn_top1: how often the nearest training clip of another group has the clip's own label;
            the mean over the representations (see ``pretrain.monitor``).
        nn_top1_start: the same before the first step; only in the first epoch.
    """

    epoch: int
    loss: float
    top1: float | None
    lr: float
    samples_per_s: float
    seconds: float
    chance: float | None = None
    alignment: float | None = None
    uniformity: float | None = None
    effective_rank: float | None = None
    nn_top1: float | None = None
    nn_top1_start: float | None = None
