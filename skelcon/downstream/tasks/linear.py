"""The task ``linear``: a linear classifier on frozen encoders (A.1)."""

from __future__ import annotations

from collections.abc import Sequence

from skelcon.config import Json
from skelcon.downstream.config import LinearConfig
from skelcon.downstream.tasks.base import (
    FLOAT_BYTES,
    EncoderSize,
    Evaluation,
    Inputs,
    Task,
    completed,
)

CLASSIFIER_EPOCHS = 5
"""Epochs of the classifier that are timed."""


class LinearTask(Task[LinearConfig]):
    """Linear evaluation."""

    name = "linear"
    settings = LinearConfig
    metrics = ("top1", "nn_top1", "top1_train", "weight_decay")
    values = ("weight_decay",)
    scales = ("epochs", "crops")
    frozen = True
    scores = True

    def resolved(self, settings: LinearConfig) -> Json:
        """Without the options of SGD where the weight decay is chosen: there is none then."""
        values = super().resolved(settings)
        if settings.weight_decay == "auto":
            for name in ("epochs", "lr", "momentum", "milestones", "batch"):
                del values[name]
        return values

    def epochs(self, settings: LinearConfig) -> int:
        """Blocks of the classifier's epochs; with ``weight_decay: auto`` folds and the last fit."""
        return settings.blocks

    def clips_seen(self, settings: LinearConfig, train: int, test: int) -> float:
        """Each pass over the training clips, and one over the test side."""
        return float(settings.passes * train + test)

    def checkpoint_bytes(
        self, settings: LinearConfig, encoders: Sequence[EncoderSize], num_classes: int
    ) -> int:
        """The classifier and its momentum, and what standardises the features."""
        features = sum(each.features for each in encoders)
        momentum = 1 if settings.momentum > 0 and settings.weight_decay != "auto" else 0
        return FLOAT_BYTES * ((1 + momentum) * (features + 1) * num_classes + 2 * features)

    def start(self, inputs: Inputs, settings: LinearConfig) -> Evaluation:
        """A linear evaluation at its first epoch."""
        from skelcon.downstream.linear import LinearEvaluation

        return LinearEvaluation.of(settings)(
            inputs.encoders,
            inputs.bank,
            inputs.train,
            inputs.test,
            inputs.num_classes,
            inputs.frames,
            settings,
            inputs.seed,
            inputs.groups,
        )

    def seconds_per_clip(self, inputs: Inputs, settings: LinearConfig, steps: int) -> float:
        """From a part of the clips: what a pass of the encoders takes, and what a classifier."""
        from skelcon.downstream.tasks.timing import part_of, timed

        part = part_of(inputs)
        fitted, train, test = len(part.train), len(inputs.train), len(inputs.test)
        plain = {"crops": 1, "standardise": False}

        def seconds(**changes: object) -> float:
            short = settings.model_copy(update={**plain, **changes})
            return timed(lambda: completed(self.start(part, short)), inputs.bank.device)

        seconds(epochs=1, weight_decay=0.0)  # not counted: the first allocates
        once = seconds(epochs=1, weight_decay=0.0)
        more = seconds(epochs=1 + CLASSIFIER_EPOCHS, weight_decay=0.0)
        an_epoch = max(0.0, more - once) / (CLASSIFIER_EPOCHS * fitted)
        passed = 2 * fitted + len(part.test)
        encoders = max(0.0, once - an_epoch * fitted) / passed
        if settings.weight_decay == "auto":
            fit = max(0.0, seconds() - encoders * passed) / fitted
            classifier = fit * max(1, settings.crops or 0)
        else:
            classifier = an_epoch * settings.epochs
        seen = self.clips_seen(settings, train, test)
        return (encoders * seen + classifier * train) / seen
