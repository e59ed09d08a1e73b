"""The task ``oneshot``: the class of the nearest exemplar; each class has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.downstream.config import OneShotConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import Evaluation, OneGo, Task

if TYPE_CHECKING:
    from skelcon.downstream.result import EvaluationResult


class OneShotTask(Task[OneShotConfig]):
    """Nearest exemplar by cosine similarity; nothing is trained."""

    name = "oneshot"
    settings = OneShotConfig
    metrics = ("top1", "chance")
    values = ("chance",)
    frozen = True

    def clips_seen(self, settings: OneShotConfig, train: int, test: int) -> float:
        """The test side; exemplars are few."""
        return float(test)

    def start(self, inputs: Inputs, settings: OneShotConfig) -> Evaluation:
        """A comparison with all exemplars, in one go."""
        return OneGo(lambda: _evaluated(inputs, settings))


def _evaluated(inputs: Inputs, settings: OneShotConfig) -> EvaluationResult:
    from skelcon.downstream.neighbours import nearest_labels
    from skelcon.downstream.oneshot import exemplars
    from skelcon.downstream.result import scored
    from skelcon.precision import computing

    labels = inputs.bank.labels
    chosen, tested = exemplars(inputs, settings.classes)
    with computing("fp32", inputs.bank.device):  # all but the encoders
        queries, gallery = (
            inputs.features(clips, settings.test_ratio, settings.precision)
            for clips in (tested, chosen)
        )
        predicted = nearest_labels(queries, gallery, labels[chosen])
    result = scored(tested, labels[tested], predicted)
    result.metrics["chance"] = 1 / len(chosen)
    return result
