"""The cells of a table with settings, times and weights, for analyses in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ablation.fusion import Fusion
from ablation.plan import Plan
from ablation.report import cells_frame
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE, WEIGHTS
from ablation.study import PARAMETERS
from ablation.units import EvaluateUnit, PretrainUnit, Unit
from skelcon.config import Json, flat
from skelcon.downstream.tasks import section
from skelcon.settings import merge

BESIDE = ("representation", "parameters", "seconds", "pretraining_seconds", "weights")
"""The columns after the columns of cells.csv; the settings follow them."""


def described_cells(plan: Plan, store: Store) -> pd.DataFrame:
    """The lines of :func:`ablation.report.cells_frame` with further columns.

    - ``representation``: of the evaluated encoder, ``img+seq`` for several side by side;
    - ``parameters``: the number of parameters of these encoders;
    - ``seconds``, ``pretraining_seconds``: wall time of the evaluation, and of its pre-trainings;
    - ``weights``: representation -> file of its pre-trained weights, for
      :func:`skelcon.load_encoder`; empty if nothing is pre-trained;
    - one for each setting that a row or a column of the study sets, such as
      ``pretrain.optimiser.lr``: the value in the units of the line, missing if they do not use it.
    """
    frame = cells_frame(plan, store)
    settings = changed_settings(plan)
    found: dict[str, Json] = {"": {}}
    for cell in plan.cells:
        if isinstance(cell.unit, Fusion):
            found.setdefault(cell.unit.key, _beside_fusion(cell.unit, store))
        elif isinstance(cell.unit, EvaluateUnit) and cell.unit.key not in found:
            values = settings_of(cell.unit)
            own = {name: _hashable(values[name]) for name in settings if name in values}
            found[cell.unit.key] = _beside(cell.unit, store) | own
    for name in (*BESIDE, *settings):
        column = [found[key].get(name) for key in frame["unit"]]
        frame[name] = pd.Series(column, index=frame.index, dtype=_TYPES.get(name))
    return frame


_TYPES = {"parameters": "Int64", "seconds": "float64", "pretraining_seconds": "float64"}


def _beside(unit: EvaluateUnit, store: Store) -> Json:
    """The further columns of a unit, as far as they are known."""
    weights = {
        source.representation: str(store.files(source.pretrained.key).path(WEIGHTS))
        for source in unit.encoders
        if source.pretrained is not None
    }
    known: Json = {"representation": "+".join(unit.representations), "weights": weights}
    if store.is_done(unit.key):
        known["parameters"] = store.result(unit.key).get(PARAMETERS)
        known["seconds"] = seconds_of(store, unit.key)
    spent = [seconds_of(store, key) for key in unit.needs if store.is_done(key)]
    whole = [each for each in spent if each is not None]
    if whole and len(whole) == len(unit.needs):
        known["pretraining_seconds"] = sum(whole)
    return known


def _beside_fusion(fusion: Fusion, store: Store) -> Json:
    """The further columns of a fusion: sums over its evaluations, without weights and settings."""
    each = [_beside(unit, store) for unit in fusion.units]
    known: Json = {"representation": "+".join(dict.fromkeys(e["representation"] for e in each))}
    for name in BESIDE[1:-1]:
        values = [one[name] for one in each if one.get(name) is not None]
        if len(values) == len(each):
            known[name] = sum(values)
    return known | {"weights": {}}


def seconds_of(store: Store, key: str) -> float | None:
    """The wall time of a finished unit without interruptions; None if it is not known."""
    provenance = store.files(key).read_or_none(PROVENANCE) or {}
    seconds = provenance.get("seconds")
    return float(seconds) if seconds is not None else None


def changed_settings(plan: Plan) -> list[str]:
    """The key paths that a row or a column sets, in the study's order."""
    study = plan.study
    names: dict[str, None] = {}
    rows, columns = study.all_rows.values(), study.columns.values()
    for changes in [*(row.set for row in rows), *(column.set for column in columns)]:
        tree: Json = {}
        merge(tree, changes)
        names |= dict.fromkeys(flat(tree))
    return list(names)


def settings_of(unit: Unit) -> Json:
    """Key path -> value of all settings of a unit and of its pre-trainings.

    If its pre-trainings differ in a setting (each representation is trained alone), the value is a
    mapping from representation to value.
    """
    if isinstance(unit, PretrainUnit):
        return flat({"pretrain": unit.options})
    each: dict[str, Json] = {}
    for source in unit.encoders:
        if source.pretrained is not None:
            each[source.representation] = flat({"pretrain": source.pretrained.options})
        elif source.encoders is not None:
            each[source.representation] = flat({"pretrain": {"encoders": source.encoders}})
    together: Json = {}
    for key in dict.fromkeys(key for values in each.values() for key in values):
        own = {name: values[key] for name, values in each.items() if key in values}
        first, *others = own.values()
        together[key] = first if all(other == first for other in others) else own
    return together | flat({section(unit.task_name): unit.options})


def _hashable(value: Any) -> Any:
    """A hashable copy of a value, so that pandas can group by it."""
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    if isinstance(value, Mapping):
        return tuple((name, _hashable(own)) for name, own in value.items())
    return value
