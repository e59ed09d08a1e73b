"""The plan of a study from its results directory alone, without the data.

``<study>/study.json`` holds the question, and ``data/<fingerprint>/`` the header of each data set:
everything but the frames.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ablation.canonical import digest
from ablation.plan import Plan, make_plan
from ablation.report.leaks import FILE as LEAKS
from ablation.report.leaks import HEADERS, keep_leaks
from ablation.report.questions import (
    ASKED,
    asked,
    asked_tables,
    check_question,
    read_asked,
    same_question,
    why_none,
)
from ablation.store import write_atomically
from ablation.study import Study
from ablation.study_parts import Reported
from skelcon.config import Json
from skelcon.data import FOLDS, SkeletonDataset
from skelcon.errors import UserError, nearest
from skelcon.plugins import load_plugins
from skelcon.presets import Preset

HEADER_FILES = ("index.npz", "meta.json")


def save_plan(plan: Plan, results: Path, directory: Path) -> None:
    """Write what :func:`load_plan` reads; ``directory`` is the table's, below ``results``."""
    for dataset in plan.datasets:
        place = results / HEADERS / dataset.fingerprint
        _copy_header(dataset.path, place)
        keep_leaks(dataset, place)
    values = asked(replace(plan, study=_self_contained(plan.study)))
    _write(directory, values)


def _write(directory: Path, values: Json) -> None:
    """Write a question; keys are not sorted, as rows and columns are in the table's order."""
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / ASKED, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _self_contained(study: Study) -> Study:
    """``study`` without what the paper reports for rows and columns that it does not have."""

    def of_columns(values: dict[str, float]) -> dict[str, float]:
        return {column: value for column, value in values.items() if column in study.columns}

    reports = []
    for report in study.paper:
        rows = {row: of_columns(line) for row, line in report.values.items() if row in study.rows}
        others = {
            name: Reported(label=other.label, values=of_columns(other.values))
            for name, other in report.others.items()
        }
        reports.append(report.model_copy(update={"values": rows, "others": others}))
    return study.model_copy(update={"paper": tuple(reports)})


def _copy_header(source: Path, place: Path) -> None:
    """Copy the files of a data set's header that ``place`` lacks, each one atomically."""
    place.mkdir(parents=True, exist_ok=True)
    for name in (*HEADER_FILES, LEAKS):
        if (source / name).exists() and not (place / name).exists():
            write_atomically(place / name, (source / name).read_bytes())


def load_plan(results: Path, name: str) -> Plan:
    """The plan of the table called ``name`` in ``results``.

    Raises:
        UserError: if there is no such table, or its files are damaged.
    """
    path = results / name / ASKED
    if not path.exists():
        known = {table: values["study"].get("name") for table, values in asked_tables(results)}
        if not known:
            raise UserError(why_none(results))
        tables = ", ".join(table for table, study in known.items() if study == name)
        if tables:
            raise UserError(f"the tables of study '{name}' in '{results}' are {tables}: name one")
        hint = f"{nearest(name, known)} (run the study first)"
        raise UserError(f"'{results}' has no study '{name}': {hint}")
    try:
        values: Json = json.loads(path.read_text(encoding="utf-8"))
        check_question(values)
        load_plugins(tuple(values["study"].get("plugins", ())))
        study = Study.model_validate(values["study"])
        dataset, source = (
            None if key is None else SkeletonDataset.open_header(results / HEADERS / key)
            for key in (values["data"], values["source"])
        )
        assert dataset is not None
        return make_plan(
            study,
            dataset,
            preset=Preset.from_json(values["preset"]),
            seeds=tuple(values["seeds"]),
            protocol=values["protocol"],
            evaluate_on=values["evaluate_on"],
            overrides=values["set"],
            source=source,
            folds=values.get("folds", FOLDS),
        ).showing(values.get("shown"))
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"'{path}' is damaged ({reason}): run the study again") from None


def merge_studies(into: Path, source: Path) -> None:
    """Copy the tables of one results directory into another.

    Tables with the same question are merged: the result has the seeds and rows of both. A table
    that differs in data, settings or columns from one of the same name gets a name of its own.
    """
    for header in sorted((source / HEADERS).glob("*")):
        _copy_header(header, into / HEADERS / header.name)
    for name, values in asked_tables(source):
        own = read_asked(into / name)
        if own is None:
            _write(into / name, values)
        elif same_question(own, values):
            _write(into / name, _united(own, values))
        else:
            apart = into / f"{name}-{digest(values)[:8]}"
            _write(apart, values)


def _united(own: Json, other: Json) -> Json:
    """The same question with the seeds and rows of both, and the labels and titles of ``own``."""
    study = dict(own["study"])
    for kind in ("rows", "references"):
        if kind in study or kind in other["study"]:
            study[kind] = {**other["study"].get(kind, {}), **study.get(kind, {})}
    return {**own, "study": study, "seeds": sorted({*own["seeds"], *other["seeds"]})}
