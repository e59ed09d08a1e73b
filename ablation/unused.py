"""Settings of the contrast that a study, a search or the user sets and nothing reads: a mistake.

Presets set them whatever the objective is, and are not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ablation.units import PretrainUnit
from skelcon.config import Json
from skelcon.contrast import MOCO
from skelcon.errors import UserError, nearest
from skelcon.settings import assignments

if TYPE_CHECKING:
    from ablation.plan import Cell, Plan

CONTRAST, OBJECTIVE = "pretrain.contrast.", "pretrain.objective"


def check_unused(plan: Plan) -> None:
    """:class:`UserError` for a setting of the contrast that none of its pre-trainings reads.

    A row's is for its own cells, ``--set`` is for all. The base and the columns may set it for a
    row that was left out, unless they choose the objective themselves.
    """
    study, cells = plan.study, list(plan.cells)
    check_contrast("--set", plan.overrides, _pretrainings(plan, cells))
    for name, row in study.all_rows.items():
        own = [cell for cell in cells if cell.row == name]
        check_contrast(f"study '{study.name}', row '{name}'", row.set, _pretrainings(plan, own))
    check_shared(f"study '{study.name}', base", study.base, _pretrainings(plan, cells))
    for name, column in study.columns.items():
        own = [cell for cell in cells if cell.column == name]
        where = f"study '{study.name}', column '{name}'"
        check_shared(where, column.set, _pretrainings(plan, own))


def check_shared(where: str, tree: Json, units: Iterable[PretrainUnit]) -> None:
    """:func:`check_contrast` of what may be meant for others, unless it chooses the objective."""
    if any(text.startswith(OBJECTIVE) for text in assignments(tree)):
        check_contrast(where, tree, units)


def check_contrast(where: str, tree: Json, units: Iterable[PretrainUnit]) -> None:
    """:class:`UserError` for a setting of the contrast in ``tree`` that none of ``units`` reads.

    Args:
        where: who sets it.
        tree: all that is set there.
        units: the pre-trainings that it is for; without any nothing is said.
    """
    keys = [text.partition("=")[0] for text in assignments(tree)]
    names = [key.removeprefix(CONTRAST) for key in keys if key.startswith(CONTRAST)]
    options = [unit.options for unit in units] if names else []
    for name in names if options else ():
        if not any(name in each.get("contrast", {}) for each in options):
            raise UserError(f"{where}: '{CONTRAST}{name}' decides nothing: {_why(name, options)}")


def _pretrainings(plan: Plan, cells: Iterable[Cell]) -> Iterable[PretrainUnit]:
    needed = {key: None for cell in cells if cell.unit is not None for key in cell.unit.needs}
    return (unit for key in needed if isinstance(unit := plan.units[key], PretrainUnit))


def _why(name: str, options: Sequence[Json]) -> str:
    """Why nothing reads a setting of the contrast, and the nearest one that is read."""
    if any("contrast" in each for each in options):
        return "it is of the views in pretrain.views.extra, and there are none"
    objective = options[0]["objective"]
    return (
        f"it is an option of {MOCO}, not of {objective['name']}, which has "
        f"pretrain.objective.options: {nearest(name, objective['options'])}"
    )
