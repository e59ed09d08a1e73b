"""A classifier with a hidden layer on a frozen encoder: finds what is not linearly separable."""

from __future__ import annotations

import math

import torch
from torch import nn

from skelcon.downstream.config import MLPConfig
from skelcon.downstream.linear import SGDEvaluation, linear_classifier
from skelcon.seeding import generator


class MLPEvaluation(SGDEvaluation):
    """As `SGDEvaluation`, with a hidden layer of ReLUs and without dropout."""

    task = "mlp"

    def _new_classifier(self, features: int) -> nn.Module:
        """Hidden weights from N(0, 2 / features), output weights from N(0, 0.01^2), zero biases."""
        assert isinstance(self.config, MLPConfig)
        inputs, hidden = self.inputs, self.config.hidden
        draws, device = generator(inputs.seed, "mlp"), inputs.bank.device
        first = linear_classifier(features, hidden, draws, device)
        with torch.no_grad():
            first.weight.mul_(100 * math.sqrt(2 / features))
        last = linear_classifier(hidden, inputs.num_classes, draws, device)
        return nn.Sequential(first, nn.ReLU(), last)
