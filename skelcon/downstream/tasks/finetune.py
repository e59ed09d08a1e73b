"""The task ``finetune``: encoders and a linear classifier are trained jointly (A.1, A.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from skelcon.config import Config
from skelcon.downstream.tasks.base import (
    FLOAT_BYTES,
    FORWARD,
    EncoderSize,
    Evaluation,
    Inputs,
    Task,
)


class FinetuneConfig(Config):
    """Joint training of encoder and classifier by Adam; defaults are A.1's, batch the code's."""

    epochs: int = Field(50, ge=1, description="passes over the labelled clips")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")
    weight_decay: float = Field(0.0, ge=0, description="of Adam, on all parameters")
    milestones: tuple[int, ...] = Field((30, 40), description="epochs at which lr becomes lr / 10")
    batch: int = Field(64, ge=1, description="clips of a step; the last, smaller batch is used")
    l_min: float = Field(0.5, gt=0, le=1, description="training crops have a ratio in [l_min, 1]")
    test_ratio: float = Field(0.95, gt=0, le=1, description="the central part that is tested")
    labels: float = Field(
        1.0, gt=0, le=1, description="share of the training clips of each class that are labelled"
    )
    subsets: int = Field(
        1, ge=1, description="random draws of the labelled clips; each is trained on from the start"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast in training")

    def lr_at(self, epoch: int) -> float:
        """The learning rate of ``epoch`` (from 0) of a subset."""
        return self.lr * math.prod(0.1 for at in self.milestones if epoch >= at)


class FinetuneTask(Task[FinetuneConfig]):
    """Fine-tuning, on all or on a share of the labels."""

    name = "finetune"
    settings = FinetuneConfig
    metrics = ("top1", "top1_std", "top1_train", "labelled")
    scales = ("epochs", "subsets", "labels")

    def epochs(self, settings: FinetuneConfig) -> int:
        """Those of all subsets together."""
        return settings.subsets * settings.epochs

    def clips_seen(self, settings: FinetuneConfig, train: int, test: int) -> float:
        """Of each subset the labelled clips in each epoch, and the test side once, forward only."""
        labelled = max(1, round(settings.labels * train))
        return float(settings.subsets * (settings.epochs * labelled + FORWARD * test))

    def predictions(self, settings: FinetuneConfig, test: int) -> int:
        """Those of each subset."""
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

        return Finetuning(
            inputs.encoders,
            inputs.bank,
            inputs.train,
            inputs.test,
            inputs.num_classes,
            inputs.frames,
            settings,
            inputs.seed,
        )

    def seconds_per_clip(self, inputs: Inputs, settings: FinetuneConfig, steps: int) -> float:
        """The median of ``steps`` steps on one batch."""
        import numpy as np

        from skelcon.downstream.tasks.timing import WARM_UP, median_epoch, some_clips

        batch = some_clips(inputs.train, settings.batch, np.random.default_rng(0))
        # An epoch is one step. With the last one comes a pass over the test side: it is not run.
        short = settings.model_copy(
            update={"epochs": steps + WARM_UP + 1, "subsets": 1, "labels": 1.0}
        )
        part = replace(inputs, train=batch, test=batch[:1])
        return median_epoch(self.start(part, short), steps) / len(batch)
