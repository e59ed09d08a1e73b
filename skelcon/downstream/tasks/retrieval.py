"""The task ``retrieval``: the class of the nearest training clip (A.1)."""

from __future__ import annotations

from skelcon.downstream.config import RetrievalConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import Evaluation, OneGo, Task


class RetrievalTask(Task[RetrievalConfig]):
    """Nearest-neighbour retrieval; nothing is trained."""

    name = "retrieval"
    settings = RetrievalConfig
    metrics = ("top1", "nn_top1")
    frozen = True
    draws = False

    def start(self, inputs: Inputs, settings: RetrievalConfig) -> Evaluation:
        """A retrieval, in one go."""
        from skelcon.downstream.neighbours import retrieval

        return OneGo(lambda: retrieval(inputs, settings))
