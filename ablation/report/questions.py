"""Which directory of the results a table is written to.

A table answers one question: a study on given data, with a protocol, a preset and settings. The
same question with more seeds or rows extends the same table. If anything else differs, the table
gets a directory of its own, so that it does not replace another table of the same study.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from ablation.canonical import digest
from ablation.plan import Plan
from ablation.text import and_joined, plural
from skelcon.config import Json
from skelcon.downstream.tasks import TASKS
from skelcon.encoders.config import BUILTIN
from skelcon.errors import UserError
from skelcon.settings import assignments

ASKED = "study.json"
"""The file in the directory of each table that holds its question."""

_OF_ROW = ("set", "downstream", "pretrain", "coordinates", "task")
_OF_COLUMN: tuple[str, ...] = ("set", "downstream", "protocol", "task", "separate", "of", "metric")
_OF_COLUMN += ("unit", "fuse", "weights")
_OF_STUDY = ("task", "metric", "downstream", "base", "transfer")
_PARTS = ("rows", "references", "columns")
_TYPES: dict[str, type | UnionType] = {
    "study": dict,
    "data": str,
    "preset": dict | str,
    "seeds": list,
    "set": dict,
    "evaluate_on": str,
}
_LONGEST = 60
_SHORT = 4
"""Digits of a hash, where two questions do not differ in anything that has a name."""


def asked(plan: Plan) -> Json:
    """The question of a plan, as plain values: all that `from_results.load_plan` needs."""
    return {
        "study": plan.study.model_dump(mode="json", exclude_defaults=True),
        "data": plan.dataset.fingerprint,
        "data_name": plan.dataset.name,
        "source": plan.source.fingerprint if plan.source is not None else None,
        "protocol": plan.asked_protocol,
        "evaluate_on": plan.evaluate_on,
        "preset": plan.preset.to_json(),
        "seeds": list(plan.seeds),
        "set": plan.overrides,
        "folds": plan.folds,
        "shown": plan.shown,
    }


def read_asked(directory: Path) -> Json | None:
    """The question of the table in ``directory``; None if there is none, or it is damaged."""
    try:
        values: Json = json.loads((directory / ASKED).read_text(encoding="utf-8"))
        check_question(values)
    except (OSError, ValueError):
        return None
    return values


def check_question(values: Any) -> None:
    """``ValueError`` unless ``values``, read from a file, have what every question has."""
    if not isinstance(values, dict):
        raise ValueError("it is no mapping")
    for name, kind in _TYPES.items():
        if not isinstance(values.get(name), kind):
            raise ValueError(f"{name} is missing or of another type")


def table_names(results: Path) -> list[str]:
    """The names of all tables in ``results``, also of damaged ones."""
    return sorted(path.parent.name for path in results.glob(f"*/{ASKED}"))


def asked_tables(results: Path) -> Iterator[tuple[str, Json]]:
    """The name and the question of each table in ``results`` that is not damaged."""
    for name in table_names(results):
        values = read_asked(results / name)
        if values is not None:
            yield name, values


def why_none(results: Path) -> str:
    """Why no table of ``results`` can be read: there is none, or only exported files."""
    names = sorted(path.parent.name for path in results.glob("*/cells.csv"))
    if not names:
        return f"'{results}' has no tables: run a study to make one"
    return (
        f"'{results}' has only exported tables ({', '.join(names)}): copy units/, data/ and "
        f"NAME/{ASKED} there as well, or run the study"
    )


def in_words(values: Json) -> str:
    """``Benefit of skeleton augmentation: UTD-MHAD, small preset, 7 rows, seeds 0, 1``."""
    study, preset = values["study"], values["preset"]
    parts = [
        values.get("data_name", values["data"]),
        *([values["protocol"]] if values.get("protocol") else []),
        *(["cross-validation"] if values["evaluate_on"] == "validation" else []),
        f"{preset['name'] if isinstance(preset, dict) else preset} preset",
        *assignments(values["set"]),
        *([values["shown"]] if values.get("shown") else []),
        plural(len(study.get("rows", {})), "row"),
        f"seeds {', '.join(map(str, values['seeds']))}",
    ]
    return f"{study['title']}: {', '.join(parts)}"


def same_question(one: Json, other: Json) -> bool:
    """Whether two questions differ at most in seeds, rows, and texts (labels, titles, claims)."""
    first, second = _frames(one, other)
    return first == second and all(
        _deciding(own, _OF_ROW) == _deciding(others, _OF_ROW)
        for own, others in _common_rows(one, other)
    )


def _frames(one: Json, other: Json) -> tuple[Json, Json]:
    """The :func:`_frame` of both, without the sections of their presets that no cell uses.

    A new version of skelcon may add sections for further tasks and encoders to a preset; tables
    that do not use them stay the same question.
    """
    both = [each["study"] for each in (one, other)]
    parts = [own for study in both for part in _PARTS for own in study.get(part, {}).values()]
    tasks = {*(study.get("task", "linear") for study in both), *(own.get("task") for own in parts)}
    chosen = json.dumps([one, other])
    encoders = [name for name in BUILTIN if f': "{name}"' not in chosen]
    found = copy.deepcopy((_frame(one), _frame(other)))
    for frame in found:
        tree = frame["preset"] if isinstance(frame["preset"], dict) else {}
        special = (tree.get(part, {}).values() for part in ("by_data", "by_representations"))
        for own in (tree, *itertools.chain(*special)):
            for name in TASKS.keys() - tasks:
                own.pop(name, None)
            for name in encoders:
                own.get("pretrain", {}).get("encoders", {}).pop(name, None)
    return found


def _frame(values: Json) -> Json:
    """The part of a question that decides the numbers of all cells."""
    study, validated = values["study"], values["evaluate_on"] == "validation"
    columns = {name: _deciding(own, _OF_COLUMN) for name, own in study["columns"].items()}
    preset = values["preset"]
    return {
        **_deciding(study, _OF_STUDY),
        "columns": columns,
        "preset": preset["tree"] if isinstance(preset, dict) else preset,
        "folds": values.get("folds") if validated else None,
        "shown": values.get("shown"),
        **{name: values[name] for name in ("data", "source", "protocol", "evaluate_on", "set")},
    }


def _deciding(values: Json, names: tuple[str, ...]) -> Json:
    return {name: values[name] for name in names if name in values}


def _common_rows(one: Json, other: Json) -> Iterator[tuple[Json, Json]]:
    for kind in ("rows", "references"):
        first, second = one["study"].get(kind, {}), other["study"].get(kind, {})
        yield from ((first[name], second[name]) for name in first if name in second)


@dataclass(frozen=True)
class Place:
    """Where a table is written.

    Attributes:
        directory: the directory of its files.
        earlier: the question of the table that is there already; None if there is none.
        message: for the user, if the directory is not the one of the study's name; else empty.
    """

    directory: Path
    earlier: Json | None = None
    message: str = ""


def place_of(plan: Plan, results: Path, name: str | None = None, base: str | None = None) -> Place:
    """The directory of a plan's table below ``results``.

    It has the study's name if that is free or holds the same question. Otherwise what differs is
    appended to the name.

    Args:
        plan: the question.
        results: the results directory.
        name: the name that the user asked for.
        base: a name to use instead of the study's.

    Raises:
        UserError: if the name that the user asked for holds a table that differs in more than its
            seeds and rows.
    """
    own = asked(plan)
    first = results / (name or base or plan.study.name)
    there = read_asked(first)
    if there is None or same_question(there, own):
        return Place(first, there)
    holds = f"'{first}' holds a table that differs in {and_joined(_differences(there, own))}"
    if name is not None:
        raise UserError(f"--name {name}: {holds}: choose another name")
    suffix = re.sub(r"[^A-Za-z0-9.=+_]+", "-", "-".join(_words(there, own)))[:_LONGEST].strip("-")
    hashed = digest({**_frame(own), "rows": _rows(own)})[:_SHORT]
    for ending in (suffix, f"{suffix}-{hashed}".lstrip("-")):
        if ending:
            directory = first.with_name(f"{first.name}-{ending}")
            found = read_asked(directory)
            if found is None:
                return Place(directory, None, f"{holds}: this table is written to '{directory}'")
            if same_question(found, own):
                return Place(directory, found)
    raise UserError(f"{holds}: choose a name for this table with --name")


def _rows(values: Json) -> Json:
    study = values["study"]
    rows = {**study.get("rows", {}), **study.get("references", {})}
    return {name: _deciding(own, _OF_ROW) for name, own in rows.items()}


def _differences(one: Json, other: Json) -> list[str]:
    """What differs between two questions, in words; ``rows`` if only their settings do."""
    first, second = _frames(one, other)
    found = [name for name in second if first.get(name) != second[name]]
    words = {"set": "--set", "shown": "metric", "evaluate_on": "--evaluate-on"}
    return [words.get(name, name) for name in found] or ["rows"]


def _words(there: Json, own: Json) -> list[str]:
    """The words to append to the name of a directory: what ``own`` has that ``there`` has not."""
    first, second = _frames(there, own)
    words = []
    if first["data"] != second["data"]:
        names = there.get("data_name"), str(own["data_name"])
        words.append(names[1] if names[0] != names[1] else own["data"][:_SHORT])
    if first["source"] != second["source"] and own["source"]:
        words.append(f"from-{own['source'][:_SHORT]}")
    if first["preset"] != second["preset"]:
        words.append(own["preset"]["name"])
    if first["protocol"] != second["protocol"]:
        words.append(own["protocol"] or "default-protocol")
    if first["evaluate_on"] != second["evaluate_on"]:
        words.append(own["evaluate_on"])
    elif first["folds"] != second["folds"]:
        words.append(f"{own['folds']}-folds")
    if first["shown"] != second["shown"]:
        words.append(own["shown"] or "own-metric")
    if first["set"] != second["set"]:
        words += assignments(own["set"]) or ["nothing-set"]
    return words
