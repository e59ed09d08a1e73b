"""Late fusion: cells that add up the class scores of several evaluations.

A fused cell has no unit of its own: `ablation.evidence.predictions` adds up the scores when a table
is made, so finished units can be fused without running anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablation.units import EncoderSource, EvaluateOn, EvaluateUnit, Side, Unit


@dataclass(frozen=True)
class Fusion:
    """The evaluations whose scores a fused cell adds up.

    Attributes:
        units: the evaluations, of one task on the same clips.
        weights: the weight of each one's probabilities.
    """

    units: tuple[EvaluateUnit, ...]
    weights: tuple[float, ...]

    @property
    def key(self) -> str:
        """The keys of its evaluations, for tables: ``key+key``, or ``key*0.6+key*0.4``."""
        keys = [unit.key for unit in self.units]
        if len(set(self.weights)) > 1:
            keys = [f"{key}*{w:g}" for key, w in zip(keys, self.weights, strict=True)]
        return "+".join(keys)

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the pre-trainings behind it."""
        return tuple(dict.fromkeys(key for unit in self.units for key in unit.needs))

    @property
    def side(self) -> Side:
        """The training side and the seed of its evaluations."""
        return self.units[0].side

    @property
    def test(self) -> EvaluateOn:
        """The side that is tested."""
        return self.units[0].test

    @property
    def task_name(self) -> str:
        """What messages call it."""
        return f"a fusion of {self.units[0].task_name}"

    def parameters(self, sizes: Sequence[int]) -> int:
        """The number of parameters of its encoders.

        Frozen encoders that several evaluations share count once. If evaluations share only some
        of their encoders these count twice, as only the total size of each evaluation is known.

        Args:
            sizes: the number of parameters of each of :attr:`units`.
        """
        total, counted = 0, set[EncoderSource]()
        each = sorted(zip(self.units, sizes, strict=True), key=lambda own: -len(own[0].encoders))
        for unit, size in each:
            if not (unit.task.frozen and counted.issuperset(unit.encoders)):
                total += size
            if unit.task.frozen:
                counted.update(unit.encoders)
        return total


def evaluations_of(unit: Unit | Fusion) -> tuple[Unit, ...]:
    """The evaluations behind a cell: its unit, or all units of a fusion."""
    return unit.units if isinstance(unit, Fusion) else (unit,)


def why_not(units: Sequence[EvaluateUnit]) -> str:
    """Why evaluations cannot be fused; empty if they can."""
    names = dict.fromkeys(unit.task_name for unit in units)
    if len(names) > 1:
        return f"it would fuse {' and '.join(names)}"
    if not units[0].task.scores:
        return f"{units[0].task_name} has no scores of classes to fuse"
    subsets = dict.fromkeys(unit.task.predictions(unit.settings, 1) for unit in units)
    if len(subsets) > 1:
        return f"it would fuse {' and '.join(map(str, subsets))} subsets of the labels"
    return ""
