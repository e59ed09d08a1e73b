"""Whether the rows that a table compares were pre-trained for the same number of steps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ablation.plan import Plan
from ablation.units import PretrainUnit


@dataclass(frozen=True, order=True)
class Budget:
    """Epochs and optimisation steps of a pre-training."""

    epochs: int
    steps: int


def budget_of(plan: Plan, unit: PretrainUnit) -> Budget:
    """The budget of one of a plan's pre-trainings."""
    dataset = next(each for each in plan.datasets if each.fingerprint == unit.side.data)
    config = unit.settings
    steps = config.clips_of(len(unit.side.clips(dataset))) // config.batch
    return Budget(unit.epochs, unit.epochs * steps)


def unequal_budgets(plan: Plan, compared: Collection[tuple[str, str]]) -> str:
    """How the budgets of the main rows of a column differ; empty if they do not.

    Args:
        plan: the table's plan.
        compared: (row, column) of the cells. Cells that are not pre-trained have no budget and are
            left out.
    """
    study, found = plan.study, _budgets(plan)
    parts: dict[str, None] = {}
    for column in plan.ranked:
        groups: dict[frozenset[int], list[tuple[str, set[Budget]]]] = {}
        for row in study.rows:
            cell = row, column
            if cell in found and cell in compared:
                steps = frozenset(budget.steps for budget in found[cell])
                label = study.rows[row].label or row
                groups.setdefault(steps, []).append((label, found[cell]))
        if len(groups) > 1:
            parts[_described(list(groups.values()))] = None
    return "; ".join(parts)


def steps_of_cells(plan: Plan) -> dict[tuple[str, str], set[int]]:
    """(row, column) -> the steps of its pre-trainings; cells without pre-trainings are left out."""
    return {cell: {budget.steps for budget in own} for cell, own in _budgets(plan).items()}


def _budgets(plan: Plan) -> dict[tuple[str, str], set[Budget]]:
    """(row, column) -> the budgets of its pre-trainings; encoders and seeds may differ."""
    known: dict[str, Budget] = {}
    found: dict[tuple[str, str], set[Budget]] = {}
    for cell in plan.cells:
        for key in cell.unit.needs if cell.unit is not None else ():
            unit = plan.units.get(key)
            if isinstance(unit, PretrainUnit):
                known.setdefault(key, budget_of(plan, unit))
                found.setdefault((cell.row, cell.column), set()).add(known[key])
    return found


def _described(groups: list[list[tuple[str, set[Budget]]]]) -> str:
    """``img 30 epochs, img+seq and seq+stg 300``; steps if groups have the same epochs."""
    epochs = [frozenset(b.epochs for _, each in group for b in each) for group in groups]
    by_epochs = len(set(epochs)) == len(groups)
    parts = []
    for group, own in zip(groups, epochs, strict=True):
        numbers = own if by_epochs else {b.steps for _, each in group for b in each}
        labels = " and ".join(label for label, _ in group)
        parts.append(f"{labels} {' and '.join(map(str, sorted(numbers)))}")
    parts[0] += " epochs" if by_epochs else " steps"
    return ", ".join(parts)
