"""A design in words: how many of all combinations it runs, and which effects are aliased."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ablation.designs.config import Axis, Design
from ablation.designs.matrix import SAME, Aliases, Array, Pair, aliases_of, columns_of
from ablation.text import and_joined, plural

_MOST = 8
"""So many aliases are listed."""

_RESOLUTIONS = {
    3: "III: main effects are aliased with two-factor interactions, and valid if these are small",
    4: "IV: no main effect is aliased with a two-factor interaction, but these with each other",
    5: "V: neither main effects nor two-factor interactions are aliased",
}


def columns_of_runs(axes: Sequence[Axis], runs: Sequence[Mapping[str, str]]) -> dict[str, Array]:
    """Axis -> the columns of its main effect in ``runs``; axes that do not vary are left out."""
    columns = {axis.name: columns_of(axis, [run[axis.name] for run in runs]) for axis in axes}
    return {name: each for name, each in columns.items() if each.size and each.std(axis=0).any()}


def described(design: Design, runs: Sequence[Mapping[str, str]]) -> list[str]:
    """Notes on a design with these runs: kind, runs and resolution, and then the aliases."""
    names = {axis.name: axis.label for axis in design.axes}
    parts = [", ".join(design.kind), plural(len(runs), "run")]
    if all(axis.levels for axis in design.axes):
        parts[-1] += f" of {plural(math.prod(len(a.levels) for a in design.axes), 'combination')}"
    if design.kind != ("fractional",):
        return [f"Design: {', '.join(parts)} of {', '.join(names.values())}."]
    found = aliases_of(columns_of_runs(design.axes, runs))
    resolution = _RESOLUTIONS[found.resolution]
    first = f"Design: {', '.join(parts)}, resolution {resolution}."
    aliases = _in_words(found, names)
    return [first, f"Aliases: {aliases}."] if aliases else [first]


def runs_that_share_units(units: Iterable[tuple[str, str]]) -> list[str]:
    """Runs that share a unit, because it uses no setting in which they differ; empty if none do.

    As separate runs they would be counted several times, with the same noise.

    Args:
        units: (name of the run, key of one of its units).
    """
    found: dict[str, dict[str, None]] = {}
    for run, key in units:
        found.setdefault(key, {})[run] = None
    return next((list(runs) for runs in found.values() if len(runs) > 1), [])


def notes_on_shared_units(columns: Mapping[str, Iterable[tuple[str, str]]]) -> list[str]:
    """Notes on the runs that :func:`runs_that_share_units` finds.

    Args:
        columns: label of a column -> (run, key) of its units.
    """
    found: dict[str, list[str]] = {}
    for label, units in columns.items():
        if same := runs_that_share_units(units):
            found.setdefault(and_joined(same), []).append(label)
    return [
        f"Runs {runs} have the same units in {and_joined(labels)}, as these use no setting in "
        "which the runs differ: no effect can be estimated."
        for runs, labels in found.items()
    ]


def main_effects_are_aliased(design: Design, runs: Sequence[Mapping[str, str]]) -> bool:
    """Whether main effects are aliased with interactions of two other factors."""
    if design.kind != ("fractional",):
        return False
    return aliases_of(columns_of_runs(design.axes, runs)).resolution == 3


def interaction(pair: Pair, names: Mapping[str, str]) -> str:
    """``Objective × Encoder``."""
    return " × ".join(names[each] for each in pair)


def _in_words(found: Aliases, names: Mapping[str, str]) -> str:
    """``A = B × C; D partly A × B (0.58); A × C = B × D``."""
    parts = []
    for name, pairs in found.main.items():
        pair, value = max(pairs.items(), key=lambda each: each[1])
        same = [interaction(each, names) for each, value in pairs.items() if value > SAME]
        if same:
            parts.append(f"{names[name]} = {' = '.join(same)}")
        else:
            parts.append(f"{names[name]} partly {interaction(pair, names)} ({value:.2f})")
    parts += [" = ".join(interaction(pair, names) for pair in group) for group in found.same]
    more = [f"and {len(parts) - _MOST} more"] if len(parts) > _MOST else []
    return "; ".join([*parts[:_MOST], *more])
