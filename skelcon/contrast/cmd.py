"""CMD: representations learn each other's neighbours (Mao et al. 2022, "CMD: ...")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from skelcon.contrast.config import ContrastConfig
from skelcon.contrast.momentum import MomentumContrast
from skelcon.encoders import Encoder


def neighbour_divergence(
    teacher: Tensor, student: Tensor, neighbours: int, temperatures: tuple[float, float]
) -> Tensor:
    """KL(teacher || student) of their distributions over the teacher's nearest neighbours.

    Args:
        teacher: (B, K) similarities of keys to a queue; no gradient reaches them.
        student: (B, K) similarities of another representation's queries to its own queue, whose
            rows are of the same clips.
        neighbours: how many of the teacher's nearest neighbours count.
        temperatures: of the teacher and of the student.

    Returns:
        The mean over the batch.
    """
    near, at = teacher.detach().topk(neighbours, dim=1)
    target = (near / temperatures[0]).softmax(dim=1)
    found = (student.gather(1, at) / temperatures[1]).log_softmax(dim=1)
    return functional.kl_div(found, target, reduction="batchmean")


class MutualDistillation(MomentumContrast):
    """Momentum contrast in each representation, whose neighbours are targets for the others.

    The neighbours of a clip are among the negatives. Heads, queues and their temperature are set
    in ``pretrain.contrast``; it needs two representations or more.

    Args:
        encoders: representation -> its query encoder.
        config: the contrastive task.
        generator: a CPU generator for the initial queues.
        neighbours: the share of the negatives that are neighbours; half in the paper's code.
        teacher_temperature, student_temperature: of the distributions; a lower one is sharper.
        weight: of the distillation, summed over all ordered pairs.
    """

    fewest: ClassVar[int] = 2

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        config: ContrastConfig,
        generator: torch.Generator,
        neighbours: Annotated[float, Field(gt=0, le=1)] = 0.5,
        teacher_temperature: Annotated[float, Field(gt=0)] = 0.05,
        student_temperature: Annotated[float, Field(gt=0)] = 0.1,
        weight: Annotated[float, Field(ge=0)] = 1.0,
    ) -> None:
        super().__init__(encoders, config, generator)
        self.distilled, self.pairs = self.pairs, [(name, name) for name in encoders]
        self._neighbours = max(1, round(neighbours * config.queue))
        self._temperatures = teacher_temperature, student_temperature
        self._weight = weight

    def further_losses(
        self, queries: Mapping[str, Tensor], keys: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """The divergence of each ordered pair of representations, in both directions."""
        with torch.autocast(self.pointer.device.type, enabled=False):
            of_queries, of_keys = (
                {name: rows.float() @ self.queue(name).T for name, rows in each.items()}
                for each in (queries, keys)
            )
            return [
                self._weight
                * neighbour_divergence(
                    of_keys[teacher], of_queries[student], self._neighbours, self._temperatures
                )
                for student, teacher in self.distilled
            ]
