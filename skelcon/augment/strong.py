"""AimCLR's augmentations and later ones: each changes the samples of a view that it draws.

All take (view, config, layout, generator) with a view (B, M, T, V, 3), draw from the CPU generator
and return a new view. What is absent, a body, frame or joint of zeros, stays absent. Of clips of
two dimensions the third value is a confidence: it moves with its joint and keeps its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from skelcon.augment import spatial
from skelcon.augment.options import (
    AxisMaskConfig,
    FlipConfig,
    GaussianBlurConfig,
    GaussianNoiseConfig,
    JointMaskConfig,
    ReverseConfig,
    RotationConfig,
    SpeedConfig,
    TemporalMaskConfig,
    share_of,
)
from skelcon.data.layouts import SkeletonLayout

Strong = Callable[[Tensor, Any, SkeletonLayout, torch.Generator], Tensor]


def there(view: Tensor, layout: SkeletonLayout) -> Tensor:
    """(B, M, T, V) bool: which joints are present.

    The main body's centre is at the origin: it is there where any joint of that body is.
    """
    present = view.ne(0).any(dim=-1)
    for joint in layout.at_origin:
        present[:, 0, :, joint] = present[:, 0].any(dim=-1)
    return present


def _chosen(p: float, view: Tensor, generator: torch.Generator) -> Tensor:
    """(B,) bool on the CPU: which samples change."""
    return torch.rand(len(view), generator=generator) < p


def where(chosen: Tensor, changed: Tensor, view: Tensor) -> Tensor:
    """``changed`` for the samples that are ``chosen`` (B,), the view for the others."""
    return torch.where(chosen.to(view.device).view(-1, 1, 1, 1, 1), changed, view)


def flip(
    view: Tensor, config: FlipConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """x changes its sign, and the joints of the left and of the right change places."""
    chosen = _chosen(config.p, view, generator)
    sides = torch.tensor(layout.mirrored, device=view.device)
    signs = view.new_tensor([-1, 1, 1])
    return where(chosen, view[:, :, :, sides] * signs, view)


def rotation(
    view: Tensor, config: RotationConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """A turn by R_x R_y R_z, with angles uniform from 0; in 2D one in the plane, by the main angle.

    One axis, drawn at random, has the main angle.
    """
    B = len(view)
    chosen = _chosen(config.p, view, generator)
    main = torch.randint(3, (B,), generator=generator)
    share = torch.rand((B, 3), generator=generator)
    is_main = torch.arange(3) == main[:, None]
    limits = torch.where(is_main, config.main, config.other)
    if layout.dimensions == 2:
        limits = torch.tensor([0.0, 0.0, config.main])
    angles = (share * limits).deg2rad()
    matrix = torch.eye(3).repeat(B, 1, 1)
    for axis in range(3):
        matrix = matrix @ turn(axis, angles[:, axis])
    turned = torch.bmm(view.flatten(1, 3), matrix.to(view)).view(view.shape)
    return where(chosen, turned, view)


def turn(axis: int, angle: Tensor) -> Tensor:
    """(B, 3, 3) right-handed turns about an axis, for row vectors."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    matrix[:, a, a] = matrix[:, b, b] = angle.cos()
    matrix[:, a, b], matrix[:, b, a] = angle.sin(), -angle.sin()
    return matrix


def axis_mask(
    view: Tensor, config: AxisMaskConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """x, y or z becomes zero; in 2D x or y."""
    B = len(view)
    chosen = _chosen(config.p, view, generator)
    axis = torch.randint(layout.dimensions, (B,), generator=generator)
    masked = (torch.arange(3) == axis[:, None]) & chosen[:, None]
    return view.masked_fill(masked.to(view.device).view(B, 1, 1, 1, 3), 0)


def gaussian_noise(
    view: Tensor, config: GaussianNoiseConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """Each coordinate of a joint that is present gets an independent normal draw."""
    chosen = _chosen(config.p, view, generator)
    D = layout.dimensions
    noise = torch.zeros(view.shape)
    noise[..., :D] = torch.randn((*view.shape[:-1], D), generator=generator) * config.std
    moved = view + noise.to(view) * there(view, layout)[..., None]
    return where(chosen, moved, view)


def gaussian_blur(
    view: Tensor, config: GaussianBlurConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """A joint's mean over the frames around, of those in which it is present, by a Gaussian."""
    B, M, T, V, _ = view.shape
    D = layout.dimensions
    chosen = _chosen(config.p, view, generator)
    share = torch.rand(B, generator=generator)
    sigma = config.sigma_min + (config.sigma_max - config.sigma_min) * share
    away = (torch.arange(T)[:, None] - torch.arange(T)).abs()
    kernel = torch.exp(-0.5 * (away / sigma[:, None, None]) ** 2) * (away <= config.kernel // 2)
    kernel = kernel.to(view)[:, None]  # (B, 1, T, T)
    present = there(view, layout)
    total = kernel @ present.to(view)
    sums = (kernel @ view[..., :D].flatten(3)).view(B, M, T, V, D)
    blurred = view.clone()
    blurred[..., :D] = torch.where(present[..., None], sums / total[..., None], view[..., :D])
    return where(chosen, blurred, view)


def joint_mask(
    view: Tensor, config: JointMaskConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """The same joints of all bodies and frames become missing."""
    B, V = len(view), view.shape[3]
    chosen = _chosen(config.p, view, generator)
    masked = spatial.subset(B, V, share_of(config.joints, V), generator) & chosen[:, None]
    return view.masked_fill(masked.to(view.device)[:, None, None, :, None], 0)


def temporal_mask(
    view: Tensor, config: TemporalMaskConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """The same frames of all bodies become empty: at least one, and never all."""
    B, T = len(view), view.shape[2]
    chosen = _chosen(config.p, view, generator)
    count = max(1, min(T - 1, round(config.ratio * T)))
    masked = spatial.subset(B, T, count, generator) & chosen[:, None]
    return view.masked_fill(masked.to(view.device)[:, None, :, None, None], 0)


def reverse(
    view: Tensor, config: ReverseConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """The last frame comes first."""
    return where(_chosen(config.p, view, generator), view.flip(2), view)


def speed(
    view: Tensor, config: SpeedConfig, layout: SkeletonLayout, generator: torch.Generator
) -> Tensor:
    """At a rate drawn log-uniformly between the slowest and the fastest (:func:`at_rate`)."""
    chosen = _chosen(config.p, view, generator)
    rate = torch.exp(spatial.uniform((len(view),), generator) * math.log(config.factor))
    return where(chosen, at_rate(view, rate, layout), view)


def at_rate(view: Tensor, rate: Tensor, layout: SkeletonLayout) -> Tensor:
    """Frame t shows the time c + r (t - c), c the middle, between 0 and T - 1.

    A pose is interpolated linearly between two frames, by those in which the joint is present. It
    is missing where it is missing in the nearer one.

    Args:
        view: (B, M, T, V, 3).
        rate: (B,) on the CPU: r of each sample; above 1 is faster.
        layout: the view's.
    """
    B, M, T, V, C = view.shape
    middle = (T - 1) / 2
    at = (middle + rate[:, None] * (torch.arange(T) - middle)).clamp(0, T - 1)
    lower = at.floor().long().clamp(max=max(T - 2, 0))
    upper = (lower + 1).clamp(max=T - 1)
    second = (at - lower).to(view).view(B, 1, T, 1)
    present = there(view, layout)

    def frames(which: Tensor) -> tuple[Tensor, Tensor]:
        index = which.to(view.device).view(B, 1, T, 1)
        poses = view.gather(2, index[..., None].expand(B, M, T, V, C))
        return poses, present.gather(2, index.expand(B, M, T, V))

    (before, has_before), (after, has_after) = frames(lower), frames(upper)
    weights = ((1 - second) * has_before)[..., None], (second * has_after)[..., None]
    pose = (weights[0] * before + weights[1] * after) / (weights[0] + weights[1])
    nearer = torch.where(second < 0.5, has_before, has_after)
    return pose.where(nearer[..., None], view.new_zeros(()))


STRONG: dict[str, Strong] = {
    function.__name__: function
    for function in (
        flip,
        rotation,
        axis_mask,
        gaussian_noise,
        gaussian_blur,
        joint_mask,
        temporal_mask,
        reverse,
        speed,
    )
}
"""By the names in ``pretrain.augment.use``."""
