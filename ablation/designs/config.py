"""The ``design:`` of a study's file.

kind: fractional                    or a list of kinds: the study has the rows of all of them
runs: 16                            fractional and sobol: how many rows
seed: 0                             fractional and sobol: another seed gives other rows
base: {objective: moco}             one-at-a-time: the base; the first level of factors not given
factors:
  objective:
    label: Objective
    levels:
      moco: {label: MoCo, set: {pretrain.objective.name: moco}}
      byol: {set: {pretrain.objective.name: byol}}
  encoder:
    levels:
      img: {set: {pretrain.representations: [img]}, downstream: [img]}
      seq: {set: {pretrain.representations: [seq]}, downstream: [seq]}
  temperature:                      levels that are values of one setting
    setting: pretrain.contrast.temperature
    values: [0.05, 0.1]
  augmentations:                    a setting that is a list: each item is a factor, in or out
    setting: pretrain.augment.use
    items: [crop, pose, jitter]
  rate:                             sobol only: a range
    setting: pretrain.optimiser.lr
    range: [0.0003, 0.01]           # whole numbers if both ends are
    log: true

======================  ============================================================================
grid                    all combinations
one-at-a-time           the base, and each other level of each factor
leave-one-out           all factors at their last level (all items in), and one at its first (out)
add-one                 all factors at their first level (no item), and one at its last (in)
fractional              ``runs`` combinations from which all main effects can be estimated
                        (`ablation.designs.fractional`)
sobol                   ``runs`` points of Sobol's sequence, spread evenly over ranges and levels
======================  ============================================================================
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from skelcon.config import Config, Json
from skelcon.encoders import Representation
from skelcon.errors import nearest

DesignKind = Literal["grid", "one-at-a-time", "leave-one-out", "add-one", "fractional", "sobol"]
OUT, IN = "out", "in"
"""The levels of an item of a list."""
_NAME = re.compile(r"[^\s/,>*=+]+")


class Level(Config):
    """A level of a factor: what it sets. The module's docstring describes the fields."""

    label: str | None = None
    set: Json = Field({})
    downstream: tuple[Representation, ...] | None = Field(None, min_length=1)


class Factor(Config):
    """A factor: named levels, or values of one setting."""

    label: str | None = None
    levels: dict[str, Level] = Field({})
    setting: str | None = None
    values: tuple[Any, ...] = ()
    items: tuple[str, ...] = ()
    range: tuple[int | float, int | float] | None = None
    log: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {"values": self.values, "items": self.items, "range": self.range}
        given = [name for name, value in ways.items() if value]
        if bool(self.levels) + len(given) != 1 or bool(given) != (self.setting is not None):
            raise ValueError("give levels, or a setting with values, items or a range")
        names = [value_name(value) for value in self.values] or self.items or tuple(self.levels)
        if not self.items and self.range is None and len(names) < 2:
            raise ValueError("a factor needs at least two levels")
        for name in names:
            if not _NAME.fullmatch(name) and not self.values:
                raise ValueError(f"level '{name}': give a name without spaces and / , > * = +")
            if list(names).count(name) > 1:
                raise ValueError(f"level '{name}' is given twice")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)}: give the lower end first")
        if self.log and (self.range is None or self.range[0] <= 0):
            raise ValueError("log: only for a range above zero")
        return self


@dataclass(frozen=True)
class Axis:
    """A factor as designs and their analysis use it; each item of a list is an axis of its own.

    Attributes:
        factor: name of the factor in the file.
        levels: name -> label, in the file's order; empty for a range.
        range: its lower and upper end.
        log: whether the range is logarithmic.
        item: whether it is an item of a list, with the levels out and in.
    """

    name: str
    label: str
    factor: str
    levels: Mapping[str, str]
    range: tuple[float, float] | None = None
    log: bool = False
    item: bool = False


def _kinds(given: Any) -> Any:
    """One kind as a list of one; ValueError names the nearest kind for an unknown one."""
    kinds = [given] if isinstance(given, str) else given
    for kind in kinds if isinstance(kinds, list | tuple) else ():
        if kind not in get_args(DesignKind):
            raise ValueError(f"no kind '{kind}': {nearest(str(kind), get_args(DesignKind))}")
    return kinds


class Design(Config):
    """The factors of a study, and which of their combinations are run."""

    kind: Annotated[tuple[DesignKind, ...], BeforeValidator(_kinds)] = Field(min_length=1)
    runs: int | None = Field(None, ge=2)
    seed: int = Field(0, ge=0)
    base: dict[str, str] = Field({})
    factors: dict[str, Factor] = Field(min_length=1)

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The factors, with each item of a list as a factor of its own."""
        return tuple(axis for name, each in self.factors.items() for axis in _axes_of(name, each))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [axis.name for axis in self.axes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"factor '{name}' is given twice")
            if not _NAME.fullmatch(name):
                raise ValueError(f"factor '{name}': give a name without spaces and / , > * = +")
        counted = {"fractional", "sobol"} & {*self.kind}
        if bool(counted) != (self.runs is not None):
            if counted:
                raise ValueError(f"{min(counted)} needs runs (how many rows)")
            raise ValueError("runs (how many rows): only for fractional and sobol")
        if self.base and "one-at-a-time" not in self.kind:
            raise ValueError("base: only for one-at-a-time")
        self._check_axes()
        self._check_settings()
        return self

    def _check_axes(self) -> None:
        known = {axis.name: axis for axis in self.axes}
        for name, level in self.base.items():
            if name not in known:
                raise ValueError(f"base: no factor '{name}': {nearest(name, known)}")
            if level not in known[name].levels:
                hint = nearest(level, known[name].levels)
                raise ValueError(f"base: factor '{name}' has no level '{level}': {hint}")
        for axis in self.axes:
            if axis.range is not None and self.kind != ("sobol",):
                raise ValueError(f"factor '{axis.name}': a range is only for sobol: give values")
            for kind in {"leave-one-out", "add-one"} & {*self.kind}:
                if len(axis.levels) != 2:
                    raise ValueError(
                        f"factor '{axis.name}' has {len(axis.levels)} levels: {kind} takes two, "
                        "without and with it"
                    )

    def _check_settings(self) -> None:
        """ValueError if two factors set the same key: their effects could not be separated."""
        from skelcon.settings import assignments

        owners: dict[str, str] = {}
        downstream = []
        for name, factor in self.factors.items():
            sets = [level.set for level in factor.levels.values()]
            keys = {text.partition("=")[0] for each in sets for text in assignments(each)}
            keys |= {factor.setting} if factor.setting is not None else set()
            downstream += [name] if any(le.downstream for le in factor.levels.values()) else []
            for key in sorted(keys):
                for other, owner in owners.items():
                    if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                        raise ValueError(f"factors '{owner}' and '{name}' both set '{key}'")
            owners |= dict.fromkeys(keys, name)
        if len(downstream) > 1:
            raise ValueError(f"factors {' and '.join(downstream)} both set downstream")


def _axes_of(name: str, factor: Factor) -> Iterator[Axis]:
    if factor.items:
        for item in factor.items:
            label = item.replace("_", " ")
            levels = {OUT: f"without {label}", IN: f"with {label}"}
            yield Axis(item, label, name, levels, item=True)
        return
    label = factor.label or name
    if factor.range is not None:
        yield Axis(name, label, name, {}, factor.range, factor.log)
        return
    levels = {level: each.label or level for level, each in factor.levels.items()}
    for value in factor.values:  # a number says nothing without its factor
        level = value_name(value)
        levels[level] = f"{label} {level}" if isinstance(value, int | float) else level
    yield Axis(name, label, name, levels)


def value_name(value: Any) -> str:
    """A value as part of a row's name.

    >>> value_name([]), value_name(["crop", "pose"]), value_name(0.05), value_name(None)
    ('none', 'crop+pose', '0.05', 'none')
    """
    if isinstance(value, Mapping):
        return "+".join(f"{key}:{value_name(each)}" for key, each in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "+".join(map(value_name, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return re.sub(r"[\s/,>*=]+", "-", f"{value:g}" if isinstance(value, float) else str(value))
