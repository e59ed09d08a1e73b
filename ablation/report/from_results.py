"""A study's table from its results directory alone, without the data and without running.

``<study>/study.json`` keeps what was asked, and ``data/<fingerprint>/`` the header of each data
set: all of it but the frames.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from ablation.plan import Plan, make_plan
from ablation.store import write_atomically
from ablation.study import Reported, Study
from skelcon.config import Json
from skelcon.data import FOLDS, SkeletonDataset
from skelcon.errors import UserError, nearest
from skelcon.plugins import load_plugins
from skelcon.preset import Preset

ASKED = "study.json"
HEADERS = "data"
HEADER_FILES = ("index.npz", "meta.json")


def save_plan(plan: Plan, results: Path, directory: Path) -> None:
    """Keep what :func:`load_plan` needs of a study, whose ``directory`` is below ``results``."""
    for dataset in plan.datasets:
        _keep_header(dataset, results / HEADERS / dataset.fingerprint)
    values = {
        "study": _self_contained(plan.study).model_dump(mode="json", exclude_defaults=True),
        "data": plan.dataset.fingerprint,
        "source": plan.source.fingerprint if plan.source is not None else None,
        "protocol": plan.asked_protocol,
        "evaluate_on": plan.evaluate_on,
        "preset": plan.preset.to_json(),
        "seeds": list(plan.seeds),
        "set": plan.overrides,
        "folds": plan.folds,
    }
    _write(directory, values)


def _write(directory: Path, values: Json) -> None:
    """The order of rows and columns is that of the table: keys are not sorted."""
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / ASKED, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _self_contained(study: Study) -> Study:
    """``study`` without what the paper reports for rows and columns that were not asked."""

    def asked(values: dict[str, float]) -> dict[str, float]:
        return {column: value for column, value in values.items() if column in study.columns}

    reports = []
    for report in study.paper:
        rows = {row: asked(line) for row, line in report.values.items() if row in study.rows}
        others = {
            name: Reported(label=other.label, values=asked(other.values))
            for name, other in report.others.items()
        }
        reports.append(report.model_copy(update={"values": rows, "others": others}))
    return study.model_copy(update={"paper": tuple(reports)})


def _keep_header(dataset: SkeletonDataset, place: Path) -> None:
    if all((place / name).exists() for name in HEADER_FILES):
        return
    place.mkdir(parents=True, exist_ok=True)
    for name in HEADER_FILES:  # the reader wants both: the last one completes it
        temporary = place / f".{name}.tmp"
        shutil.copyfile(dataset.path / name, temporary)
        temporary.replace(place / name)


def load_plan(results: Path, name: str) -> Plan:
    """The plan of the study ``name`` whose table was made in ``results`` before.

    Raises:
        UserError: if the directory knows no such study, or what it keeps of it is damaged.
    """
    path = results / name / ASKED
    if not path.exists():
        known = [study for study, _ in asked_studies(results)]
        hint = nearest(name, known) if known else "it has none"
        raise UserError(f"'{results}' has no study '{name}': {hint} (run a study to make it)")
    try:
        values: Json = json.loads(path.read_text())
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
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"'{path}' is damaged ({reason}): run the study again") from None


def asked_studies(results: Path) -> Iterator[tuple[str, Json]]:
    """The studies that ``results`` knows, by name, and what was asked of each."""
    for path in sorted(results.glob(f"*/{ASKED}")):
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(values, dict):
            yield path.parent.name, values


def merge_studies(into: Path, source: Path) -> None:
    """Let ``into`` know the studies of ``source`` as well; of the same study the seeds add up."""
    for header in sorted((source / HEADERS).glob("*")):
        place = into / HEADERS / header.name
        if not place.exists():
            shutil.copytree(header, place)
    known = dict(asked_studies(into))
    for name, values in asked_studies(source):
        own = known.get(name, values)
        if {**own, "seeds": None} == {**values, "seeds": None}:  # else that of ``into`` is kept
            _write(into / name, {**own, "seeds": sorted({*own["seeds"], *values["seeds"]})})
