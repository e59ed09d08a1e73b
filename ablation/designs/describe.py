"""A design in words: how much of all combinations it runs, and what its runs cannot tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ablation.designs.config import Axis, Design
from ablation.designs.matrix import Aliases, Array, Pair, aliases_of, columns_of
from ablation.text import and_joined, plural

_MOST = 8
"""Aliases that are spelled out."""


def columns_of_runs(axes: Sequence[Axis], runs: Sequence[Mapping[str, str]]) -> dict[str, Array]:
    """Axis -> the columns of its main effect in ``runs``; none of an axis that they do not vary."""
    columns = {axis.name: columns_of(axis, [run[axis.name] for run in runs]) for axis in axes}
    return {name: each for name, each in columns.items() if each.size and each.std(axis=0).any()}


def described(design: Design, runs: Sequence[Mapping[str, str]]) -> list[str]:
    """Notes on a design that has these runs; the first is general, the second names aliases."""
    names = {axis.name: axis.label for axis in design.axes}
    parts = [", ".join(design.kind), plural(len(runs), "run")]
    if all(axis.levels for axis in design.axes):
        parts[-1] += f" of {plural(math.prod(len(a.levels) for a in design.axes), 'combination')}"
    if design.kind != ("fractional",):
        return [f"Design: {', '.join(parts)} of {', '.join(names.values())}."]
    found = aliases_of(columns_of_runs(design.axes, runs))
    mixed = {
        3: "a main effect is mixed with interactions of two others, and right if these are small",
        4: "no main effect is mixed with an interaction of two factors, these are with each other",
        5: "main effects and interactions of two factors are not mixed",
    }
    parts.append(
        f"resolution {('III', 'IV', 'V')[found.resolution - 3]}: {mixed[found.resolution]}"
    )
    first = f"Design: {', '.join(parts[:2])}, {parts[2]}."
    aliases = _in_words(found, names)
    return [first, f"Aliases: {aliases}."] if aliases else [first]


def same_work(units: Iterable[tuple[str, str]]) -> list[str]:
    """Runs that have the same units, as none reads what they differ in; none where all differ.

    They would count as several runs, whose noise is the same.

    Args:
        units: the name of each run, and the key of each of its units.
    """
    found: dict[str, dict[str, None]] = {}
    for run, key in units:
        found.setdefault(key, {})[run] = None
    return next((list(runs) for runs in found.values() if len(runs) > 1), [])


def same_work_notes(columns: Mapping[str, Iterable[tuple[str, str]]]) -> list[str]:
    """Notes on runs that are :func:`same_work`; ``columns`` has the units of each, by its label."""
    found: dict[str, list[str]] = {}
    for label, units in columns.items():
        if same := same_work(units):
            found.setdefault(and_joined(same), []).append(label)
    return [
        f"Runs {runs} are the same work in {and_joined(labels)}, as nothing reads what "
        "they differ in: no effect can be computed."
        for runs, labels in found.items()
    ]


def main_effects_are_mixed(design: Design, runs: Sequence[Mapping[str, str]]) -> bool:
    """Whether its runs cannot tell main effects from interactions of two other factors."""
    if design.kind != ("fractional",):
        return False
    return aliases_of(columns_of_runs(design.axes, runs)).resolution == 3


def interaction(pair: Pair, names: Mapping[str, str]) -> str:
    """``Objective × Encoder``."""
    return " × ".join(names[each] for each in pair)


def _in_words(found: Aliases, names: Mapping[str, str]) -> str:
    told = []
    for name, pairs in found.main.items():
        pair, value = max(pairs.items(), key=lambda each: each[1])
        same = [interaction(each, names) for each, value in pairs.items() if value > 0.999]
        if same:
            told.append(f"{names[name]} = {' = '.join(same)}")
        else:
            told.append(f"{names[name]} in part {interaction(pair, names)} ({value:.2f})")
    told += [" = ".join(interaction(pair, names) for pair in group) for group in found.same]
    more = [f"and {len(told) - _MOST} more"] if len(told) > _MOST else []
    return "; ".join([*told[:_MOST], *more])
