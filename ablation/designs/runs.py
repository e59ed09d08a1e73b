"""The combinations of levels that each kind of design runs, and the names of these runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablation.designs.config import IN, Axis, Design, DesignKind

Levels = Mapping[str, str]
"""Axis -> level; for a range the number itself."""


@dataclass(frozen=True)
class Run:
    """A combination of levels, with the name and the label of its row."""

    name: str
    label: str
    levels: Levels


def runs_of(design: Design, kind: DesignKind) -> list[Run]:
    """The runs of one kind, in the order of the table.

    Names are made of the names of levels: their order, and with most kinds a further level, changes
    no existing name. (A further level may make ``fractional`` choose other combinations.)

    Raises:
        ValueError: for too few or too many runs.
    """
    axes = design.axes
    if kind == "grid":
        return [_joined(axes, levels) for levels in combinations(axes)]
    if kind == "fractional":
        from ablation.designs.fractional import chosen  # imports numpy

        found = chosen({a.name: tuple(a.levels) for a in axes}, design.runs or 0, design.seed)
        places = {axis.name: [*axis.levels] for axis in axes}
        found.sort(key=lambda run: [own.index(run[name]) for name, own in places.items()])
        return [_joined(axes, levels) for levels in found]
    if kind == "sobol":
        return list(_sobol(axes, design.runs or 0, design.seed))
    return list(_around(axes, kind, design.base))


def combinations(axes: Sequence[Axis]) -> Iterator[dict[str, str]]:
    """All combinations of levels, the last factor fastest."""
    names = [axis.name for axis in axes]
    for levels in itertools.product(*(axis.levels for axis in axes)):
        yield dict(zip(names, levels, strict=True))


def _joined(axes: Sequence[Axis], levels: Levels) -> Run:
    """``moco/agcn/crop+pose``: the level of each factor, or the items of a list that are in."""
    names, labels = list[str](), list[str]()
    for _, group in itertools.groupby(axes, lambda axis: axis.factor):
        own = list(group)
        if own[0].item:
            inside = [axis for axis in own if levels[axis.name] == IN]
            names.append("+".join(axis.name for axis in inside) or "none")
            labels.append(" + ".join(axis.label for axis in inside) or "none")
        else:
            names.append(levels[own[0].name])
            labels.append(own[0].levels[levels[own[0].name]])
    return Run("/".join(names), " / ".join(labels), levels)


def _around(axes: Sequence[Axis], kind: DesignKind, base: Mapping[str, str]) -> Iterator[Run]:
    """A base, and the runs that differ from it in one factor."""
    last = -1 if kind == "leave-one-out" else 0
    start = {axis.name: [*axis.levels][last] for axis in axes} | dict(base)
    if kind == "one-at-a-time":
        yield Run("base", f"base ({_joined(axes, start).label})", start)
    else:
        name = "all" if kind == "leave-one-out" else "none"
        yield Run(name, name, start)
    for axis in axes:
        for level, label in axis.levels.items():
            if level == start[axis.name]:
                continue
            levels = {**start, axis.name: level}
            if kind == "leave-one-out":
                yield Run(f"all-{axis.name}", f"all but {axis.label}", levels)
            elif kind == "add-one":
                yield Run(f"none+{axis.name}", f"only {axis.label}", levels)
            else:
                named = label if label.startswith(axis.label) else f"{axis.label}: {label}"
                yield Run(f"{axis.name}={level}", named, levels)


def _sobol(axes: Sequence[Axis], runs: int, seed: int) -> Iterator[Run]:
    """Sobol's sequence with a random shift (Cranley and Patterson 1976).

    More runs continue the same sequence. Numbers are rounded to the four digits that the table
    prints.
    """
    import numpy as np
    from scipy.stats import qmc

    points = qmc.Sobol(len(axes), scramble=False).random_base2(max(runs - 1, 1).bit_length())
    shift = np.random.default_rng(seed).random(len(axes))
    for number, point in enumerate((points[:runs] + shift) % 1, 1):
        levels = {axis.name: _at(axis, float(u)) for axis, u in zip(axes, point, strict=True)}
        labels = (a.levels.get(levels[a.name], f"{a.label} {levels[a.name]}") for a in axes)
        yield Run(f"sobol-{number}", ", ".join(labels), levels)


def _at(axis: Axis, share: float) -> str:
    """The level, or the number of a range, at a position from 0 to 1 along an axis."""
    if axis.range is None:
        names = [*axis.levels]
        return names[min(int(share * len(names)), len(names) - 1)]
    low, high = map(math.log, axis.range) if axis.log else axis.range
    value = low + share * (high - low)
    value = math.exp(value) if axis.log else value
    whole = all(isinstance(end, int) for end in axis.range)
    return str(round(value)) if whole else f"{value:.4g}"
