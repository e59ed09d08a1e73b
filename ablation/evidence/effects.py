"""The effects of the factors of a design: main effects and two-factor interactions.

Each is a weighted sum of the cells of a column (`ablation.statistics.effects`). Its variance is the
one of the model plus the part of the test groups, which is computed from the same sum clip by clip
(`ablation.statistics.estimate`). p values are corrected by Holm over all main effects of the table,
and over all of its interactions. An effect is *shown* if the corrected p value is below 5 % and its
interval does not include zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablation.designs import Axis, DesignKind
from ablation.designs.describe import columns_of_runs, runs_that_share_units
from ablation.designs.matrix import Array, Pair, aliased_with
from ablation.designs.runs import runs_of
from ablation.evidence.budgets import unequal_budgets
from ablation.evidence.design_cells import DesignCells, Effect
from ablation.evidence.evidence import Evidence
from ablation.plan import Plan
from ablation.statistics import LEVEL, adjusted
from ablation.statistics.effects import shares_of
from ablation.text import and_joined


@dataclass(frozen=True)
class Effects:
    """The effects in one column of a design.

    Attributes:
        column: the column.
        kind: the kind of design.
        axes: the factors that vary.
        main, interactions: effects, in the order of the factors.
        runs: how many runs are used, and how many there are.
        seeds: the number of seeds that all used runs have.
        basis: what the error is estimated from, "runs" or "seeds"; "" if there is no error.
        shares: factor -> the share of the variance that it explains; then runs, seeds and noise.
        not_estimable: pairs of factors whose interaction cannot be estimated.
        aliases: interaction with a low p value -> the interactions that it is aliased with, and
            their correlation.
        reason: why there are no effects; empty if there are.
    """

    column: str
    kind: DesignKind
    axes: tuple[Axis, ...] = ()
    main: tuple[Effect, ...] = ()
    interactions: tuple[Effect, ...] = ()
    runs: tuple[int, int] = (0, 0)
    seeds: int = 0
    basis: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    not_estimable: tuple[Pair, ...] = ()
    aliases: Mapping[Pair, Mapping[Pair, float]] = field(default_factory=dict)
    reason: str = ""


def effects_of(plan: Plan, evidence: Evidence) -> tuple[Effects, ...]:
    """The effects of each ranked column and each kind of design; none without a design."""
    if plan.study.design is None:
        return ()
    found = [
        _of_column(plan, evidence, column, kind, rows)
        for column in plan.ranked
        for kind, rows in _blocks(plan)
    ]
    main = _corrected([effect for each in found for effect in each.main])
    further = _corrected([effect for each in found for effect in each.interactions])
    return tuple(
        replace(
            each,
            main=tuple(itertools.islice(main, len(each.main))),
            interactions=tuple(itertools.islice(further, len(each.interactions))),
        )
        for each in found
    )


def _corrected(effects: Sequence[Effect]) -> Iterator[Effect]:
    known = [effect.difference.p for effect in effects]
    corrected = iter(adjusted([p for p in known if p is not None]))
    for effect, p in zip(effects, known, strict=True):
        yield effect if p is None else replace(effect, p_holm=float(next(corrected)))


def _blocks(plan: Plan) -> Iterator[tuple[DesignKind, list[str]]]:
    """The rows of each kind of design."""
    design, rows = plan.study.design, plan.study.rows
    assert design is not None
    own = [name for name, row in rows.items() if row.levels]
    for kind in design.kind:
        if len(design.kind) == 1:
            yield kind, own
        else:
            levels = [run.levels for run in runs_of(design, kind)]
            yield kind, [name for name in own if rows[name].levels in levels]


def _of_column(
    plan: Plan, evidence: Evidence, column: str, kind: DesignKind, rows: Sequence[str]
) -> Effects:
    """The effects of a column before any correction."""
    design, levels = plan.study.design, {name: plan.study.rows[name].levels for name in rows}
    assert design is not None
    used, seeds = _complete(plan, evidence, column, rows)
    empty = Effects(column, kind, runs=(len(used), len(rows)), seeds=len(seeds))
    if len(used) < 2:
        return replace(empty, reason="fewer than two runs are done")
    unequal = unequal_budgets(plan, [(name, column) for name in used])
    if unequal:
        return replace(empty, reason=f"the budgets differ ({unequal})")
    own = [cell for cell in plan.cells if cell.column == column and cell.row in used]
    same = runs_that_share_units((cell.row, cell.unit.key) for cell in own if cell.unit is not None)
    if same:
        return replace(empty, reason=f"runs {and_joined(same)} have the same units")
    columns = columns_of_runs(design.axes, [levels[name] for name in used])
    axes = tuple(axis for axis in design.axes if axis.name in columns)
    cells = DesignCells.of(evidence, column, used, seeds, [levels[name] for name in used], axes)
    try:
        fit = cells.fit(columns)
    except ValueError as error:
        return replace(empty, reason=str(error))
    pairs = itertools.combinations(columns, 2)
    further = {pair: cells.interaction(columns, pair, fit.basis) for pair in pairs}
    return replace(
        empty,
        axes=axes,
        main=tuple(cells.main(columns, fit)),
        interactions=tuple(effect for each in further.values() for effect in each),
        basis=fit.basis,
        shares=shares_of(cells.values, columns),
        not_estimable=tuple(pair for pair, each in further.items() if not each),
        aliases=_aliases(columns, further),
    )


def _aliases(
    columns: Mapping[str, Array], further: Mapping[Pair, Sequence[Effect]]
) -> dict[Pair, Mapping[Pair, float]]:
    low = [
        pair
        for pair, each in further.items()
        if any((effect.difference.p or 0.0) < LEVEL for effect in each)
    ]
    found = {pair: aliased_with(columns, pair) for pair in low}
    return {pair: others for pair, others in found.items() if others}


def _complete(
    plan: Plan, evidence: Evidence, column: str, rows: Sequence[str]
) -> tuple[list[str], list[int]]:
    """The runs that can be used, and the seeds that all of them have.

    These are the runs with any value, if they share a seed; else the runs with all seeds.
    """
    known = {name: evidence.values.get((name, column), {}) for name in rows}
    started = [name for name in rows if known[name]]
    shared = [seed for seed in plan.seeds if started and all(seed in known[n] for n in started)]
    if shared:
        return started, shared
    done = [name for name in rows if all(seed in known[name] for seed in plan.seeds)]
    return done, [*plan.seeds]
