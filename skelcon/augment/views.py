"""From a batch of clips to an augmented view (eq. 4), and to the fixed view of an evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from skelcon.augment import spatial
from skelcon.augment.config import AUGMENTATIONS, AugmentConfig, CropConfig, has_own_p
from skelcon.augment.strong import STRONG, where
from skelcon.augment.temporal import centre_crop, random_crop
from skelcon.data.bank import ClipBank
from skelcon.errors import UserError


def augmented_view(
    bank: ClipBank, clips: Tensor, config: AugmentConfig, size: int, generator: torch.Generator
) -> Tensor:
    """One augmented view of each clip (eq. 4): crop-resize, then a spatial augmentation.

    With both spatial augmentations in use each sample of each view draws one of them, p = 0.5.
    Without the crop the whole clip is resized. Other augmentations come last. Each acts on a sample
    with its probability ``p``.

    Args:
        bank: the clips.
        clips: (B,) int64 which of them.
        config: which augmentations are in use.
        size: the frames T of the view (64 in the paper).
        generator: a CPU generator; a call with it for each view gives different ones.

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
    seen, bodies = bank.resized_bodies(clips, start, length, size)
    if "pose" in config.use or "jitter" in config.use:
        matrix, joints = _spatial(len(clips), bank, config, generator)
        of = bodies // bank.num_bodies
        seen = spatial.apply(seen[:, None], matrix[of], joints[of])[:, 0]
    view = bank.view(seen, bodies, len(clips))
    for name in config.others:
        if name in STRONG:
            view = STRONG[name](view, getattr(config, name), bank.layout, generator)
        else:
            view = _registered(view, name, config, generator)
    return view


def _spatial(
    B: int, bank: ClipBank, config: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pose augmentation or joint jittering, the one in use, or drawn, if it acts.

    Returns:
        (B, 3, 3) matrices, and (B, V) bool: the joints that they move.
    """
    V, dimensions = bank.num_joints, bank.layout.dimensions
    pose, jitter = "pose" in config.use, "jitter" in config.use
    matrix, joints = torch.eye(3).repeat(B, 1, 1), torch.ones(B, V, dtype=torch.bool)
    if pose:
        matrix = spatial.shear(B, config.pose, generator, dimensions)
        joints &= spatial.acting(config.pose.p, B, generator)[:, None]
    if jitter:
        chosen = torch.ones(B, dtype=torch.bool)
        if pose:
            chosen = torch.rand(B, generator=generator) < 0.5
        subset = spatial.jitter_joints(B, V, config.jitter, generator)
        random = spatial.jitter_matrix(B, config.jitter, generator, dimensions)
        subset &= spatial.acting(config.jitter.p, B, generator)[:, None]
        joints = torch.where(chosen[:, None], subset, joints)
        matrix = torch.where(chosen[:, None, None], random, matrix)
    device = bank.device
    return matrix.to(device, non_blocking=True), joints.to(device, non_blocking=True)


def _registered(
    view: Tensor, name: str, config: AugmentConfig, generator: torch.Generator
) -> Tensor:
    """Apply a registered augmentation and check what it returns."""
    options = config.options(name)
    p = 1.0 if has_own_p(name) else options.pop("p", 1.0)
    given = view if p == 1 else view.clone()  # it may change what it is given
    result = AUGMENTATIONS[name].function(given, generator, **options)
    expected = (view.shape, view.dtype, view.device)
    if not isinstance(result, Tensor) or expected != (result.shape, result.dtype, result.device):
        got = _described(result) if isinstance(result, Tensor) else type(result).__name__
        raise UserError(f"augmentation '{name}' returned {got}, not {_described(view)}")
    if p == 1:
        return result
    return where(spatial.acting(p, len(view), generator), result, view)


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
