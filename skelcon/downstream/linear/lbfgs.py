"""A linear evaluation by L-BFGS, whose weight decay is chosen on the training side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skelcon.downstream.config import FOLDS, WEIGHT_DECAYS, LinearConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.linear.base import LinearEvaluation, standardisation
from skelcon.downstream.regularised import assign_folds, fit_path, hits_on_path
from skelcon.downstream.result import EvaluationResult


class RegularisedEvaluation(LinearEvaluation):
    """The weight decay is chosen by cross-validation over groups of training clips.

    Each of the first epochs is a fold: classifiers with all of
    :data:`~skelcon.downstream.config.WEIGHT_DECAYS` are fitted without the fold's groups, and
    tested on them. The last epoch fits all training clips with the weight decay that has the most
    hits, or the strongest of several such; it is the metric ``weight_decay``. The test side chooses
    nothing.

    The fit is by L-BFGS: on features of many dimensions SGD with the paper's learning rate of 0.1
    does not converge, whatever the weight decay.
    """

    def __init__(self, inputs: Inputs, config: LinearConfig) -> None:
        super().__init__(inputs, config)
        self._hits = torch.zeros(len(WEIGHT_DECAYS), dtype=torch.long)

    def _fit(self) -> tuple[float, float, float]:
        """Smallest loss and best accuracy on a fold; in the last epoch, on the training clips."""
        if self.epoch < FOLDS:
            loss, top1 = self._validate(self.epoch)
        else:
            loss, top1 = self._train_all()
        return loss, top1, 1.0  # the first step that L-BFGS tries

    def _validate(self, fold: int) -> tuple[float, float]:
        held_out = assign_folds(self.inputs.groups, self._labels, self.inputs.seed).eq(fold)
        count = int(held_out.sum())
        if count in (0, len(held_out)):  # there are fewer groups than folds
            return 0.0, 0.0
        features, labels, (shift, scale) = self._part(~held_out)
        tested = (self._gallery[held_out] - shift) * scale
        classifiers = fit_path(features, labels, self.inputs.num_classes, WEIGHT_DECAYS)
        hits, loss = hits_on_path(classifiers, tested, self._labels[held_out])
        self._hits += hits
        return loss, int(hits.max()) / count

    def _train_all(self) -> tuple[float, float]:
        features, labels, self._norm = self._part(torch.ones_like(self._labels, dtype=torch.bool))
        path = WEIGHT_DECAYS[: self._chosen + 1]
        weight, bias = fit_path(features, labels, self.inputs.num_classes, path)[-1]
        assert isinstance(self.classifier, nn.Linear)
        with torch.no_grad():
            self.classifier.weight.copy_(weight)
            self.classifier.bias.copy_(bias)
        hits, loss = hits_on_path([(weight, bias)], features, labels)
        return loss, int(hits) / len(labels)

    @property
    def _chosen(self) -> int:
        """The position of the weight decay with the most hits; the strongest comes first."""
        return int(self._hits.argmax())

    def _part(self, chosen: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Standardised crops of the ``chosen`` (n,) training clips, their labels, shift and scale.

        Shift and scale are computed from the clips' first crop.
        """
        crops = [self._crop(number)[chosen] for number in range(max(1, self.config.crops or 0))]
        shift, scale = standardisation(crops[0], self.config.standardise)
        features = torch.cat([(crop - shift) * scale for crop in crops])
        return features, self._labels[chosen].repeat(len(crops)), (shift, scale)

    def _evaluated(self, top1_train: float) -> EvaluationResult:
        result = super()._evaluated(top1_train)
        result.metrics["weight_decay"] = WEIGHT_DECAYS[self._chosen]
        return result

    def state_dict(self) -> dict[str, Any]:
        """The state of every linear evaluation, and the hits so far."""
        return {**super().state_dict(), "hits": self._hits.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        super().load_state_dict(state)
        self._hits = state["hits"].cpu().clone()
