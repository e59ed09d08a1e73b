"""The accuracy of a nearest neighbour among the training clips, measured during training."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from skelcon.augment import evaluation_view
from skelcon.data import ClipBank
from skelcon.encoders import Encoder

CENTRAL = 0.95
"""The part of a clip that is seen, as in an evaluation (A.1)."""
CHUNK = 256
"""Clips of a pass, at most."""


@torch.no_grad()
def accuracy_across_groups(features: Tensor, labels: Tensor, groups: Tensor) -> float:
    """How often the nearest clip of another group, by cosine, has the clip's own label.

    Args:
        features: (n, F).
        labels, groups: (n,) int64; two groups at least.
    """
    unit = functional.normalize(features, dim=1)
    hits = torch.zeros((), dtype=torch.long, device=features.device)
    for rows in torch.arange(len(unit), device=features.device).split(1024):
        cosines = unit[rows] @ unit.T
        cosines.masked_fill_(groups[rows, None] == groups, -math.inf)
        hits += (labels[cosines.argmax(dim=1)] == labels[rows]).sum()
    return int(hits) / len(unit)


class Monitor:
    """Measures encoders by :func:`accuracy_across_groups`; draws nothing and changes nothing.

    The test side is never read. In distributed training every rank has to call it, with all clips:
    encoders may communicate with the other ranks in each pass.

    Args:
        bank: the clips.
        clips: (n,) int64 the training clips, on the bank's device.
        groups: (n,) the subject, camera or setup of each.
        frames: T, the frames of a view.
    """

    def __init__(
        self, bank: ClipBank, clips: Tensor, groups: NDArray[np.int64], frames: int
    ) -> None:
        if len(groups) != len(clips):
            raise ValueError(f"{len(groups)} groups of {len(clips)} clips")
        self._bank, self._frames, self._labels = bank, frames, bank.labels[clips]
        self._groups = torch.from_numpy(groups).to(bank.device)
        self._parts = clips.tensor_split(math.ceil(len(clips) / CHUNK))

    @torch.no_grad()
    def accuracy(self, encoders: Sequence[Encoder], *, calibrate: bool = False) -> float:
        """The mean accuracy of ``encoders``, each by itself, in evaluation mode.

        Args:
            encoders: the encoders of a training in progress.
            calibrate: estimate the batch-norm statistics on the same clips first, in copies: for
                encoders before their first step, whose statistics describe no data.
        """
        found = [self._of(_calibrated(e, self._views()) if calibrate else e) for e in encoders]
        return sum(found) / len(found)

    def _views(self) -> list[Tensor]:
        return [evaluation_view(self._bank, some, CENTRAL, self._frames) for some in self._parts]

    def _of(self, encoder: Encoder) -> float:
        modes = {module: module.training for module in encoder.modules()}
        encoder.eval()
        try:
            features = torch.cat([encoder(view).float() for view in self._views()])
        finally:
            for module, mode in modes.items():
                module.training = mode
        return accuracy_across_groups(features, self._labels, self._groups)


def _calibrated(encoder: Encoder, views: Sequence[Tensor]) -> Encoder:
    """A copy whose batch norms have the mean statistics of ``views``; dropout is off."""
    twin = copy.deepcopy(encoder).eval()
    for module in twin.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # torch's cumulative average
            module.train()
    for view in views:
        twin(view)
    return twin.eval()
