"""Which table of a results directory a question has.

A table is one question: a study on given data, by one protocol, preset and settings. The same
question with more seeds or rows grows the same table; another question gets another directory, so
that no table is lost to one that happens to be of the same study.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ablation.canonical import digest
from ablation.plan import Plan
from ablation.text import plural
from skelcon.config import Json
from skelcon.downstream.tasks import TASKS
from skelcon.encoders.config import BUILTIN
from skelcon.errors import UserError
from skelcon.settings import assignments

ASKED = "study.json"
"""What was asked, in the directory of each table."""

_OF_ROW = ("set", "downstream", "pretrain", "coordinates", "task")
_OF_COLUMN: tuple[str, ...] = ("set", "downstream", "protocol", "task", "separate", "of", "metric")
_OF_COLUMN += ("unit", "fuse", "weights")
_OF_STUDY = ("task", "metric", "downstream", "base", "transfer")
_PARTS = ("rows", "references", "columns")
_LONGEST = 60
_SHORT = 4
"""Digits that tell apart two questions that differ in no word."""


def asked(plan: Plan) -> Json:
    """What a plan asks, as plain values: all that `from_results.load_plan` needs."""
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
    """What was asked of the table in ``directory``; None if there is none, or it is damaged."""
    try:
        values = json.loads((directory / ASKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and "study" in values else None


def asked_tables(results: Path) -> Iterator[tuple[str, Json]]:
    """The tables of ``results`` by name, and what was asked of each."""
    for path in sorted(results.glob(f"*/{ASKED}")):
        values = read_asked(path.parent)
        if values is not None:
            yield path.parent.name, values


def why_none(results: Path) -> str:
    """Why ``results`` has no table that can be read again."""
    names = sorted(path.parent.name for path in results.glob("*/cells.csv"))
    if not names:
        return f"'{results}' has no tables: run a study to make one"
    return (
        f"'{results}' has only exported tables ({', '.join(names)}): what this reads is missing, "
        f"NAME/{ASKED}, units/ and data/"
    )


def in_words(values: Json) -> str:
    """``Benefit of skeleton augmentation: UTD-MHAD, small preset, 7 rows, seeds 0, 1``."""
    study, preset = values["study"], values["preset"]
    parts = [
        values.get("data_name", values["data"]),
        *([values["protocol"]] if values["protocol"] else []),
        *(["cross-validation"] if values["evaluate_on"] == "validation" else []),
        f"{preset['name'] if isinstance(preset, dict) else preset} preset",
        *assignments(values["set"]),
        *([values["shown"]] if values.get("shown") else []),
        plural(len(study.get("rows", {})), "row"),
        f"seeds {', '.join(map(str, values['seeds']))}",
    ]
    return f"{study['title']}: {', '.join(parts)}"


def same_question(one: Json, other: Json) -> bool:
    """Whether two ask the same but for seeds and rows, and for words (labels, titles, claims)."""
    first, second = _frames(one, other)
    return first == second and all(
        _deciding(own, _OF_ROW) == _deciding(others, _OF_ROW)
        for own, others in _common_rows(one, other)
    )


def _frames(one: Json, other: Json) -> tuple[Json, Json]:
    """Of two what decides every cell, without the sections of presets that no cell of them reads.

    Presets get sections for further tasks and encoders: tables without these are what they were.
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
    """What decides every cell."""
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
    """Where a question's table is.

    Attributes:
        directory: of its files.
        earlier: what was asked of it before, if it is there.
        told: what a person should know about the choice; empty if nothing.
    """

    directory: Path
    earlier: Json | None = None
    told: str = ""


def place_of(plan: Plan, results: Path, name: str | None = None, base: str | None = None) -> Place:
    """The directory of a plan's table below ``results``.

    That of the study's name, if it is free or holds the same question; else one whose name says
    what is different.

    Args:
        plan: the question.
        results: where tables are.
        name: the name that the user wants.
        base: what to start from instead of the study's name.

    Raises:
        UserError: if the wanted name holds another question.
    """
    own = asked(plan)
    first = results / (name or base or plan.study.name)
    there = read_asked(first)
    if there is None or same_question(there, own):
        return Place(first, there)
    differs = ", ".join(_differences(there, own)) or "rows"
    if name is not None:
        raise UserError(f"--name {name}: '{first}' has another question ({differs} differs)")
    suffix = re.sub(r"[^A-Za-z0-9.=+_]+", "-", "-".join(_words(there, own)))[:_LONGEST].strip("-")
    hashed = digest({**_frame(own), "rows": _rows(own)})[:_SHORT]
    for ending in (suffix, f"{suffix}-{hashed}".lstrip("-")):
        directory = first.with_name(f"{first.name}-{ending}")
        found = read_asked(directory) if ending else there
        if found is None or same_question(found, own):
            told = "" if found else f"'{first}' has another question ({differs} differs): this "
            return Place(directory, found, told and f"{told}table is '{directory}'")
    return Place(directory, found)


def _rows(values: Json) -> Json:
    study = values["study"]
    rows = {**study.get("rows", {}), **study.get("references", {})}
    return {name: _deciding(own, _OF_ROW) for name, own in rows.items()}


def _differences(one: Json, other: Json) -> list[str]:
    """The names of what differs, in words."""
    first, second = _frames(one, other)
    found = [name for name in second if first.get(name) != second[name]]
    return [name.replace("_", " ") for name in found]


def _words(there: Json, own: Json) -> list[str]:
    """What makes ``own`` recognisable beside what is there already."""
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
