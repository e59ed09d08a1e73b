"""SimSiam: predict the other view's embedding, which gets no gradient (Chen & He 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from skelcon.contrast.objective import Branch, ContrastResult, Objective, meet_the_key, mlp
from skelcon.encoders import Encoder


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Eq. 1, the mean over the batch; no gradient reaches the target (eq. 3).

    Args:
        prediction, target: (B, D) of any length; row i of both is of clip i.
    """
    return -functional.cosine_similarity(prediction, target.detach(), dim=1).mean()


class SimSiam(Objective):
    """One network for both views, and a predictor (algorithm 1); the loss is symmetrised (eq. 4).

    Args:
        encoders: representation -> its encoder.
        generator: not used.
        dim: size of the embedding; 2048 in the paper.
        hidden: hidden units of the projection head; the feature size if not set.
        bottleneck: hidden units of the predictor; a quarter of ``dim`` in the paper.
    """

    takes_extra = True

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        generator: torch.Generator,
        dim: Annotated[int, Field(ge=1)] = 512,
        hidden: Annotated[int, Field(ge=1)] | None = None,
        bottleneck: Annotated[int, Field(ge=1)] = 128,
    ) -> None:
        branches = {}
        for name, encoder in encoders.items():
            head = mlp(encoder.feature_size, hidden, dim, layers=3)
            head.append(nn.BatchNorm1d(dim, affine=False))
            branches[name] = Branch(encoder, head)
        super().__init__(branches)
        self.predictors = nn.ModuleDict({name: mlp(dim, bottleneck, dim) for name in encoders})

    def forward(self, query_view: Tensor, key_view: Tensor, *extra: Tensor) -> ContrastResult:
        """Half of the loss in each direction, summed over all pairs."""
        seen = [self.embed(view) for view in (query_view, key_view, *extra)]
        losses = []
        for at, weight in meet_the_key(len(seen)):
            first, second = seen[at][1], seen[1][1]
            for name, target in self.pairs:
                predict = self.predictors[name]
                there = negative_cosine(predict(first[name]).float(), second[target].float())
                back = negative_cosine(predict(second[name]).float(), first[target].float())
                losses.append(weight * (there + back) / 2)
        return self.result(losses, seen[0][1], seen[1][1], seen[0][0])
