"""VICReg: variance, invariance and covariance of two views (Bardes, Ponce & LeCun 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from skelcon.contrast.objective import JointEmbedding
from skelcon.encoders import Encoder

EPSILON = 1e-4
"""Added to variances (section 4.1)."""


def variance_and_covariance(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Eqs. 1 and 4 of a batch (B, D): how far deviations are below 1, and squared covariances."""
    B, D = embeddings.shape
    centred = embeddings - embeddings.mean(dim=0)
    deviation = (centred.var(dim=0) + EPSILON).sqrt()
    covariance = centred.T @ centred / (B - 1)
    redundancy = covariance.square().sum() - covariance.diagonal().square().sum()
    return functional.relu(1 - deviation).mean(), redundancy / D


def vicreg(
    first: Tensor, second: Tensor, invariance: float, variance: float, covariance: float
) -> Tensor:
    """Eq. 6, as in algorithm 1 of the paper: the invariance is a mean over clips and D.

    Args:
        first, second: (B, D) of any scale; row i of both is of clip i.
        invariance, variance, covariance: weights of the terms, the paper's lambda, mu and nu.
    """
    of_first, of_second = variance_and_covariance(first), variance_and_covariance(second)
    loss = invariance * functional.mse_loss(first, second)
    loss = loss + variance * (of_first[0] + of_second[0])
    return loss + covariance * (of_first[1] + of_second[1])


class VICReg(JointEmbedding):
    """The sum of three terms, none of which compares different clips (eq. 6).

    Args:
        encoders: representation -> its encoder.
        generator: not used.
        dim: size of the embedding; 8192 in the paper.
        hidden: hidden units of the projection head; the feature size if not set.
        invariance, variance, covariance: weights of the terms, the paper's lambda, mu and nu.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        generator: torch.Generator,
        dim: Annotated[int, Field(ge=1)] = 512,
        hidden: Annotated[int, Field(ge=1)] | None = None,
        invariance: Annotated[float, Field(ge=0)] = 25.0,
        variance: Annotated[float, Field(ge=0)] = 25.0,
        covariance: Annotated[float, Field(ge=0)] = 1.0,
    ) -> None:
        super().__init__(encoders, dim, hidden, layers=3)
        self._weights = invariance, variance, covariance

    def compare(self, first: Tensor, second: Tensor) -> tuple[Tensor, None]:
        """Eq. 6; nothing is ranked."""
        return vicreg(first, second, *self._weights), None
