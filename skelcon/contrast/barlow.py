"""Barlow Twins: the cross-correlation of two views becomes the identity (Zbontar et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from skelcon.contrast.objective import JointEmbedding
from skelcon.encoders import Encoder

EPSILON = 1e-5
"""Added to variances, as in torch's batch norm, which the paper's code uses."""


def barlow_twins(first: Tensor, second: Tensor, off_diagonal: float) -> Tensor:
    """Eq. 1: squared distance of the cross-correlation matrix (eq. 2) from the identity.

    Args:
        first, second: (B, D) of any scale; row i of both is of clip i.
        off_diagonal: lambda, the weight of the values off the diagonal.
    """
    one, other = (
        (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + EPSILON).sqrt() for z in (first, second)
    )
    correlation = one.T @ other / len(one)
    diagonal = correlation.diagonal()
    redundancy = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal * redundancy


class BarlowTwins(JointEmbedding):
    """Redundancy reduction between the embeddings of two views (algorithm 1).

    Args:
        encoders: representation -> its encoder.
        generator: not used.
        dim: size of the embedding; 8192 in the paper.
        hidden: hidden units of the projection head; the feature size if not set.
        off_diagonal: lambda of eq. 1.
        scale: of the loss; 0.024 in the paper's code.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        generator: torch.Generator,
        dim: Annotated[int, Field(ge=1)] = 512,
        hidden: Annotated[int, Field(ge=1)] | None = None,
        off_diagonal: Annotated[float, Field(ge=0)] = 0.0051,
        scale: Annotated[float, Field(gt=0)] = 0.024,
    ) -> None:
        super().__init__(encoders, dim, hidden, layers=3)
        self._off_diagonal, self._scale = off_diagonal, scale

    def compare(self, first: Tensor, second: Tensor) -> tuple[Tensor, None]:
        """Eq. 1; nothing is ranked."""
        return self._scale * barlow_twins(first, second, self._off_diagonal), None
