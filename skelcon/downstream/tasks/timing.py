"""Measures the cost of a task by doing a small part of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from skelcon.downstream.inputs import Inputs
from skelcon.pretrain import EpochMetrics

WARM_UP = 1
"""Epochs before the clock starts: the first allocates."""

CLIPS = 256
"""Clips of a side in a timed evaluation, at most: one pass of the encoders."""


class _Training(Protocol):
    def run_epoch(self) -> EpochMetrics: ...


def median_epoch(training: _Training, epochs: int) -> float:
    """Seconds of an epoch of ``training``: the median of ``epochs``, after one that warms up."""
    seconds = [training.run_epoch().seconds for _ in range(WARM_UP + epochs)]
    return statistics.median(seconds[WARM_UP:])


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that ``work`` takes, including what it starts on the GPU."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def some_clips(clips: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """``count`` of ``clips``, or all if they are fewer, on the same device."""
    return clips[_some(clips, count, rng)]


def _some(clips: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    chosen = rng.choice(len(clips), min(count, len(clips)), replace=False)
    return torch.from_numpy(chosen).to(clips.device)


def part_of(inputs: Inputs) -> Inputs:
    """``inputs`` with at most :data:`CLIPS` clips of each side."""
    rng = np.random.default_rng(0)
    chosen, test = _some(inputs.train, CLIPS, rng), some_clips(inputs.test, CLIPS, rng)
    return replace(inputs, train=inputs.train[chosen], test=test, groups=inputs.groups[chosen])
