"""The task ``retrieval``: the class of the nearest training clip (A.1)."""

from __future__ import annotations

from pydantic import Field

from skelcon.config import Config
from skelcon.downstream.tasks.base import Evaluation, Inputs, OneGo, Task


class RetrievalConfig(Config):
    """Nearest-neighbour retrieval."""

    test_ratio: float = Field(
        0.95, gt=0, le=1, description="the central part of a clip, on both sides"
    )


class RetrievalTask(Task[RetrievalConfig]):
    """Nearest-neighbour retrieval; nothing is trained."""

    name = "retrieval"
    settings = RetrievalConfig
    metrics = ("top1",)

    def start(self, inputs: Inputs, settings: RetrievalConfig) -> Evaluation:
        """A retrieval; it runs in one go."""
        from skelcon.downstream.neighbours import retrieval

        return OneGo(
            lambda: retrieval(
                inputs.encoders, inputs.bank, inputs.train, inputs.test, inputs.frames, settings
            )
        )

    def seconds_per_clip(self, inputs: Inputs, settings: RetrievalConfig, steps: int) -> float:
        """Of the retrieval of a part of the clips."""
        from skelcon.downstream.tasks.timing import part_of, timed

        part = part_of(inputs)
        evaluation = self.start(part, settings)
        evaluation.result()  # not counted: the first allocates
        seconds = timed(evaluation.result, inputs.bank.device)
        return seconds / (len(part.train) + len(part.test))
