"""The generated rows of a study's file: of its design, and of rows with a ``grid``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ablation.designs.config import IN, Design, value_name
from ablation.designs.runs import Levels, runs_of
from skelcon.config import Json, validated
from skelcon.errors import UserError
from skelcon.settings import merge
from skelcon.yamlfile import YamlFile


def with_generated_rows(values: Json, file: YamlFile) -> Json:
    """A study's ``values`` with the rows of each ``grid`` and of the ``design`` written out.

    Raises:
        UserError: for an invalid design or grid; it names the line.
    """
    rows = values.get("rows") or {}
    if not isinstance(rows, dict):
        return values  # the study's validation reports the error
    found = dict[Any, Any]()
    for name, row in rows.items():
        own = _of_grid(name, row, file) if isinstance(row, dict) and "grid" in row else {name: row}
        _add(found, own, file.at(["rows", str(name)]))
    if values.get("design") is not None:
        _add(found, _of_design(values["design"], file), file.at(["design"]))
    return {**values, "rows": found} if found else values


def _add(rows: Json, further: Json, where: str) -> None:
    for name, row in further.items():
        if name in rows:
            raise UserError(f"{where}: row '{name}' exists already")
        rows[name] = row


def _of_grid(name: str, row: Json, file: YamlFile) -> Json:
    """A row ``name/temperature=0.05`` for each combination of the values in a row's ``grid``."""
    grid, where = row["grid"], file.at(["rows", str(name), "grid"])
    if not isinstance(grid, dict) or not grid:
        raise UserError(f"{where}: grid: give settings, each with a list of values")
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: grid: '{key}' needs a list of values (given: {values!r})")
    rows: Json = {}
    for chosen in itertools.product(*grid.values()):
        settings: Json = {}
        merge(settings, row.get("set") or {})
        merge(settings, dict(zip(grid, chosen, strict=True)))
        words = [
            f"{str(key).rpartition('.')[2]}={value_name(value)}"
            for key, value in zip(grid, chosen, strict=True)
        ]
        label = f"{row.get('label') or name}, {', '.join(words).replace('=', ' ')}"
        own = {key: value for key, value in row.items() if key != "grid"}
        each = {"/".join([str(name), *words]): {**own, "label": label, "set": settings}}
        _add(rows, each, where)
    return rows


def _of_design(values: Any, file: YamlFile) -> Json:
    """The rows of a design; combinations that several kinds run are one row."""
    if not isinstance(values, Mapping):
        raise UserError(f"{file.at(['design'])}: design: give a mapping")
    design = validated(Design, values, lambda keys: file.at(["design", *keys]))
    rows: Json = {}
    try:
        runs = [run for kind in design.kind for run in runs_of(design, kind)]
    except ValueError as error:
        raise UserError(f"{file.at(['design', 'runs'])}: design.runs: {error}") from None
    for run in runs:
        if all(run.levels != row["levels"] for row in rows.values()):
            own = {run.name: {"label": run.label, **settings_of(design, run.levels)}}
            _add(rows, own, file.at(["design"]))
    return rows


def settings_of(design: Design, levels: Levels) -> Json:
    """The keys of a combination's row: ``set``, ``downstream`` and ``levels``."""
    settings: Json = {}
    row: Json = {"set": settings, "levels": dict(levels)}
    for name, factor in design.factors.items():
        if factor.items:
            inside = [item for item in factor.items if levels[item] == IN]
            merge(settings, {str(factor.setting): inside})
        elif factor.range is not None:
            number = float(levels[name])
            whole = all(isinstance(end, int) for end in factor.range)
            merge(settings, {str(factor.setting): int(number) if whole else number})
        elif factor.values:
            named = {value_name(value): value for value in factor.values}
            merge(settings, {str(factor.setting): named[levels[name]]})
        else:
            level = factor.levels[levels[name]]
            merge(settings, level.set)
            if level.downstream is not None:
                row["downstream"] = list(level.downstream)
    return row
