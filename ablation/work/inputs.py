"""The inputs of an evaluation, from the unit, its data set and its encoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ablation.units import EvaluateUnit
from skelcon.data import ClipBank, SkeletonDataset, groups_of
from skelcon.downstream.tasks import Inputs
from skelcon.encoders import Encoder


def inputs_of(
    unit: EvaluateUnit, dataset: SkeletonDataset, bank: ClipBank, encoders: Sequence[Encoder]
) -> Inputs:
    """The clips of both sides of ``unit``, for ``encoders``, on the device of ``bank``.

    Raises:
        ValueError: if the encoders differ in the frames of their views, or in their orientation.
    """
    side = unit.side
    clips, tested = (side.clips(dataset, part) for part in (side.train, unit.test))
    train, test, groups = (
        torch.from_numpy(each).to(bank.device)
        for each in (clips, tested, groups_of(dataset, side.protocol, clips))
    )
    frames = {encoder.frames for encoder in encoders}
    if len(frames) > 1:
        raise ValueError(f"encoders of views of {sorted(frames)} frames cannot be combined")
    classes, seed = dataset.num_classes, side.seed
    return Inputs(encoders, bank, train, test, classes, frames.pop(), seed, groups)
