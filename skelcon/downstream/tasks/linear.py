"""The task ``linear``: a linear classifier on frozen encoders (A.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from skelcon.config import Json
from skelcon.downstream.config import LinearConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import (
    FLOAT_BYTES,
    EncoderSize,
    Evaluation,
    Task,
    completed,
)

CLASSIFIER_EPOCHS = 5
"""Epochs of the classifier that are timed."""

SUBSETS = ("top1_std", "labelled")
"""Further metrics where only a share of the clips is labelled, or several draws are made."""


class LinearTask(Task[LinearConfig]):
    """Linear evaluation, on all or on a share of the labels.

    Attributes:
        timed_without: settings that make the timed evaluation short; the rest is extrapolated.
    """

    name = "linear"
    settings = LinearConfig
    metrics: ClassVar[tuple[str, ...]] = ("top1", "nn_top1", "top1_train", "weight_decay", *SUBSETS)
    values: ClassVar[tuple[str, ...]] = ("weight_decay", "labelled")
    scales: ClassVar[tuple[str, ...]] = ("epochs", "crops", "labels", "subsets")
    frozen = True
    timed_without: ClassVar[Json] = {"crops": 1, "standardise": False, "labels": 1.0, "subsets": 1}
    scores = True

    def resolved(self, settings: LinearConfig) -> Json:
        """Without the options of SGD if the weight decay is chosen, as there is no SGD then.

        Share and number of subsets are included only if not all clips are labelled.
        """
        values = super().resolved(settings)
        if settings.weight_decay == "auto":
            for name in ("epochs", "lr", "momentum", "milestones", "batch"):
                del values[name]
        if settings.all_labelled:
            del values["labels"], values["subsets"]
        return values

    def epochs(self, settings: LinearConfig) -> int:
        """Blocks of the classifier's epochs; with ``weight_decay: auto`` folds and the last fit."""
        return settings.draws * settings.blocks

    def tests(self, settings: LinearConfig) -> int:
        """How often the test side passes through the encoders."""
        return 1

    def clips_seen(self, settings: LinearConfig, train: int, test: int) -> float:
        """The passes over the labelled clips and over the test side, of all subsets."""
        labelled = _labelled(settings, train)
        once = settings.passes * labelled + self.tests(settings) * test
        return float(settings.draws * once)

    def predictions(self, settings: LinearConfig, test: int) -> int:
        """A prediction for each test clip and subset."""
        return settings.draws * test

    def checkpoint_bytes(
        self, settings: LinearConfig, encoders: Sequence[EncoderSize], num_classes: int
    ) -> int:
        """The classifier, its momentum, and the shift and scale of the features."""
        features = sum(each.features for each in encoders)
        momentum = 1 if settings.momentum > 0 and settings.weight_decay != "auto" else 0
        return FLOAT_BYTES * ((1 + momentum) * (features + 1) * num_classes + 2 * features)

    def start(self, inputs: Inputs, settings: LinearConfig) -> Evaluation:
        """A linear evaluation at its first epoch."""
        if settings.all_labelled:
            return self.whole(inputs, settings)
        from skelcon.downstream.subsets import SubsetEvaluation

        share, subsets = settings.labels, settings.draws
        return SubsetEvaluation(inputs, share, subsets, lambda part: self.whole(part, settings))

    def whole(self, inputs: Inputs, settings: LinearConfig) -> Evaluation:
        """An evaluation that uses the labels of all training clips of ``inputs``."""
        from skelcon.downstream.linear import kind_of

        return kind_of(settings)(inputs, settings)

    def seconds_per_clip(self, inputs: Inputs, settings: LinearConfig, steps: int) -> float:
        """Measured on a part of the clips: the encoders' passes, and the classifier's training."""
        from skelcon.downstream.tasks.timing import part_of, timed

        part = part_of(inputs)
        fitted, train, test = len(part.train), len(inputs.train), len(inputs.test)

        def seconds(**changes: object) -> float:
            short = settings.model_copy(update={**self.timed_without, **changes})
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
        labelled = settings.draws * _labelled(settings, train)
        return (encoders * seen + classifier * labelled) / seen


def _labelled(settings: LinearConfig, train: int) -> int:
    """About how many of ``train`` clips are labelled."""
    return max(1, round(settings.labels * train))
