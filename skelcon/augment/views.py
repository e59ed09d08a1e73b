"""From a batch of clips to an augmented view (eq. 4), and to the fixed view of an evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from skelcon.augment import spatial
from skelcon.augment.config import AugmentConfig, CropConfig
from skelcon.augment.temporal import centre_crop, random_crop
from skelcon.data.bank import ClipBank


def augmented_view(
    bank: ClipBank, clips: Tensor, config: AugmentConfig, size: int, generator: torch.Generator
) -> Tensor:
    """One augmented view of each clip (eq. 4): crop-resize, then a spatial augmentation.

    With both spatial augmentations in use each sample draws one of them, p = 0.5, anew for
    each view. Without the crop the whole clip is resized.

    Args:
        bank: the clips.
        clips: (B,) int64 which of them.
        config: what is in use.
        size: the frames T of the view (64 in the paper).
        generator: a CPU generator; two calls with it give the query and the key view.

    Returns:
        (B, M, T, V, 3) float32.
    """
    lengths = bank.lengths[clips]
    if "crop" in config.use:
        start, length = random_crop(lengths, config.crop, generator)
    else:
        start, length = torch.zeros_like(lengths), lengths
    view = bank.resized(clips, start, length, size)

    B, V = len(clips), bank.num_joints
    pose, jitter = "pose" in config.use, "jitter" in config.use
    if not (pose or jitter):
        return view
    matrix, joints = torch.eye(3).repeat(B, 1, 1), torch.ones(B, V, dtype=torch.bool)
    if pose:
        matrix = spatial.shear(B, config.pose, generator)
    if jitter:
        chosen = torch.ones(B, dtype=torch.bool)
        if pose:
            chosen = torch.rand(B, generator=generator) < 0.5
        subset = spatial.jitter_joints(B, V, config.jitter, generator)
        joints = torch.where(chosen[:, None], subset, joints)
        random = spatial.jitter_matrix(B, config.jitter, generator)
        matrix = torch.where(chosen[:, None, None], random, matrix)
    return spatial.apply(view, matrix.to(view.device), joints.to(view.device))


def training_view(
    bank: ClipBank, clips: Tensor, l_min: float, size: int, generator: torch.Generator
) -> Tensor:
    """A random crop of ratio [l_min, 1] without a spatial augmentation (A.1: training)."""
    start, length = random_crop(bank.lengths[clips], CropConfig(l_min=l_min), generator)
    return bank.resized(clips, start, length, size)


def evaluation_view(bank: ClipBank, clips: Tensor, ratio: float, size: int) -> Tensor:
    """The central ``ratio`` of each clip, resized (A.1: evaluation)."""
    start, length = centre_crop(bank.lengths[clips], ratio)
    return bank.resized(clips, start, length, size)
