"""What a unit has to tell to TensorBoard and trackers: its place in a study, its curve, its result.

It is read from the unit's directory by the driver: no worker knows of any tracker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablation.plan import Plan, Unit
from ablation.store import Store


@dataclass(frozen=True)
class Place:
    """Where a unit stands in a study: the first cell that asks for it.

    ``what`` is ``linear`` or another task, or ``pretrain-seq+stg``.
    """

    unit: Unit
    study: str
    row: str
    column: str
    seed: int
    what: str


def places(plan: Plan) -> dict[str, Place]:
    """Key -> place of every unit of a plan."""
    found: dict[str, Place] = {}
    for cell in plan.cells:
        if cell.unit is None:
            continue
        for key in (*cell.unit.needs, cell.unit.key):
            unit = plan.units.get(key)
            if unit is None:  # of a part of a plan
                continue
            what = str(unit.config.get("task", ""))
            if unit.kind == "pretrain":
                what = f"pretrain-{'+'.join(unit.representations)}"
            place = Place(unit, plan.study.name, cell.row, cell.column, cell.seed, what)
            found.setdefault(key, place)
    return found


@dataclass(frozen=True)
class Point:
    """Numbers after so many epochs; ``seconds`` is what the epoch took."""

    epoch: int
    seconds: float
    values: Mapping[str, float]


def curve(store: Store, place: Place) -> list[Point]:
    """What a training has logged so far; a line that is just being written is left out.

    Names of numbers begin with ``pretrain/``, or ``train/`` in an evaluation that trains.
    """
    prefix = "pretrain" if place.unit.kind == "pretrain" else "train"
    path = store.directory(place.unit.key) / "metrics.jsonl"
    points = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
            epoch, seconds = int(line.pop("epoch")) + 1, float(line.pop("seconds"))
        except (ValueError, LookupError, TypeError):
            break
        points.append(Point(epoch, seconds, _numbers(prefix, line)))
    return points


def result(store: Store, place: Place) -> dict[str, float]:
    """The numbers of an evaluation that is done; of a pre-training none: its curve has told them.

    Names of numbers begin with the task, such as ``linear/top1``.
    """
    if place.unit.kind == "pretrain":
        return {}
    return _numbers(place.what, store.result(place.unit.key))


def _numbers(prefix: str, values: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{prefix}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
