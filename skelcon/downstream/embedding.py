"""Features of a whole data set from one frozen encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelcon.augment import evaluation_view
from skelcon.data import ClipBank, SkeletonDataset
from skelcon.downstream.features import extract
from skelcon.encoders import Encoder


def embed(
    encoder: Encoder,
    dataset: SkeletonDataset,
    clips: NDArray[np.int64] | None = None,
    *,
    ratio: float = 0.95,
    batch: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Features of ``clips``: the central ``ratio`` of each, resized to the encoder's frames.

    It runs on the encoder's device, in evaluation mode. A clip with fewer bodies than the encoder
    takes is padded with absent ones.

    Args:
        encoder: frozen, as :func:`skelcon.load_encoder` returns it.
        dataset: with the joints that the encoder takes, or joints that can be mapped to them.
        clips: (n,) which clips; by default all, in file order.
        ratio: the part of a clip that is used (A.1: 0.95).
        batch: clips of a pass.
        progress: called with the number of clips that are done, and of all clips.

    Returns:
        (n, feature_size) float32.

    Raises:
        UserError: if the clips cannot be mapped to the encoder's joints, or have more bodies.
    """
    device = next(encoder.parameters()).device
    bank = ClipBank(dataset, device, encoder.layout, encoder.bodies).oriented(encoder.orientation)

    def view(some: Tensor) -> Tensor:
        return evaluation_view(bank, some, ratio, encoder.frames)

    chosen = np.arange(len(dataset)) if clips is None else clips
    features = np.empty((len(chosen), encoder.feature_size), np.float32)
    for at in range(0, len(chosen), batch):
        some = torch.from_numpy(chosen[at : at + batch]).to(bank.device)
        features[at : at + batch] = extract([encoder], some, view, batch).cpu().numpy()
        if progress is not None:
            progress(min(at + batch, len(chosen)), len(chosen))
    return features
