"""A linear evaluation by SGD, as in the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from skelcon import optimisers
from skelcon.downstream.config import LinearConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.linear.base import LinearEvaluation
from skelcon.seeding import generator


class SGDEvaluation(LinearEvaluation):
    """Plain SGD on random crops, as in the paper.

    Where crops are kept, an epoch of this evaluation is a block of the classifier's epochs
    (:attr:`LinearConfig.block`), and its loss and accuracy are from the last of them.
    """

    def __init__(self, inputs: Inputs, config: LinearConfig) -> None:
        super().__init__(inputs, config)
        assert config.weight_decay != "auto"
        self._optimiser = optimisers.SGD(
            self.classifier.parameters(),
            config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )

    def _fit(self) -> tuple[float, float, float]:
        """Train the epochs of a block; nothing is read back from the device before its end."""
        config = self.config
        first = self.epoch * config.block
        for epoch in range(first, min(first + config.block, config.epochs)):
            crop = epoch if config.crops is None else epoch % max(1, config.crops)
            features = self._normed(self._crop(crop))
            lr = config.lr * math.prod(0.1 for at in config.milestones if epoch >= at)
            for group in self._optimiser.param_groups:
                group["lr"] = lr
            draws = generator(self.inputs.seed, f"linear epoch {epoch}")
            order = torch.randperm(len(features), generator=draws).to(features.device)
            totals = self._one_epoch(features, torch.split(order, config.batch))
        loss, top1 = (totals / len(self._labels)).tolist()
        return loss, top1, lr

    def _one_epoch(self, features: Tensor, batches: Sequence[Tensor]) -> Tensor:
        """A step on each of ``batches``; returns the sums of losses and hits over their clips."""
        totals = torch.zeros(2, dtype=torch.float64, device=features.device)
        for some in batches:
            labels = self._labels[some]
            logits = self.classifier(features[some])
            loss = functional.cross_entropy(logits, labels)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._optimiser.step()
            totals[0] += loss.detach() * len(some)
            totals[1] += logits.argmax(dim=1).eq(labels).sum()
        return totals

    def state_dict(self) -> dict[str, Any]:
        """The state of every linear evaluation, and the optimiser."""
        return {**super().state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        super().load_state_dict(state)
        self._optimiser.load_state_dict(state["optimiser"])
