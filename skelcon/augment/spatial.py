"""Spatial augmentations: pose (eq. 1) and joint jittering (eq. 2), one matrix a sample.

Both apply a 3x3 matrix to some joints of every frame and body: pose uses all joints and a shear,
jitter uses |j| joints and a matrix without structure. Of clips of two dimensions the matrix is
2x2, of x and y, and the confidence stays: the pose is then sheared and turned in the plane.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skelcon.augment.config import JitterConfig, PoseConfig
from skelcon.data.layouts import Dimensions


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draws from the uniform distribution on [-1, 1]."""
    return torch.rand(shape, generator=generator) * 2 - 1


def draw_matrix(batch: int, generator: torch.Generator, dimensions: Dimensions) -> Tensor:
    """(B, 3, 3) of uniform draws for the coordinates; a confidence, in 2D, keeps its value."""
    matrix = torch.eye(3).repeat(batch, 1, 1)
    matrix[:, :dimensions, :dimensions] = uniform((batch, dimensions, dimensions), generator)
    return matrix


def shear(
    batch: int, config: PoseConfig, generator: torch.Generator, dimensions: Dimensions = 3
) -> Tensor:
    """(B, 3, 3) matrices of eq. 1: ones on the diagonal, uniform draws off it."""
    matrix = draw_matrix(batch, generator, dimensions) * config.amplitude
    matrix.diagonal(dim1=1, dim2=2).fill_(1)
    return matrix


def jitter_matrix(
    batch: int, config: JitterConfig, generator: torch.Generator, dimensions: Dimensions = 3
) -> Tensor:
    """(B, 3, 3) matrices of eq. 2; in ``mixed`` mode half of them are zero (authors' code).

    In 2D a joint that becomes zero loses its confidence, too: it is missing.
    """
    matrix = draw_matrix(batch, generator, dimensions)
    if config.mode == "mixed":
        matrix *= (torch.rand((batch, 1, 1), generator=generator) >= 0.5).float()
    return matrix


def jitter_joints(
    batch: int, num_joints: int, config: JitterConfig, generator: torch.Generator
) -> Tensor:
    """(B, V) bool: the subset j of eq. 2, drawn without replacement for each sample."""
    return subset(batch, num_joints, config.count(num_joints), generator)


def subset(batch: int, total: int, count: int, generator: torch.Generator) -> Tensor:
    """(B, total) bool: for each sample ``count`` of ``total``, drawn without replacement."""
    return torch.rand((batch, total), generator=generator).argsort(dim=1) < count


def acting(p: float, batch: int, generator: torch.Generator) -> Tensor:
    """(B,) bool: which samples change, each with probability ``p``; if that is 1 without a draw."""
    if p == 1:
        return torch.ones(batch, dtype=torch.bool)
    return torch.rand(batch, generator=generator) < p


def apply(view: Tensor, matrix: Tensor, joints: Tensor) -> Tensor:
    """X[..., j, :] @ matrix for the selected joints, X for the others.

    Args:
        view: (B, M, T, V, 3).
        matrix: (B, 3, 3), applied to row vectors as in the paper.
        joints: (B, V) bool, the joints to move.

    Returns:
        A new (B, M, T, V, 3) tensor; absent (all zero) bodies stay zero.
    """
    moved = torch.bmm(view.flatten(1, 3), matrix.to(view)).view(view.shape)
    # Of each coordinate: a mask that is broadcast over them is slow.
    moves = joints.repeat_interleave(view.shape[-1], dim=1)[:, None, None]
    return torch.where(moves, moved.flatten(3), view.flatten(3)).view(view.shape)
