"""The task ``linear``: a linear classifier on frozen encoders (A.1)."""

from __future__ import annotations

from pydantic import Field

from skelcon.config import Config
from skelcon.downstream.tasks.base import Evaluation, Inputs, OneGo, Task

CLASSIFIER_EPOCHS = 5
"""Epochs of the classifier that are timed."""


class LinearConfig(Config):
    """Training of the linear classifier; defaults are A.1's, where silent the authors' code's."""

    epochs: int = Field(80, ge=1, description="passes over the training clips")
    lr: float = Field(0.1, gt=0, description="learning rate of SGD")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(0.0, ge=0, description="of SGD")
    milestones: tuple[int, ...] = Field((50, 70), description="epochs at which lr becomes lr / 10")
    batch: int = Field(64, ge=1, description="clips of a step")
    l_min: float = Field(0.5, gt=0, le=1, description="training crops have a ratio in [l_min, 1]")
    test_ratio: float = Field(0.95, gt=0, le=1, description="the central part that is tested")
    crops: int | None = Field(
        None,
        ge=1,
        description="random crops of each training clip, taken in turn; a fresh one each epoch "
        "if not set",
    )
    standardise: bool = Field(
        default=False,
        description="zero mean and unit variance of each feature over the first training crops "
        "(not in the paper)",
    )

    @property
    def passes(self) -> int:
        """How often the training clips pass through the encoders."""
        return min(self.crops or self.epochs, self.epochs)


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
