"""The common part of both kinds of linear evaluation: crops, features, test side and state."""

from __future__ import annotations

import functools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skelcon.augment import training_view
from skelcon.downstream.config import LinearConfig
from skelcon.downstream.features import extract
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.neighbours import nearest_labels
from skelcon.downstream.result import EvaluationResult, scored, scores_of
from skelcon.precision import computing
from skelcon.pretrain import EpochMetrics
from skelcon.seeding import generator


def linear_classifier(
    inputs: int, num_classes: int, draws: torch.Generator, device: torch.device
) -> nn.Linear:
    """A new classifier: weights from N(0, 0.01^2), zero bias."""
    weight = torch.randn(num_classes, inputs, generator=draws) * 0.01
    with torch.random.fork_rng(devices=[]):  # for the initial weights that nn.Linear draws
        classifier = nn.Linear(inputs, num_classes)
    with torch.no_grad():
        classifier.weight.copy_(weight)
        nn.init.zeros_(classifier.bias)
    return classifier.to(device)


class LinearEvaluation(ABC):
    """A linear evaluation in progress: call :meth:`run_epoch` until :attr:`done`.

    Each crop of the training clips passes through the encoders once; features that are used again
    stay on the device. The randomness of a crop is derived from the seed and the crop's number, and
    the order of an epoch from the seed and the epoch's number: :meth:`state_dict` between two
    epochs is all that an exact resume needs, which draws the same crops again.

    Args:
        inputs: the clips, and frozen encoders.
        config: the classifier's training.

    Attributes:
        epoch: how many epochs have been run.
        classifier: the network that is trained.
    """

    task = "linear"

    def __init__(self, inputs: Inputs, config: LinearConfig) -> None:
        self.inputs, self.config = inputs, config
        self._labels = inputs.bank.labels[inputs.train]
        self._kept: dict[int, Tensor] = {}
        self._norm: tuple[Tensor, Tensor] | None = None
        self._result: EvaluationResult | None = None
        self.epoch = 0
        self.classifier = self._new_classifier(
            sum(encoder.feature_size for encoder in inputs.encoders)
        )

    @property
    def epochs(self) -> int:
        """Blocks of the classifier's epochs, or folds and the last fit."""
        return self.config.blocks

    @property
    def done(self) -> bool:
        """Whether the last epoch has been run."""
        return self.epoch >= self.epochs

    def _new_classifier(self, features: int) -> nn.Module:
        """The classifier of so many features, before its training."""
        inputs, draws = self.inputs, generator(self.inputs.seed, "linear")
        return linear_classifier(features, inputs.num_classes, draws, inputs.bank.device)

    @abstractmethod
    def _fit(self) -> tuple[float, float, float]:
        """Do the work of an epoch; returns its loss, accuracy and learning rate."""

    def run_epoch(self) -> EpochMetrics:
        """Run one epoch; after the last one, evaluate on the test side.

        Raises:
            FloatingPointError: if a feature, the loss or the classifier is not finite.
        """
        with computing("fp32", self.inputs.bank.device):  # all but the encoders
            return self._run_epoch()

    def _run_epoch(self) -> EpochMetrics:
        started = time.perf_counter()
        loss, top1, lr = self._fit()
        weights = self.classifier.parameters()
        if not (math.isfinite(loss) and all(bool(each.isfinite().all()) for each in weights)):
            raise FloatingPointError(
                f"the {self.task} classifier's weights became infinite: lower {self.task}.lr"
            )
        self.epoch += 1
        if self.done:
            self._result = self._evaluated(top1)
        seconds = time.perf_counter() - started
        return EpochMetrics(
            epoch=self.epoch - 1,
            loss=loss,
            top1=top1,
            lr=lr,
            samples_per_s=len(self._labels) / seconds,
            seconds=seconds,
        )

    def result(self) -> EvaluationResult:
        """The result on the test side, after the last epoch.

        Returns:
            ``top1`` on the test side, ``nn_top1`` of the nearest training clip by cosine, and
            ``top1_train`` on the training crops. With ``auto`` also the ``weight_decay``.

        Raises:
            RuntimeError: if epochs are left to run.
        """
        if self._result is None:
            raise RuntimeError(
                f"{self.epochs - self.epoch} of {self.epochs} epochs are left to run"
            )
        return self._result

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch and the result depend on: tensors and plain values."""
        result = None
        if self._result is not None:
            names = ("predictions", "scores")
            kept = {name: torch.from_numpy(getattr(self._result, name)) for name in names}
            result = {"metrics": self._result.metrics, **kept}
        return {
            "epoch": self.epoch,
            "classifier": self.classifier.state_dict(),
            "norm": self._norm,
            "result": result,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        self.epoch = int(state["epoch"])
        self.classifier.load_state_dict(state["classifier"])
        self._norm = state["norm"]
        found = state["result"]
        if found is not None:
            test = self.inputs.test
            labels = self.inputs.bank.labels[test]
            kept = (found[name].to(labels.device) for name in ("predictions", "scores"))
            result = scored(test, labels, *kept)
            result.metrics.update(found["metrics"])
            self._result = result

    def _extract(self, clips: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
        return extract(self.inputs.encoders, clips, view, precision=self.config.precision)

    def _as_tested(self, clips: Tensor) -> Tensor:
        """(n, D) features of the central part of ``clips``."""
        return self.inputs.features(clips, self.config.test_ratio, self.config.precision)

    @functools.cached_property
    def _gallery(self) -> Tensor:
        """(n, D) features of the central part of the training clips."""
        return self._as_tested(self.inputs.train)

    def _crop(self, number: int) -> Tensor:
        """(n, D) features of a crop of each training clip."""
        if self.config.crops == 0:
            return self._gallery
        if number in self._kept:
            return self._kept[number]
        inputs, crop = self.inputs, self.config.crop
        draws = generator(inputs.seed, f"linear crop {number}")
        features = self._extract(
            inputs.train,
            lambda some: training_view(inputs.bank, some, crop, inputs.frames, draws),
        )
        if self.config.crops is not None:
            self._kept[number] = features
        return features

    def _normed(self, features: Tensor) -> Tensor:
        """Standardised (if configured) by the first features that this is called with."""
        if self._norm is None:
            self._norm = standardisation(features, self.config.standardise)
        shift, scale = self._norm
        return (features - shift) * scale

    @torch.no_grad()
    def _evaluated(self, top1_train: float) -> EvaluationResult:
        """Classifier and nearest neighbour on the test side."""
        test = self.inputs.test
        tested, labels = self._as_tested(test), self.inputs.bank.labels[test]
        logits = self.classifier(self._normed(tested))
        nearest = nearest_labels(tested, self._gallery, self._labels)
        result = scored(test, labels, logits.argmax(dim=1), scores_of(logits))
        result.metrics["nn_top1"] = scored(test, labels, nearest).metrics["top1"]
        result.metrics["top1_train"] = top1_train
        return result


def standardisation(features: Tensor, standardise: bool) -> tuple[Tensor, Tensor]:
    """Shift and scale of each of ``features`` (n, D); a constant feature becomes zero."""
    if not standardise:
        return torch.zeros_like(features[0]), torch.ones_like(features[0])
    shift = features.mean(dim=0)
    # A single labelled clip has no deviation.
    deviation = features.std(dim=0) if len(features) > 1 else torch.zeros_like(shift)
    return shift, torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0)
