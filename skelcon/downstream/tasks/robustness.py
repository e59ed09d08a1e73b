"""The task ``robustness``: a linear classifier, tested on corrupted clips as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from skelcon.config import Json
from skelcon.downstream.config import CORRUPTIONS, LinearConfig, RobustnessConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import Evaluation
from skelcon.downstream.tasks.linear import LinearTask

if TYPE_CHECKING:
    from skelcon.data.layouts import Dimensions


class RobustnessTask(LinearTask):
    """A linear evaluation, and its accuracy with noise, missing joints, ..."""

    name = "robustness"
    settings = RobustnessConfig
    metrics = (*LinearTask.metrics, *(f"top1_{kind}" for kind in CORRUPTIONS))
    scales = (*LinearTask.scales, *CORRUPTIONS)
    timed_without: ClassVar[Json] = {**LinearTask.timed_without, **dict.fromkeys(CORRUPTIONS, ())}

    def tests(self, settings: LinearConfig) -> int:
        """Once uncorrupted, and once for each severity of each corruption."""
        assert isinstance(settings, RobustnessConfig)
        return 1 + sum(map(len, settings.severities.values()))

    def why_without(self, metric: str, settings: LinearConfig, dimensions: Dimensions) -> str:
        """Clips in 2D cannot be turned; other corruptions may be left out by the settings."""
        kind = metric.removeprefix("top1_")
        if kind not in CORRUPTIONS:
            return super().why_without(metric, settings, dimensions)
        if kind == "camera" and dimensions == 2:
            return "clips in 2D cannot be turned"
        return f"{self.name}.{kind} is empty"

    def whole(self, inputs: Inputs, settings: LinearConfig) -> Evaluation:
        """As of `LinearTask`, with the corruptions."""
        from skelcon.downstream.robustness import RobustRegularised, RobustSGD

        kind = RobustRegularised if settings.weight_decay == "auto" else RobustSGD
        return kind(inputs, settings)
