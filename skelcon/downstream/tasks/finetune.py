"""The task ``finetune``: encoders and a linear classifier are trained jointly (A.1, A.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skelcon.downstream.config import FinetuneConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import (
    FLOAT_BYTES,
    FORWARD,
    EncoderSize,
    Evaluation,
    Task,
)


class FinetuneTask(Task[FinetuneConfig]):
    """Fine-tuning, on all or on a share of the labels."""

    name = "finetune"
    settings = FinetuneConfig
    metrics = ("top1", "top1_std", "top1_train", "labelled")
    values = ("labelled",)
    scales = ("epochs", "subsets", "labels")
    scores = True

    def epochs(self, settings: FinetuneConfig) -> int:
        """Epochs of all subsets together."""
        return settings.subsets * settings.epochs

    def clips_seen(self, settings: FinetuneConfig, train: int, test: int) -> float:
        """Of each subset the labelled clips in each epoch, and a forward pass of the test side."""
        labelled = max(1, round(settings.labels * train))
        return float(settings.subsets * (settings.epochs * labelled + FORWARD * test))

    def predictions(self, settings: FinetuneConfig, test: int) -> int:
        """A prediction for each test clip and subset."""
        return settings.subsets * test

    def checkpoint_bytes(
        self, settings: FinetuneConfig, encoders: Sequence[EncoderSize], num_classes: int
    ) -> int:
        """Weights of encoders and classifier, and the two moments of Adam."""
        trained = sum(each.parameters + each.features * num_classes for each in encoders)
        return 3 * FLOAT_BYTES * trained

    def start(self, inputs: Inputs, settings: FinetuneConfig) -> Evaluation:
        """A fine-tuning at its first epoch."""
        from skelcon.downstream.finetune import Finetuning

        return Finetuning(inputs, settings)

    def seconds_per_clip(self, inputs: Inputs, settings: FinetuneConfig, steps: int) -> float:
        """The median of ``steps`` steps on one batch."""
        import numpy as np
        import torch

        from skelcon.downstream.tasks.timing import WARM_UP, median_epoch, some_clips

        batch = some_clips(inputs.train, settings.batch, np.random.default_rng(0))
        # An epoch is one step. With the last one comes a pass over the test side: it is not run.
        short = settings.model_copy(
            update={"epochs": steps + WARM_UP + 1, "subsets": 1, "labels": 1.0}
        )
        part = replace(inputs, train=batch, test=batch[:1], groups=torch.zeros_like(batch))
        return median_epoch(self.start(part, short), steps) / len(batch)
