"""The task ``knn``: the nearest training clips vote for their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.downstream.config import KNNConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import Evaluation, OneGo, Task

if TYPE_CHECKING:
    from skelcon.downstream.result import EvaluationResult


class KNNTask(Task[KNNConfig]):
    """k nearest neighbours by cosine similarity; nothing is trained."""

    name = "knn"
    settings = KNNConfig
    metrics = ("top1", "nn_top1")
    frozen = True
    draws = False

    def start(self, inputs: Inputs, settings: KNNConfig) -> Evaluation:
        """A vote, in one go."""
        return OneGo(lambda: _evaluated(inputs, settings))


def _evaluated(inputs: Inputs, settings: KNNConfig) -> EvaluationResult:
    from skelcon.downstream.neighbours import nearest_labels, vote
    from skelcon.downstream.result import scored
    from skelcon.precision import computing

    labels = inputs.bank.labels
    with computing("fp32", inputs.bank.device):  # all but the encoders
        tested, gallery = (
            inputs.features(clips, settings.test_ratio, settings.precision)
            for clips in (inputs.test, inputs.train)
        )
        of_gallery = labels[inputs.train]
        predicted = vote(tested, gallery, of_gallery, settings.k, settings.temperature)
        nearest = nearest_labels(tested, gallery, of_gallery)
    result = scored(inputs.test, labels[inputs.test], predicted)
    result.metrics["nn_top1"] = scored(inputs.test, labels[inputs.test], nearest).metrics["top1"]
    return result
