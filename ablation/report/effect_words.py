"""The effects of a design in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.designs import Axis
from ablation.designs.describe import interaction
from ablation.designs.matrix import SAME, Pair
from ablation.evidence.design_cells import Effect
from ablation.evidence.effects import Effects


class EffectWords:
    """Names and sentences for the effects of one column of a design."""

    def __init__(self, each: Effects) -> None:
        self.effects = each
        self.names = {axis.name: axis.label for axis in each.axes}
        self._axes: Mapping[str, Axis] = {axis.name: axis for axis in each.axes}

    def factor(self, factors: Sequence[str]) -> str:
        """``Objective``, or ``Objective × Encoder = ...`` with the interactions aliased with it."""
        own = " × ".join(self.names[factor] for factor in factors)
        aliases = [interaction(pair, self.names) for pair in self._aliases(factors)]
        return " = ".join([own, *aliases])

    @property
    def shown_interactions(self) -> list[Effect]:
        """The significant interactions; of several that are aliased with each other the first."""
        found: list[Effect] = []
        for effect in self.effects.interactions:
            aliases = self._aliases(effect.factors)
            if effect.shown and not any(other.factors in aliases for other in found):
                found.append(effect)
        return found

    def _aliases(self, factors: Sequence[str]) -> list[Pair]:
        """The interactions that are the same effect in these runs."""
        others = self.effects.aliases.get((factors[0], factors[-1]), {})
        return [pair for pair, value in others.items() if value > SAME]

    def levels(self, effect: Effect, levels: Sequence[str]) -> str:
        """``BYOL``, or ``BYOL × SEQ``."""
        pairs = zip(effect.factors, levels, strict=True)
        return " × ".join(self.level(factor, level) for factor, level in pairs)

    def level(self, factor: str, level: str) -> str:
        """The label of a level."""
        axis = self._axes[factor]
        return axis.levels.get(level, level if axis.levels else f"{axis.label} {level}")

    def largest(self, factor: str) -> Effect | None:
        """The largest significant difference between levels of a factor; None if there is none."""
        own = [e for e in self.effects.main if e.factors == (factor,) and e.shown]
        return max(own, key=lambda effect: abs(effect.difference.value), default=None)

    def compared(self, effect: Effect) -> str:
        """``MoCo 3.1 points [1.0, 5.2] above BYOL``."""
        (factor,), (level,), (against,) = effect.factors, effect.levels, effect.against
        side = "above" if effect.difference.value > 0 else "below"
        names = self.level(factor, level), self.level(factor, against)
        return f"{names[0]} is {_size(effect)} {side} {names[1]}"

    def depending(self, effect: Effect) -> str:
        """``BYOL minus MoCo is 4.0 points [1.0, 7.0] higher with SEQ than with IMG``."""
        one, other = effect.factors
        first = self.level(one, effect.levels[0]), self.level(one, effect.against[0])
        second = self.level(other, effect.levels[1]), self.level(other, effect.against[1])
        side = "higher" if effect.difference.value > 0 else "lower"
        where = " than with ".join(second)
        sentence = f"{' minus '.join(first)} is {_size(effect)} {side} with {where}"
        return sentence + self._doubt(effect)

    def _doubt(self, effect: Effect) -> str:
        """Which other interactions an interaction is aliased with."""
        aliases = self._aliases(effect.factors)
        if aliases:
            names = " and ".join(interaction(pair, self.names) for pair in aliases)
            return f" (aliased with {names})"
        partly = self.effects.aliases.get((effect.factors[0], effect.factors[-1]), {})
        if not partly:
            return ""
        strongest = max(partly, key=partly.__getitem__)
        more = f" and {len(partly) - 1} more" if len(partly) > 1 else ""
        return f" (partly aliased with {interaction(strongest, self.names)}{more})"


def _size(effect: Effect) -> str:
    """``3.1 points [1.0, 5.2]``, without a sign."""
    value, within = effect.difference.value, effect.difference.interval
    ends = sorted(abs(100 * end) for end in within) if within is not None else []
    return f"{abs(100 * value):.1f} points [{', '.join(f'{end:.1f}' for end in ends)}]"
