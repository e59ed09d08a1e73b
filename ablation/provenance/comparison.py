"""Two results directories side by side: cell by cell, and how their tables differ.

A difference is the second less the first. If both tested the same clips it is paired clip by clip
and, over the seeds of both, seed by seed; otherwise the variances of the two add up. The p values
of a table are corrected by Holm over its cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablation.evidence.evidence import Evidence, Where, evidence_of
from ablation.evidence.hits import ClipHits
from ablation.plan import Plan
from ablation.provenance.configurations import Differing, differences
from ablation.report import cells_frame, measured
from ablation.report.from_results import load_plan
from ablation.report.questions import ASKED, asked_tables, why_none
from ablation.statistics import LEVEL, Estimate, adjusted, difference_of, unpaired_difference
from ablation.store import Store
from skelcon.errors import UserError, nearest

Pairing = Literal["seeds and clips", "clips", "seeds", "unpaired"]


@dataclass(frozen=True)
class ComparedTable:
    """A table of one of the two directories, with the samples behind its cells."""

    plan: Plan
    store: Store
    evidence: Evidence

    @classmethod
    def of(cls, results: Path, name: str) -> ComparedTable:
        """Read the table ``name``; :class:`UserError` if it is damaged."""
        store = Store(results)
        plan = load_plan(results, name)
        frame = measured(plan, cells_frame(plan, store))
        return cls(plan, store, evidence_of(plan, frame, store))

    def keys(self, cell: Where) -> set[str]:
        """The keys of the units behind a cell."""
        cells = (each for each in self.plan.cells if (each.row, each.column) == cell)
        return {each.unit.key for each in cells if each.unit is not None}


@dataclass(frozen=True)
class CellPair:
    """A cell that both tables have.

    Attributes:
        unit: percent or millions, as printed; the estimates are fractions or counts.
        first, second: the values; None if missing.
        difference: the second less the first; None if one of them is missing.
        paired: how they are paired.
        p: corrected p value of the difference; None if it has no error, or if both have the same
            units and numbers.
        same_units: whether both come from the same units.
    """

    row: str
    column: str
    unit: str
    first: Estimate | None
    second: Estimate | None
    difference: Estimate | None
    paired: Pairing
    p: float | None = None
    same_units: bool = False

    @property
    def same(self) -> bool:
        """Whether both have the same units and the same numbers."""
        found = self.difference
        return self.same_units and found is not None and found.value == found.error == 0

    @property
    def significant(self) -> bool:
        """Whether the two differ significantly."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class TablePair:
    """A table that both directories have, and the facts other than numbers that differ."""

    name: str
    first: Plan
    second: Plan
    cells: tuple[CellPair, ...]
    differing: tuple[Differing, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs: neither the facts nor the numbers."""
        known = [cell for cell in self.cells if cell.first is not None or cell.second is not None]
        return not self.differing and all(cell.same for cell in known)


@dataclass(frozen=True)
class Comparison:
    """Two results directories; ``only_first`` and ``only_second`` are tables of one alone."""

    first: Path
    second: Path
    tables: tuple[TablePair, ...]
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()


def compare_results(first: Path, second: Path, name: str | None = None) -> Comparison:
    """Compare the tables that both directories have, or the one called ``name``.

    Args:
        first, second: two results directories, or the directories of two tables in them, which may
            have different names.
        name: the name of a table in both.

    Raises:
        UserError: if there is nothing to compare.
    """
    if all((each / ASKED).is_file() for each in (first, second)) and name is None:
        pair = _pair(
            first.name, *(ComparedTable.of(each.parent, each.name) for each in (first, second))
        )
        return _with_cells(Comparison(first, second, (pair,)))
    for each in (first, second):
        if not each.is_dir():
            raise UserError(f"'{each}' does not exist: give a results directory or a table in one")
    known = [[table for table, _ in asked_tables(each)] for each in (first, second)]
    for results, names in zip((first, second), known, strict=True):
        if not names:
            raise UserError(why_none(results))
        if name is not None and name not in names:
            raise UserError(f"'{results}' has no table '{name}': {nearest(name, names)}")
    both = [table for table in known[0] if table in known[1] and name in (None, table)]
    if not both:
        raise UserError(
            f"'{first}' ({', '.join(known[0])}) and '{second}' ({', '.join(known[1])}) have no "
            "table in common: give the directories of two tables"
        )
    pairs = tuple(
        _pair(each, ComparedTable.of(first, each), ComparedTable.of(second, each)) for each in both
    )
    if name is not None:
        return _with_cells(Comparison(first, second, pairs))
    only = (tuple(t for t in known[i] if t not in both) for i in range(2))
    return _with_cells(Comparison(first, second, pairs, *only))


def _with_cells(found: Comparison) -> Comparison:
    """``found``; :class:`UserError` if it has no cell to compare."""
    names = ", ".join(pair.name for pair in found.tables)
    cells = [cell for pair in found.tables for cell in pair.cells]
    if not cells:
        raise UserError(f"no cell of {names} is in both results: see their rows and columns")
    for path, known in (
        (found.first, any(cell.first for cell in cells)),
        (found.second, any(cell.second for cell in cells)),
    ):
        if not known:
            raise UserError(
                f"'{path}' has no value of {names}: are its finished units (units/) there?"
            )
    return found


def _pair(name: str, one: ComparedTable, other: ComparedTable) -> TablePair:
    cells = _corrected(list(_cells(one, other)))
    facts = differences((one.plan, one.store), (other.plan, other.store))
    return TablePair(name, one.plan, other.plan, cells, facts)


def _corrected(cells: list[CellPair]) -> tuple[CellPair, ...]:
    """The cells with p values, corrected over all differences that have an error."""
    tested = {
        number: each.difference.p
        for number, each in enumerate(cells)
        if each.unit == "percent" and each.difference is not None and each.difference.known
        if not each.same
    }
    p_values = [p for p in tested.values() if p is not None]
    for number, p in zip(tested, adjusted(p_values), strict=True):
        cells[number] = replace(cells[number], p=float(p))
    return tuple(cells)


def _cells(one: ComparedTable, other: ComparedTable) -> Iterator[CellPair]:
    for row in one.plan.study.all_rows:
        for column, own in one.plan.study.columns.items():
            if row in other.plan.study.all_rows and column in other.plan.study.columns:
                cell = row, column
                first, second = (each.evidence.estimate(cell) for each in (one, other))
                found, paired = _difference(one, other, cell)
                keys = one.keys(cell)
                same = bool(keys) and keys == other.keys(cell)
                yield CellPair(row, column, own.unit, first, second, found, paired, same_units=same)


def _difference(
    one: ComparedTable, other: ComparedTable, cell: Where
) -> tuple[Estimate | None, Pairing]:
    """The second less the first, and how the two are paired."""
    first, second = (each.evidence.estimate(cell) for each in (one, other))
    if first is None or second is None:
        return None, "unpaired"
    hits, others = one.evidence.hits.get(cell), other.evidence.hits.get(cell)
    if hits is not None and others is not None:
        if not _same_clips(one.plan, hits, other.plan, others):
            return unpaired_difference(second, first), "unpaired"
        shared = [seed for seed in hits.seeds if seed in others.seeds]
        if shared:
            own, its = (_of_seeds(each, shared) for each in (hits, others))
            return difference_of(its, own, hits.groups), "seeds and clips"
        own, its = (each.hits.mean(axis=0, keepdims=True) for each in (hits, others))
        of_clips = difference_of(its, own, hits.groups)
        apart = unpaired_difference(second, first)
        return replace(apart, groups=of_clips.groups, of_groups=of_clips.of_groups), "clips"
    values, its_values = one.evidence.values[cell], other.evidence.values[cell]
    shared = [seed for seed in values if seed in its_values]
    if shared and _same_sample(one.plan, other.plan):
        own_values = [values[seed] for seed in shared]
        return difference_of([its_values[seed] for seed in shared], own_values), "seeds"
    return unpaired_difference(second, first), "unpaired"


def _of_seeds(hits: ClipHits, seeds: list[int]) -> NDArray[np.float64]:
    return hits.hits[[hits.seeds.index(seed) for seed in seeds]]


def _same_clips(first: Plan, hits: ClipHits, second: Plan, others: ClipHits) -> bool:
    """Whether both tested the same recordings in the same groups, even if imported differently."""
    if not np.array_equal(hits.groups, others.groups):
        return False
    one, other = first.dataset, second.dataset
    if one.fingerprint == other.fingerprint:
        return np.array_equal(hits.clips, others.clips)
    if one.synthetic or other.synthetic:  # all synthetic data has the same clip names
        return False
    names = [one.clip_names[i] for i in hits.clips] == [other.clip_names[i] for i in others.clips]
    return names and np.array_equal(one.labels[hits.clips], other.labels[others.clips])


def _same_sample(first: Plan, second: Plan) -> bool:
    """Whether two tables without known hits test the same clips."""
    one, other = (
        (plan.dataset.fingerprint, plan.protocol, plan.evaluate_on) for plan in (first, second)
    )
    return one == other
