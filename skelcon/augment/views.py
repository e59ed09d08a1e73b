"""From a batch of clips to an augmented view (eq. 4), and to the fixed view of an evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from skelcon.augment import spatial
from skelcon.augment.config import AUGMENTATIONS, AugmentConfig, CropConfig
from skelcon.augment.temporal import centre_crop, random_crop
from skelcon.data.bank import ClipBank
from skelcon.data.layouts import Dimensions
from skelcon.errors import UserError


def augmented_view(
    bank: ClipBank, clips: Tensor, config: AugmentConfig, size: int, generator: torch.Generator
) -> Tensor:
    """One augmented view of each clip (eq. 4): crop-resize, then a spatial augmentation.

    With both spatial augmentations in use each sample of each view draws one of them, p = 0.5.
    Without the crop the whole clip is resized. Registered augmentations come last.

    Args:
        bank: the clips.
        clips: (B,) int64 which of them.
        config: which augmentations are in use.
        size: the frames T of the view (64 in the paper).
        generator: a CPU generator; two calls with it give the query and the key view.

    Returns:
        (B, M, T, V, 3) float32.

    Raises:
        UserError: if a registered augmentation returns something else.
    """
    lengths = bank.lengths[clips]
    if "crop" in config.use:
        start, length = random_crop(lengths, config.crop, generator)
    else:
        start, length = torch.zeros_like(lengths), lengths
    view = bank.resized(clips, start, length, size)
    if "pose" in config.use or "jitter" in config.use:
        view = _spatial(view, config, bank.layout.dimensions, generator)
    for name in config.registered:
        view = _registered(view, name, config, generator)
    return view


def _spatial(
    view: Tensor, config: AugmentConfig, dimensions: Dimensions, generator: torch.Generator
) -> Tensor:
    """Pose augmentation or joint jittering: the one in use, or the one drawn."""
    B, V = len(view), view.shape[3]
    pose, jitter = "pose" in config.use, "jitter" in config.use
    matrix, joints = torch.eye(3).repeat(B, 1, 1), torch.ones(B, V, dtype=torch.bool)
    if pose:
        matrix = spatial.shear(B, config.pose, generator, dimensions)
    if jitter:
        chosen = torch.ones(B, dtype=torch.bool)
        if pose:
            chosen = torch.rand(B, generator=generator) < 0.5
        subset = spatial.jitter_joints(B, V, config.jitter, generator)
        joints = torch.where(chosen[:, None], subset, joints)
        random = spatial.jitter_matrix(B, config.jitter, generator, dimensions)
        matrix = torch.where(chosen[:, None, None], random, matrix)
    return spatial.apply(view, matrix.to(view.device), joints.to(view.device))


def _registered(
    view: Tensor, name: str, config: AugmentConfig, generator: torch.Generator
) -> Tensor:
    """Apply a registered augmentation and check what it returns."""
    result = AUGMENTATIONS[name].function(view, generator, **config.options(name))
    expected = (view.shape, view.dtype, view.device)
    if not isinstance(result, Tensor) or expected != (result.shape, result.dtype, result.device):
        got = _described(result) if isinstance(result, Tensor) else type(result).__name__
        raise UserError(f"augmentation '{name}' returned {got}, not {_described(view)}")
    return result


def _described(tensor: Tensor) -> str:
    return f"a {tuple(tensor.shape)} {tensor.dtype} tensor on {tensor.device}"


def training_view(
    bank: ClipBank, clips: Tensor, crop: CropConfig, size: int, generator: torch.Generator
) -> Tensor:
    """A random crop without a spatial augmentation (A.1: training)."""
    start, length = random_crop(bank.lengths[clips], crop, generator)
    return bank.resized(clips, start, length, size)


def evaluation_view(bank: ClipBank, clips: Tensor, ratio: float, size: int) -> Tensor:
    """The central ``ratio`` of each clip, resized (A.1: evaluation)."""
    start, length = centre_crop(bank.lengths[clips], ratio)
    return bank.resized(clips, start, length, size)
