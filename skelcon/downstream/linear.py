"""Linear evaluation: a linear classifier on a frozen encoder (A.1).

Beside its accuracy stands that of the nearest neighbour on the same features: it asks the features
alone, without a classifier's training.
"""

from __future__ import annotations

import functools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon import optimisers
from skelcon.augment import evaluation_view, training_view
from skelcon.data import ClipBank
from skelcon.downstream.config import FOLDS, WEIGHT_DECAYS, LinearConfig
from skelcon.downstream.features import extract
from skelcon.downstream.neighbours import nearest_labels
from skelcon.downstream.regularised import deal, fit_path, hits_on_path
from skelcon.downstream.result import EvaluationResult, scored, scores_of
from skelcon.encoders import Encoder
from skelcon.precision import computing
from skelcon.pretrain import EpochMetrics
from skelcon.seeding import generator


def linear_classifier(
    inputs: int, num_classes: int, draws: torch.Generator, device: torch.device
) -> nn.Linear:
    """A new classifier: weights from N(0, 0.01^2), zero bias."""
    weight = torch.randn(num_classes, inputs, generator=draws) * 0.01
    with torch.random.fork_rng(devices=[]):  # for what it draws itself
        classifier = nn.Linear(inputs, num_classes)
    with torch.no_grad():
        classifier.weight.copy_(weight)
        nn.init.zeros_(classifier.bias)
    return classifier.to(device)


def linear_evaluation(
    encoders: Sequence[Encoder],
    bank: ClipBank,
    train: Tensor,
    test: Tensor,
    num_classes: int,
    frames: int,
    config: LinearConfig,
    seed: int,
    groups: Tensor | None = None,
) -> EvaluationResult:
    """Train a linear classifier on ``train`` and report its last epoch on ``test``.

    Args:
        encoders: frozen; of several the features are concatenated (Table 10).
        bank: the clips.
        train, test: (n,) int64 clips of the two sides.
        num_classes: the number of classes.
        frames: T, the frames of a view.
        config: the classifier's training.
        seed: the unit's seed.
        groups: (n,) int64 the subject, camera or setup of each training clip, for
            ``weight_decay: auto``; clips are drawn at random where they are not known.

    Returns:
        As :meth:`LinearEvaluation.result` has it.
    """
    evaluation = LinearEvaluation.of(config)(
        encoders, bank, train, test, num_classes, frames, config, seed, groups
    )
    while not evaluation.done:
        evaluation.run_epoch()
    return evaluation.result()


class LinearEvaluation(ABC):
    """A linear evaluation in progress: call :meth:`run_epoch` until :attr:`done`.

    Each crop of the training clips passes through the encoders once; kept ones stay on the device.
    A crop's draw is derived from the seed and the crop's number, and an epoch's order from the seed
    and the epoch's: :meth:`state_dict` between two epochs is all that an exact resume needs, and
    crops are drawn again. The arguments are those of :func:`linear_evaluation`.

    Attributes:
        epoch: how many epochs have been run.
        encoders: as given; they stay as they are.
        classifier: what is trained.
    """

    task = "linear"

    def __init__(
        self,
        encoders: Sequence[Encoder],
        bank: ClipBank,
        train: Tensor,
        test: Tensor,
        num_classes: int,
        frames: int,
        config: LinearConfig,
        seed: int,
        groups: Tensor | None = None,
    ) -> None:
        self.bank, self.config, self.seed = bank, config, seed
        self.encoders, self._frames = list(encoders), frames
        self._train, self._test = train, test
        self._labels = bank.labels[train]
        self._groups = torch.zeros_like(train) if groups is None else groups
        self._kept: dict[int, Tensor] = {}
        self._norm: tuple[Tensor, Tensor] | None = None
        self._result: EvaluationResult | None = None
        self.epoch = 0
        self._num_classes = num_classes
        self.classifier = self._new_classifier(
            sum(encoder.feature_size for encoder in encoders), num_classes
        )

    @staticmethod
    def of(config: LinearConfig) -> type[LinearEvaluation]:
        """The kind of evaluation that ``config`` asks for."""
        return RegularisedEvaluation if config.weight_decay == "auto" else SGDEvaluation

    @property
    def epochs(self) -> int:
        """Epochs in all: those of the classifier in blocks, or folds and the last fit."""
        return self.config.blocks

    @property
    def done(self) -> bool:
        """Whether the last epoch has been run."""
        return self.epoch >= self.epochs

    def _new_classifier(self, features: int, num_classes: int) -> nn.Module:
        """What is trained, at its start."""
        draws = generator(self.seed, "linear")
        return linear_classifier(features, num_classes, draws, self.bank.device)

    @abstractmethod
    def _fit(self) -> tuple[float, float, float]:
        """The work of an epoch: its loss, its accuracy and its learning rate."""

    def run_epoch(self) -> EpochMetrics:
        """Run one epoch; the last evaluates on the test side as well.

        Raises:
            FloatingPointError: if a feature, the loss or the classifier is not finite.
        """
        with computing("fp32", self.bank.device):  # but for what the encoders do
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
            samples_per_s=len(self._train) / seconds,
            seconds=seconds,
        )

    def result(self) -> EvaluationResult:
        """The last epoch on the test side.

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
            labels = self.bank.labels[self._test]
            kept = (found[name].to(labels.device) for name in ("predictions", "scores"))
            result = scored(self._test, labels, *kept)
            result.metrics.update(found["metrics"])
            self._result = result

    def _extract(self, clips: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
        return extract(self.encoders, clips, view, precision=self.config.precision)

    def _as_tested(self, clips: Tensor) -> Tensor:
        """(n, D) features of the central part of ``clips``."""
        ratio = self.config.test_ratio
        return self._extract(
            clips, lambda some: evaluation_view(self.bank, some, ratio, self._frames)
        )

    @functools.cached_property
    def _gallery(self) -> Tensor:
        """(n, D) features of the training clips, seen as those of the test side are."""
        return self._as_tested(self._train)

    def _crop(self, number: int) -> Tensor:
        """(n, D) features of a crop of each training clip."""
        if self.config.crops == 0:
            return self._gallery
        if number in self._kept:
            return self._kept[number]
        draws = generator(self.seed, f"linear crop {number}")
        crop = self.config.crop
        features = self._extract(
            self._train,
            lambda some: training_view(self.bank, some, crop, self._frames, draws),
        )
        if self.config.crops is not None:
            self._kept[number] = features
        return features

    def _normed(self, features: Tensor) -> Tensor:
        """Standardised (if that is asked) by the first features that this is called with."""
        if self._norm is None:
            self._norm = standardisation(features, self.config.standardise)
        shift, scale = self._norm
        return (features - shift) * scale

    @torch.no_grad()
    def _evaluated(self, top1_train: float) -> EvaluationResult:
        """Classifier and nearest neighbour on the test side."""
        tested, labels = self._as_tested(self._test), self.bank.labels[self._test]
        logits = self.classifier(self._normed(tested))
        nearest = nearest_labels(tested, self._gallery, self._labels)
        result = scored(self._test, labels, logits.argmax(dim=1), scores_of(logits))
        result.metrics["nn_top1"] = scored(self._test, labels, nearest).metrics["top1"]
        result.metrics["top1_train"] = top1_train
        return result


class SGDEvaluation(LinearEvaluation):
    """Plain SGD on random crops, as in the paper.

    Where crops are kept an epoch of this evaluation is a block of the classifier's
    (:attr:`LinearConfig.block`); loss and accuracy are the last one's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self.config.weight_decay != "auto"
        self._optimiser = optimisers.SGD(
            self.classifier.parameters(),
            self.config.lr,
            momentum=self.config.momentum,
            weight_decay=self.config.weight_decay,
        )

    def _fit(self) -> tuple[float, float, float]:
        """Train the epochs of a block; nothing is read back from the device before its end."""
        config = self.config
        first = self.epoch * config.block
        for epoch in range(first, min(first + config.block, config.epochs)):
            crop = epoch if config.crops is None else epoch % max(1, config.crops)
            features = self._normed(self._crop(crop))
            lr = config.lr * math.prod(0.1 for at in config.milestones if epoch >= at)
            for group in self._optimiser.param_groups:
                group["lr"] = lr
            draws = generator(self.seed, f"linear epoch {epoch}")
            order = torch.randperm(len(self._train), generator=draws).to(self.bank.device)
            totals = self._one_epoch(features, torch.split(order, config.batch))
        loss, top1 = (totals / len(self._train)).tolist()
        return loss, top1, lr

    def _one_epoch(self, features: Tensor, batches: Sequence[Tensor]) -> Tensor:
        """A step on each of ``batches``; the sum of the losses and the hits of their clips."""
        totals = torch.zeros(2, dtype=torch.float64, device=features.device)
        for some in batches:
            labels = self._labels[some]
            logits = self.classifier(features[some])
            loss = functional.cross_entropy(logits, labels)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._optimiser.step()
            totals[0] += loss.detach() * len(some)
            totals[1] += logits.argmax(dim=1).eq(labels).sum()
        return totals

    def state_dict(self) -> dict[str, Any]:
        """As of every linear evaluation, with the optimiser."""
        return {**super().state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        super().load_state_dict(state)
        self._optimiser.load_state_dict(state["optimiser"])


class RegularisedEvaluation(LinearEvaluation):
    """The weight decay is chosen by cross-validation over groups of training clips.

    Each of the first epochs is a fold: classifiers of all weight decays of
    :data:`~skelcon.downstream.config.WEIGHT_DECAYS` are fitted without its groups, and evaluated on
    them as on the test side. The last epoch fits all training clips with the weight decay of the
    most hits, the stronger of equal ones, which is the metric ``weight_decay``. The test side
    chooses nothing.

    On features of many dimensions SGD with the paper's learning rate of 0.1 does not converge, with
    any weight decay; the fit is by L-BFGS.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hits = torch.zeros(len(WEIGHT_DECAYS), dtype=torch.long)

    def _fit(self) -> tuple[float, float, float]:
        """A fold's smallest loss and best accuracy; in the last epoch those of the training."""
        if self.epoch < FOLDS:
            loss, top1 = self._validate(self.epoch)
        else:
            loss, top1 = self._train_all()
        return loss, top1, 1.0  # the first step that L-BFGS tries

    def _validate(self, fold: int) -> tuple[float, float]:
        held_out = deal(self._groups, self._labels, self.seed).eq(fold)
        count = int(held_out.sum())
        if count in (0, len(held_out)):  # there are fewer groups than folds
            return 0.0, 0.0
        features, labels, (shift, scale) = self._part(~held_out)
        tested = (self._gallery[held_out] - shift) * scale
        classifiers = fit_path(features, labels, self._num_classes, WEIGHT_DECAYS)
        hits, loss = hits_on_path(classifiers, tested, self._labels[held_out])
        self._hits += hits
        return loss, int(hits.max()) / count

    def _train_all(self) -> tuple[float, float]:
        features, labels, self._norm = self._part(torch.ones_like(self._labels, dtype=torch.bool))
        path = WEIGHT_DECAYS[: self._chosen + 1]
        weight, bias = fit_path(features, labels, self._num_classes, path)[-1]
        assert isinstance(self.classifier, nn.Linear)
        with torch.no_grad():
            self.classifier.weight.copy_(weight)
            self.classifier.bias.copy_(bias)
        hits, loss = hits_on_path([(weight, bias)], features, labels)
        return loss, int(hits) / len(labels)

    @property
    def _chosen(self) -> int:
        """Which weight decay has the most hits; the grid starts with the strongest."""
        return int(self._hits.argmax())

    def _part(self, chosen: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """All crops of the ``chosen`` (n,) training clips, their labels, and how they are
        standardised: by the first crop of the same clips."""
        crops = [self._crop(number)[chosen] for number in range(max(1, self.config.crops or 0))]
        shift, scale = standardisation(crops[0], self.config.standardise)
        features = torch.cat([(crop - shift) * scale for crop in crops])
        return features, self._labels[chosen].repeat(len(crops)), (shift, scale)

    def _evaluated(self, top1_train: float) -> EvaluationResult:
        result = super()._evaluated(top1_train)
        result.metrics["weight_decay"] = WEIGHT_DECAYS[self._chosen]
        return result

    def state_dict(self) -> dict[str, Any]:
        """As of every linear evaluation, with the hits so far."""
        return {**super().state_dict(), "hits": self._hits.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        super().load_state_dict(state)
        self._hits = state["hits"].cpu().clone()


def standardisation(features: Tensor, standardise: bool) -> tuple[Tensor, Tensor]:
    """Shift and scale of each of ``features`` (n, D); a constant feature becomes zero."""
    if not standardise:
        return torch.zeros_like(features[0]), torch.ones_like(features[0])
    shift = features.mean(dim=0)
    # (of a single labelled clip there is none)
    deviation = features.std(dim=0) if len(features) > 1 else torch.zeros_like(shift)
    return shift, torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0)
