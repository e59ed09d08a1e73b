"""What the effects of a design are called, and what is said of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.designs import Axis
from ablation.designs.describe import interaction
from ablation.designs.matrix import SAME, Pair
from ablation.evidence.design_cells import Effect
from ablation.evidence.effects import Effects


class EffectWords:
    """What factors and levels of some effects are called."""

    def __init__(self, each: Effects) -> None:
        self.effects = each
        self.names = {axis.name: axis.label for axis in each.axes}
        self._axes: Mapping[str, Axis] = {axis.name: axis for axis in each.axes}

    def factor(self, factors: Sequence[str]) -> str:
        """``Objective``, or ``Objective × Encoder``, with what is the same in these runs."""
        parts = [" × ".join(self.names[factor] for factor in factors)]
        return " = ".join(
            [*parts, *(interaction(each, self.names) for each in self._same(factors))]
        )

    @property
    def shown_interactions(self) -> list[Effect]:
        """Those that are shown, and of those that are the same in these runs the first."""
        found: list[Effect] = []
        for effect in self.effects.interactions:
            same = self._same(effect.factors)
            if effect.shown and not any(other.factors in same for other in found):
                found.append(effect)
        return found

    def _same(self, factors: Sequence[str]) -> list[Pair]:
        others = self.effects.mixed.get((factors[0], factors[-1]), {})
        return [pair for pair, value in others.items() if value > SAME]

    def levels(self, effect: Effect, levels: Sequence[str]) -> str:
        """``BYOL``, or ``BYOL × SEQ``."""
        pairs = zip(effect.factors, levels, strict=True)
        return " × ".join(self.level(factor, level) for factor, level in pairs)

    def level(self, factor: str, level: str) -> str:
        """Its label."""
        axis = self._axes[factor]
        return axis.levels.get(level, level if axis.levels else f"{axis.label} {level}")

    def largest(self, factor: str) -> Effect | None:
        """The largest difference that is shown."""
        own = [e for e in self.effects.main if e.factors == (factor,) and e.shown]
        return max(own, key=lambda effect: abs(effect.difference.value), default=None)

    def compared(self, effect: Effect) -> str:
        """``MoCo 3.1 points [1.0, 5.2] above BYOL``."""
        (factor,), (level,), (against,) = effect.factors, effect.levels, effect.against
        side = "above" if effect.difference.value > 0 else "below"
        names = self.level(factor, level), self.level(factor, against)
        return f"{names[0]} is {_size(effect)} {side} {names[1]}"

    def depending(self, effect: Effect) -> str:
        """``BYOL less MoCo is 4.0 points [1.0, 7.0] higher with SEQ than with IMG``."""
        one, other = effect.factors
        first = self.level(one, effect.levels[0]), self.level(one, effect.against[0])
        second = self.level(other, effect.levels[1]), self.level(other, effect.against[1])
        side = "higher" if effect.difference.value > 0 else "lower"
        told = f"{' less '.join(first)} is {_size(effect)} {side} with {' than with '.join(second)}"
        return told + self._doubt(effect)

    def _doubt(self, effect: Effect) -> str:
        """What else an interaction may be."""
        same = self._same(effect.factors)
        if same:
            others = " or ".join(interaction(pair, self.names) for pair in same)
            return f" (or it is {others}: the runs cannot tell which)"
        others_in_part = self.effects.mixed.get((effect.factors[0], effect.factors[-1]), {})
        if not others_in_part:
            return ""
        pair = max(others_in_part, key=others_in_part.__getitem__)
        more = len(others_in_part) - 1
        told = interaction(pair, self.names) + (f" and {more} more" if more else "")
        return f" (the runs mix it in part with {told})"


def _size(effect: Effect) -> str:
    """``3.1 points [1.0, 5.2]``, without a sign."""
    value, within = effect.difference.value, effect.difference.interval
    ends = sorted(abs(100 * end) for end in within) if within is not None else []
    return f"{abs(100 * value):.1f} points [{', '.join(f'{end:.1f}' for end in ends)}]"
