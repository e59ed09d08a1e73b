"""The task ``mlp``: a classifier with a hidden layer on frozen encoders."""

from __future__ import annotations

from collections.abc import Sequence

from skelcon.downstream.config import LinearConfig, MLPConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import FLOAT_BYTES, EncoderSize, Evaluation
from skelcon.downstream.tasks.linear import SUBSETS, LinearTask


class MLPTask(LinearTask):
    """Trained as the linear evaluation is, with a hidden layer."""

    name = "mlp"
    settings = MLPConfig
    metrics = ("top1", "nn_top1", "top1_train", *SUBSETS)
    values = ("labelled",)

    def checkpoint_bytes(
        self, settings: LinearConfig, encoders: Sequence[EncoderSize], num_classes: int
    ) -> int:
        """Both layers, their momentum, and the shift and scale of the features."""
        assert isinstance(settings, MLPConfig)
        features = sum(each.features for each in encoders)
        weights = (features + 1) * settings.hidden + (settings.hidden + 1) * num_classes
        kept = 2 * weights if settings.momentum > 0 else weights
        return FLOAT_BYTES * (kept + 2 * features)

    def whole(self, inputs: Inputs, settings: LinearConfig) -> Evaluation:
        """As of `LinearTask`, with a hidden layer."""
        from skelcon.downstream.mlp import MLPEvaluation

        return MLPEvaluation(inputs, settings)
