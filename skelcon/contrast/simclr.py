"""SimCLR: the other clips of the batch are the negatives (Chen et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from skelcon.contrast.infonce import info_nce
from skelcon.contrast.objective import JointEmbedding
from skelcon.encoders import Encoder


def nt_xent_logits(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cosines over temperature of each of 2 B rows: its positive first, then all others.

    Args:
        first, second: (B, D) of any length; row i of both is of clip i.
        temperature: tau.

    Returns:
        (2 B, 1 + 2 B); the loss (eq. 1) is the cross-entropy with the positive in column 0. The
        columns of the row itself and of its positive are minus infinity.
    """
    B = len(first)
    rows = functional.normalize(torch.cat((first, second)), dim=1)
    cosines = rows @ rows.T / temperature
    positives = torch.cat((cosines.diagonal(B), cosines.diagonal(-B)))
    one = torch.eye(B, dtype=torch.bool, device=rows.device)
    masked = cosines.masked_fill(one.repeat(2, 2), -math.inf)
    return torch.cat((positives[:, None], masked), dim=1)


class SimCLR(JointEmbedding):
    """NT-Xent over the two views of a batch (algorithm 1).

    With two representations the rows are of both, and so are the negatives.

    Args:
        encoders: representation -> its encoder.
        generator: not used.
        dim: size of the embedding.
        hidden: hidden units of the projection head; the feature size if not set.
        temperature: tau of eq. 1.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        generator: torch.Generator,
        dim: Annotated[int, Field(ge=1)] = 128,
        hidden: Annotated[int, Field(ge=1)] | None = None,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
    ) -> None:
        super().__init__(encoders, dim, hidden, layers=2)
        self._temperature = temperature

    def compare(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 1, the mean over all rows, and how often the positive is the most similar."""
        logits = nt_xent_logits(first, second, self._temperature)
        seen = logits.detach()
        return info_nce(logits), (seen[:, 0] > seen[:, 1:].amax(dim=1)).float().mean()

    def chance(self, batch: int) -> float:
        """One of the 2 B - 1 other rows."""
        return 1 / (2 * batch - 1)
