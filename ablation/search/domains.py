"""The values that a setting may take in a search. Knows nothing of Ray or optuna."""

from __future__ import annotations

import contextlib
import math
import random
from typing import Any, Literal, get_args

from pydantic import model_validator

from skelcon.config import Config
from skelcon.errors import nearest

Kind = Literal["uniform", "loguniform", "int", "logint", "choice"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Domain(Config):
    """One of ``{uniform: [low, high]}``, ``loguniform``, ``int``, ``logint`` or ``choice``.

    Attributes:
        kind: which of them.
        values: the two bounds, both included, or the values to choose from.
    """

    kind: Kind
    values: tuple[Any, ...]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, dict) or len(given) != 1:
            raise ValueError(f"give one of {', '.join(KINDS)}, such as {{uniform: [0.1, 0.9]}}")
        ((kind, values),) = given.items()
        if kind not in KINDS:
            raise ValueError(f"unknown kind of domain '{kind}': {nearest(str(kind), KINDS)}")
        if not isinstance(values, list) or len(values) < 2:
            wanted = "at least two values" if kind == "choice" else "two values"
            raise ValueError(f"{kind} takes a list of {wanted}")
        if kind != "choice":
            values = _bounds(kind, values)
        elif any(values.count(value) > 1 for value in values):
            raise ValueError("choice has a duplicate value")
        return {"kind": kind, "values": values}

    @property
    def log(self) -> bool:
        """Whether it is searched on a logarithmic scale."""
        return self.kind.startswith("log")

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind.endswith("int")

    def contains(self, value: Any) -> bool:
        """Whether ``value`` is one that the search could suggest."""
        if self.kind == "choice":
            return value in self.values
        if type(value) not in ((int,) if self.whole else (int, float)):
            return False
        return bool(self.values[0] <= value <= self.values[1])

    @property
    def size(self) -> float:
        """How many values there are; infinite if they cannot be counted."""
        if self.kind == "choice":
            return len(self.values)
        return self.values[1] - self.values[0] + 1 if self.whole else math.inf

    def draw(self, draws: random.Random) -> Any:
        """A value at random."""
        if self.kind == "choice":
            return draws.choice(self.values)
        low, high = self.values
        if self.kind == "int":
            return draws.randint(low, high)
        if self.kind == "uniform":
            return draws.uniform(low, high)
        # Of whole numbers the bounds are as likely as their neighbours.
        edge = 0.5 if self.whole else 0.0
        value = math.exp(draws.uniform(math.log(low - edge), math.log(high + edge)))
        return min(high, max(low, round(value) if self.whole else value))

    def neighbour(self, value: Any, draws: random.Random) -> Any:
        """A value near ``value``: times 0.8 or 1.2 within the bounds, or a choice next to it."""
        if self.kind == "choice":
            at = self.values.index(value) + draws.choice((-1, 1))
            return self.values[min(len(self.values) - 1, max(0, at))]
        low, high = self.values
        moved = value * draws.choice((0.8, 1.2))
        if self.whole:
            step = round(moved) - value
            moved = value + (step or (1 if moved > value else -1))
        return min(high, max(low, moved))


def _bounds(kind: str, values: list[Any]) -> tuple[float, float]:
    if len(values) != 2:
        raise ValueError(f"{kind} takes two bounds, not {len(values)}")
    if not kind.endswith("int"):
        values = [_finite(value) for value in values]
    elif not all(type(value) is int for value in values):
        raise ValueError(f"{kind} takes whole numbers, not {values}")
    low, high = values
    if not low < high:
        raise ValueError(f"the lower bound {low} is not below the upper bound {high}")
    if kind.startswith("log") and low <= 0:
        raise ValueError(f"{kind} needs bounds above 0, not {low}")
    return low, high


def _finite(value: Any) -> float:
    with contextlib.suppress(TypeError, ValueError):
        # YAML reads 1e-4 (without a point) as text.
        if not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
    raise ValueError(f"'{value}' is no finite number")
