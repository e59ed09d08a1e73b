"""The encoders behind a cell, and their features. The only module here that imports torch.

It needs the frames of the data set (``--data``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.fusion import Fusion
from ablation.store import Store
from ablation.units import EvaluateUnit
from ablation.work.context import Context
from ablation.work.kinds import EvaluateWork, bank_of
from skelcon.augment import evaluation_view
from skelcon.data import SkeletonDataset
from skelcon.downstream import extract

RATIO = 0.95
"""The central part of a clip that an encoder sees (A.1)."""


def evaluation_with_data(asked: Asked) -> tuple[EvaluateUnit, SkeletonDataset, str]:
    """The first evaluation of the chosen cell, its data, and the label of the cell.

    Raises:
        DoesNotApplyError: without the frames, or without trained encoders.
    """
    data, column, row = asked.frames, asked.chosen_column, asked.chosen_row
    unit = asked.finished(row, column)[0]
    if isinstance(unit, Fusion):
        what = "it is a fusion of several encoders"
        raise DoesNotApplyError(f"'{asked.name(row, column)}': {what}; choose another --column")
    if any(source.pretrained is None for source in unit.encoders) or unit.task.frozen is False:
        what = "its encoders were not pre-trained, or trained further"
        raise DoesNotApplyError(f"'{asked.rows[row]}': {what}; choose another --row")
    return unit, data, asked.name(row, column)


def untrained(unit: EvaluateUnit) -> EvaluateUnit:
    """The same evaluation with random weights and calibrated batch-norm statistics."""
    encoders = (
        replace(source, pretrained=None, random=source.encoders, calibrated=True)
        for source in unit.encoders
    )
    return replace(unit, encoders=tuple(encoders))


def features_of(
    unit: EvaluateUnit, store: Store, dataset: SkeletonDataset, clips: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(n, D) the normalised features of ``clips`` by the encoders of an evaluation."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _, bank = bank_of(unit.side, dataset.path, device)
    context = Context({dataset.fingerprint: dataset.path}, device)
    inputs = EvaluateWork(unit, store, context, dataset, bank).inputs()
    found = extract(
        inputs.encoders,
        torch.from_numpy(clips).to(device),
        lambda some: evaluation_view(inputs.bank, some, RATIO, inputs.frames),
    )
    return torch.nn.functional.normalize(found, dim=1).cpu().numpy()
