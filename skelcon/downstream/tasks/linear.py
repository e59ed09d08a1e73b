"""The task ``linear``: a linear classifier on frozen encoders (A.1)."""

from __future__ import annotations

from skelcon.downstream.config import LinearConfig
from skelcon.downstream.tasks.base import Evaluation, Inputs, OneGo, Task

CLASSIFIER_EPOCHS = 5
"""Epochs of the classifier that are timed."""


class LinearTask(Task[LinearConfig]):
    """Linear evaluation."""

    name = "linear"
    settings = LinearConfig
    metrics = ("top1", "top1_train")
    scales = ("epochs", "crops")

    def clips_seen(self, settings: LinearConfig, train: int, test: int) -> float:
        """Each pass over the training clips, and one over the test side."""
        return float(settings.passes * train + test)

    def start(self, inputs: Inputs, settings: LinearConfig) -> Evaluation:
        """A linear evaluation; it runs in one go."""
        from skelcon.downstream.linear import linear_evaluation

        return OneGo(
            lambda: linear_evaluation(
                inputs.encoders,
                inputs.bank,
                inputs.train,
                inputs.test,
                inputs.num_classes,
                inputs.frames,
                settings,
                inputs.seed,
            )
        )

    def seconds_per_clip(self, inputs: Inputs, settings: LinearConfig, steps: int) -> float:
        """From a part of the clips: what a pass of the encoders takes, and a classifier's epoch."""
        from skelcon.downstream.tasks.timing import part_of, timed

        part = part_of(inputs)

        def seconds(epochs: int) -> float:
            short = settings.model_copy(update={"epochs": epochs, "crops": 1, "standardise": False})
            return timed(self.start(part, short).result, inputs.bank.device)

        seconds(1)  # not counted: the first allocates
        once, more = seconds(1), seconds(1 + CLASSIFIER_EPOCHS)
        fitted, train, test = len(part.train), len(inputs.train), len(inputs.test)
        classifier = max(0.0, more - once) / (CLASSIFIER_EPOCHS * fitted)
        encoders = max(0.0, once - classifier * fitted) / (fitted + len(part.test))
        seen = self.clips_seen(settings, train, test)
        return (encoders * seen + classifier * settings.epochs * train) / seen
