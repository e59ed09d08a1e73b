"""BYOL: predict the projections of a slower copy; no negatives (Grill et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from skelcon.contrast.objective import (
    Branch,
    ContrastResult,
    Objective,
    meet_the_key,
    mlp,
    momentum_copy,
    momentum_update,
)
from skelcon.encoders import Encoder


def regression_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Eq. 2: 2 - 2 cos, the mean over the batch.

    Args:
        prediction, target: (B, D) of any length; row i of both is of clip i.
    """
    return 2 - 2 * functional.cosine_similarity(prediction, target, dim=1).mean()


class BYOL(Objective):
    """An online network with a predictor, and a target network that follows it (section 3.1).

    The loss is symmetrised over the views. The target's momentum is constant; in the paper it
    rises to 1. The target has buffers of its own and runs in training mode.

    Args:
        encoders: representation -> its encoder.
        generator: not used.
        dim: size of the projection and of the prediction.
        hidden: hidden units of the head and of the predictor; 4096 in the paper.
        momentum: tau of the target's moving average.
    """

    takes_extra = True

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        generator: torch.Generator,
        dim: Annotated[int, Field(ge=1)] = 256,
        hidden: Annotated[int, Field(ge=1)] = 1024,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.996,
    ) -> None:
        super().__init__(
            {name: Branch(e, mlp(e.feature_size, hidden, dim)) for name, e in encoders.items()}
        )
        self.targets = nn.ModuleDict({name: momentum_copy(self.query(name)) for name in encoders})
        self.predictors = nn.ModuleDict({name: mlp(dim, hidden, dim) for name in encoders})
        self._momentum = momentum

    def forward(self, query_view: Tensor, key_view: Tensor, *extra: Tensor) -> ContrastResult:
        """Each online network predicts the target of the other view; the targets are updated."""
        views = (query_view, key_view, *extra)
        seen = [self.embed(view) for view in views]
        with torch.no_grad():
            for name, network in self.targets.items():
                momentum_update(network, self.query(name), self._momentum)
            aims = [{n: each(view).float() for n, each in self.targets.items()} for view in views]
        losses = []
        for at, weight in meet_the_key(len(views)):
            for name, target in self.pairs:
                predict = self.predictors[name]
                for one, other in ((at, 1), (1, at)):
                    loss = regression_loss(predict(seen[one][1][name]).float(), aims[other][target])
                    losses.append(weight * loss)
        return self.result(losses, seen[0][1], seen[1][1], seen[0][0])
