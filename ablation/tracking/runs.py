"""The run of a unit in TensorBoard and the trackers: its names, its curve and its result.

The driver reads them from the unit's directory; workers do not use trackers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablation.plan import Plan
from ablation.store import Store
from ablation.text import short_key
from ablation.units import PretrainUnit, Unit
from skelcon.data import Fold

TAGS = {"pretrain/top1": "pretrain/contrast_top1"}
"""The top-1 of a pre-training is of its contrast, not of recognition."""


@dataclass(frozen=True)
class TrackedRun:
    """A unit's run; ``row`` and ``column`` are of the first cell that needs the unit."""

    unit: Unit
    study: str
    row: str
    column: str

    @property
    def seed(self) -> int:
        """The unit's seed."""
        return self.unit.side.seed

    @property
    def fold(self) -> Fold | None:
        """The fold that it is evaluated on; None on the test side."""
        return self.unit.side.fold

    @property
    def key(self) -> str:
        """The unit's key."""
        return self.unit.key

    @property
    def job(self) -> str:
        """``linear`` or another task, or ``pretrain-seq+stg``."""
        trained = "+".join(self.unit.representations)
        return f"pretrain-{trained}" if self.unit.kind == "pretrain" else self.unit.task_name

    @property
    def name(self) -> str:
        """The name that people see."""
        return f"{self.row} {self.column} {self.job} {self.unit.side.seed_and_fold}"


@dataclass(frozen=True)
class Epoch:
    """What a training has logged of an epoch; ``number`` counts from 1."""

    number: int
    seconds: float
    values: Mapping[str, float]


def runs_of(plan: Plan) -> dict[str, TrackedRun]:
    """Key -> run of every unit of a plan."""
    runs: dict[str, TrackedRun] = {}
    for cell in plan.cells:
        for key in (*cell.unit.needs, cell.unit.key) if cell.unit is not None else ():
            if key in plan.units:  # a plan may hold a part of the units
                run = TrackedRun(plan.units[key], plan.study.name, cell.row, cell.column)
                runs.setdefault(key, run)
    return runs


def run_of(unit: Unit, name: str) -> TrackedRun:
    """The run of a unit outside of a study, named after its trial in a search, or its key."""
    name_of_trial, colon, _ = unit.label.partition(":")
    row = name_of_trial if colon else short_key(unit.key)
    return TrackedRun(unit, name, row, "+".join(unit.representations))


def read_curve(store: Store, run: TrackedRun) -> list[Epoch]:
    """What a training has logged so far, up to a line that is still being written.

    Tags begin with ``pretrain/``, or with ``train/`` in an evaluation that trains.
    """
    prefix = "pretrain" if isinstance(run.unit, PretrainUnit) else "train"
    epochs = []
    for line in store.files(run.key).metrics():
        try:
            number, seconds = int(line.pop("epoch")) + 1, float(line.pop("seconds"))
        except (ValueError, LookupError, TypeError):
            break
        epochs.append(Epoch(number, seconds, _tagged(prefix, line)))
    return epochs


def read_result(store: Store, run: TrackedRun) -> dict[str, float]:
    """The numbers of a finished evaluation, such as ``linear/top1``; none of a pre-training."""
    if isinstance(run.unit, PretrainUnit):
        return {}
    return _tagged(run.job, store.result(run.key))


def _tagged(prefix: str, values: Mapping[str, object]) -> dict[str, float]:
    tagged = {
        f"{prefix}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {TAGS.get(tag, tag): value for tag, value in tagged.items()}
