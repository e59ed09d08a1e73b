"""What a downstream task is: its settings, its metrics, its cost, and how it runs.

Importing a task does not import torch: what plans an evaluation only needs its settings. Its
algorithm is imported when an evaluation starts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from skelcon.config import Config, Json
from skelcon.downstream.inputs import Inputs

if TYPE_CHECKING:
    from skelcon.data.layouts import Dimensions
    from skelcon.downstream.result import EvaluationResult
    from skelcon.pretrain import EpochMetrics

SettingsT = TypeVar("SettingsT", bound=Config)

FORWARD = 1 / 3
"""The cost of a forward pass of a clip, relative to a training step on it."""

FLOAT_BYTES = 4


@dataclass(frozen=True)
class EncoderSize:
    """How large an encoder is.

    Attributes:
        weights: bytes of its parameters and buffers.
        parameters: how many trainable values it has.
        features: the size of its feature.
    """

    weights: int
    parameters: int
    features: int


class Evaluation(Protocol):
    """An evaluation in progress: call :meth:`run_epoch` until :attr:`done`, then :meth:`result`.

    Attributes:
        epoch: how many epochs have been run.
    """

    epoch: int

    @property
    def epochs(self) -> int:
        """Epochs in all; 0 if the task runs in one go."""
        ...

    @property
    def done(self) -> bool:
        """Whether no epoch is left to run."""
        ...

    def run_epoch(self) -> EpochMetrics:
        """Run one epoch."""
        ...

    def result(self) -> EvaluationResult:
        """The result, once :attr:`done`; for a task that runs in one go this does all the work."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state between two epochs, for an exact resume: tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        ...


class OneGo:
    """An :class:`Evaluation` without epochs.

    Args:
        evaluate: does all the work.
    """

    def __init__(self, evaluate: Callable[[], EvaluationResult]) -> None:
        self._evaluate = evaluate
        self.epoch = 0

    @property
    def epochs(self) -> int:
        """0."""
        return 0

    @property
    def done(self) -> bool:
        """True: there is no epoch to run."""
        return True

    def run_epoch(self) -> EpochMetrics:
        """Raises RuntimeError: there is none to run."""
        raise RuntimeError("this evaluation runs in one go: call result()")

    def result(self) -> EvaluationResult:
        """Do the work."""
        return self._evaluate()

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing."""


def completed(evaluation: Evaluation) -> EvaluationResult:
    """Run the epochs of ``evaluation`` that are left; returns its result."""
    while not evaluation.done:
        evaluation.run_epoch()
    return evaluation.result()


class Task(ABC, Generic[SettingsT]):
    """A downstream task. The defaults of its methods suit one that runs in one go.

    Attributes:
        name: what settings, studies and ``--task`` call it.
        settings: the class of its settings.
        metrics: the names of the metrics that its result may have.
        values: the metrics that are not fractions of clips: no table prints them.
        scales: the settings that change how many clips it sees, but not the cost of one.
        frozen: whether the encoders are not trained.
        draws: whether its result depends on the seed, apart from the encoders' weights.
        scores: whether its result has the scores of all classes for each clip, for late fusion.
        version: of a registered task; part of the key of its evaluations.
    """

    name: ClassVar[str]
    settings: type[SettingsT]
    metrics: ClassVar[tuple[str, ...]]
    values: ClassVar[tuple[str, ...]] = ()
    scales: ClassVar[tuple[str, ...]] = ()
    frozen: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    scores: ClassVar[bool] = False
    version: str | None = None

    def options_of(self, settings: SettingsT) -> Json:
        """The part of a key: :meth:`resolved`, and the version of a registered task."""
        values = self.resolved(settings)
        return values if self.version is None else {**values, "version": self.version}

    def settings_of(self, options: Json) -> SettingsT:
        """The settings behind :meth:`options_of`; ValueError if another version made them."""
        values = dict(options)
        made_by = values.pop("version", None)
        if made_by != self.version:
            raise ValueError(
                f"version {made_by} of the task '{self.name}' is required, but version "
                f"{self.version} is loaded"
            )
        return self.settings.model_validate(values)

    def resolved(self, settings: SettingsT) -> Json:
        """The settings that determine the outcome, as plain JSON values; they are hashed.

        For frozen encoders the precision is among them only if it is not the default.
        """
        values: Json = settings.model_dump(mode="json")
        if self.frozen and values.get("precision") == "fp32":
            del values["precision"]
        return values

    def epochs(self, settings: SettingsT) -> int:
        """Epochs, between which there are checkpoints; 0 if the task runs in one go."""
        return 0

    def clips_seen(self, settings: SettingsT, train: int, test: int) -> float:
        """How many clips pass through the encoders; a clip that is not trained on may count less.

        Args:
            settings: the task's.
            train, test: the numbers of clips of the two sides.
        """
        return float(train + test)

    def predictions(self, settings: SettingsT, test: int) -> int:
        """How many predictions the result has for ``test`` clips."""
        return test

    def why_without(self, metric: str, settings: SettingsT, dimensions: Dimensions) -> str:
        """Why one of :attr:`metrics` is not in a result.

        Args:
            metric: which.
            settings: the task's.
            dimensions: of the clips.
        """
        return f"{self.name} does not measure {metric} with these settings"

    def checkpoint_bytes(
        self, settings: SettingsT, encoders: Sequence[EncoderSize], num_classes: int
    ) -> int:
        """Bytes of a checkpoint; 0 if the task runs in one go."""
        return 0

    @abstractmethod
    def start(self, inputs: Inputs, settings: SettingsT) -> Evaluation:
        """An evaluation of ``inputs`` at its start."""

    def seconds_per_clip(self, inputs: Inputs, settings: SettingsT, steps: int) -> float:
        """Seconds for each of the clips that :meth:`clips_seen` counts, measured now.

        By default from an evaluation of a part of the clips.

        Args:
            inputs: as for :meth:`start`; some of their clips are used.
            settings: the task's.
            steps: optimisation steps that are timed, for a task that trains encoders.
        """
        from skelcon.downstream.tasks.timing import part_of, timed

        part = part_of(inputs)
        completed(self.start(part, settings))  # not counted: the first allocates
        seconds = timed(lambda: completed(self.start(part, settings)), inputs.bank.device)
        return seconds / self.clips_seen(settings, len(part.train), len(part.test))
