"""The facts in which two tables differ: data, preset, settings, rows, versions, machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ablation.evidence.evidence import Where
from ablation.evidence.validation import folds_in_words
from ablation.fusion import Fusion
from ablation.plan import Plan
from ablation.provenance.cells import settings_of
from ablation.report.mixtures import arithmetic_of
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE
from ablation.units import Unit
from skelcon.config import Json, flat
from skelcon.data import SkeletonDataset
from skelcon.settings import assignments

MOST_NAMED = 4
"""Up to so many cells are named; the others are counted."""
NONE = "none"
Facts = tuple[tuple[str, str], ...]
"""Terms with their values, such as ("Machine", "AMD EPYC, 2 cores")."""
_VERSION = "version of "


@dataclass(frozen=True)
class Differing:
    """A fact in which two tables differ.

    Attributes:
        what: the name of the fact, such as ``preset`` or ``pretrain.optimiser.lr``.
        first, second: its value in each table.
        where: the rows, columns or cells in which it differs; empty for all.
    """

    what: str
    first: str
    second: str
    where: str = ""


def differences(one: tuple[Plan, Store], other: tuple[Plan, Store]) -> tuple[Differing, ...]:
    """The differences in the questions, in the settings of cells, and in code and machines."""
    (first, first_store), (second, second_store) = one, other
    found = list(_unequal(_asked(first), _asked(second)))
    found += _settings(first, second)
    return (*found, *_unequal(ran(first.units, first_store), ran(second.units, second_store)))


def _unequal(first: Json, second: Json) -> Iterator[Differing]:
    for what in dict.fromkeys((*first, *second)):
        one, other = (str(values.get(what, NONE)) for values in (first, second))
        if one != other:
            yield Differing(what, one, other)


def _asked(plan: Plan) -> Json:
    study, validated = plan.study, plan.evaluate_on == "validation"
    return {
        "study": study.title,
        "data": _data(plan.dataset),
        "layout family": plan.dataset.family,
        "source": _data(plan.source) if plan.source is not None else NONE,
        "protocol": plan.protocol,
        "evaluated on": plan.evaluate_on,
        "folds": folds_in_words(plan) if validated else NONE,
        "preset": plan.preset.name,
        "--set": ", ".join(assignments(plan.overrides)) or NONE,
        "metric": plan.shown or study.metric,
        "seeds": ", ".join(map(str, plan.seeds)),
        "rows": ", ".join(study.all_rows),
        "columns": ", ".join(study.columns),
    }


def _data(dataset: SkeletonDataset) -> str:
    return f"{dataset.name} ({dataset.fingerprint}, {len(dataset)} clips)"


# -- settings of cells ------------------------------------------------------------------------


def _settings(first: Plan, second: Plan) -> list[Differing]:
    """The settings that differ in cells of both tables."""
    units = [_units_of(plan) for plan in (first, second)]
    cells = [cell for cell in units[0] if cell in units[1]]
    known: dict[str, Json] = {}
    found: dict[tuple[str, str, str], list[Where]] = {}
    for cell in cells:
        one, other = (_described(own[cell], known) for own in units)
        for each in _unequal(one, other):
            found.setdefault((each.what, each.first, each.second), []).append(cell)
    return [Differing(*values, where=_where(some, cells)) for values, some in found.items()]


def _units_of(plan: Plan) -> dict[Where, Unit]:
    """Cell -> the unit of its first seed; all seeds and folds have the same settings.

    Fusions are left out: the columns that they add up have the settings.
    """
    units: dict[Where, Unit] = {}
    for cell in plan.cells:
        if cell.unit is not None and not isinstance(cell.unit, Fusion):
            units.setdefault((cell.row, cell.column), cell.unit)
    return units


def _described(unit: Unit, known: dict[str, Json]) -> Json:
    if unit.key not in known:
        known[unit.key] = {**settings_of(unit), "recipe version": unit.side.recipe}
    return known[unit.key]


def _where(some: Sequence[Where], cells: Sequence[Where]) -> str:
    """``rows a, b`` or ``columns seq`` if they differ as a whole, else cells; empty for all."""
    if len(some) == len(cells):
        return ""
    for axis, noun in enumerate(("row", "column")):
        names = dict.fromkeys(cell[axis] for cell in some)
        if sum(cell[axis] in names for cell in cells) == len(some):
            return f"{noun if len(names) == 1 else noun + 's'} {', '.join(names)}"
    named = ", ".join(" / ".join(cell) for cell in some[:MOST_NAMED])
    more = len(some) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


# -- where units ran --------------------------------------------------------------------------


def ran(keys: Iterable[str], store: Store) -> Json:
    """Code and machines of the finished units, from their provenance; each fact once."""
    found: dict[str, dict[str, None]] = {}
    for key in keys:
        values = store.files(key).read_or_none(PROVENANCE) if store.is_done(key) else None
        for what, value in _facts(values or {}):
            found.setdefault(what, {})[value] = None
    return {what: " and ".join(sorted(values)) for what, values in found.items()}


def facts_of(found: Json) -> Facts:
    """The facts of :func:`ran` as terms, with all versions in one."""
    versions = [
        f"{term.removeprefix(_VERSION)} {value}"
        for term, value in found.items()
        if term.startswith(_VERSION)
    ]
    others = ((term, value) for term, value in found.items() if not term.startswith(_VERSION))
    terms = [(term[0].upper() + term[1:], str(value)) for term, value in others]
    if versions:
        terms.append(("Versions", ", ".join(versions)))
    return tuple(terms)


def _facts(provenance: Json) -> Iterable[tuple[str, str]]:
    hardware: Json = provenance.get("hardware", {})
    texts: dict[str, Any] = {
        "git revision": provenance.get("revision"),
        **flat({_VERSION.strip(): provenance.get("versions", {})}),
        "machine": machine(hardware),
        "arithmetic": arithmetic_of(provenance) if "device" in provenance else None,
        "threads": provenance.get("threads"),
        "processes": provenance.get("ranks"),
    }
    return [(what.replace(".", " "), str(text)) for what, text in texts.items() if text]


def machine(hardware: Json) -> str:
    """``AMD EPYC, 2 cores, NVIDIA H200, Linux x86_64``."""
    cores = f"{hardware['cores']} cores" if hardware.get("cores") else None
    parts = (hardware.get("cpu"), cores, hardware.get("gpu"), hardware.get("system"))
    return ", ".join(str(part) for part in parts if part)
