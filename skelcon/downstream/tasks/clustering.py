"""The task ``clustering``: k-means of the test side, compared with its classes."""

from __future__ import annotations

from skelcon.downstream.config import ClusteringConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import Evaluation, OneGo, Task


class ClusteringTask(Task[ClusteringConfig]):
    """As many clusters as classes, found without labels and without training clips."""

    name = "clustering"
    settings = ClusteringConfig
    metrics = ("top1", "nmi", "ari")
    frozen = True

    def clips_seen(self, settings: ClusteringConfig, train: int, test: int) -> float:
        """The test side."""
        return float(test)

    def start(self, inputs: Inputs, settings: ClusteringConfig) -> Evaluation:
        """A clustering, in one go."""
        from skelcon.downstream.clustering import clustering

        return OneGo(lambda: clustering(inputs, settings))
