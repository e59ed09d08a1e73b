"""The result of an evaluation: metrics, and a prediction for every test clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class EvaluationResult:
    """Metrics and per-sample predictions of a downstream task.

    Attributes:
        metrics: name -> value; accuracies are fractions.
        clips, labels: (n,) int64 over the test clips, in file order.
        predictions: (n,) int64; (subsets, n) from a task that ran on several subsets.
        scores: (n, classes) float32 log-probabilities of the classes, or (subsets, n, classes);
            None if the task has none.
    """

    metrics: dict[str, float]
    clips: NDArray[np.int64]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    scores: NDArray[np.float32] | None = None


def scored(
    clips: Tensor, labels: Tensor, predictions: Tensor, scores: Tensor | None = None
) -> EvaluationResult:
    """The top-1 accuracy of ``predictions`` (n,) against ``labels`` (n,)."""
    hits = int(predictions.eq(labels).sum())
    return EvaluationResult(
        metrics={"top1": hits / len(labels)},
        clips=clips.cpu().numpy(),
        labels=labels.cpu().numpy(),
        predictions=predictions.cpu().numpy(),
        scores=None if scores is None else scores.cpu().numpy(),
    )


def scores_of(logits: Tensor) -> Tensor:
    """Log-probabilities of logits (n, classes), in float32.

    In float16 the scores of classes that an encoder hardly separates would be equal.
    """
    return functional.log_softmax(logits.float(), dim=1)
