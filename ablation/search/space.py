"""A search space: which settings are searched, over what, and how; read from a YAML file.

title: Optimiser and contrast              what the search is called
protocols: [xview, xsub]                   the first that the data has is used
task: linear                               of downstream: what a trial is measured by
downstream: [seq]                          whose encoders are evaluated, side by side; if not set,
                                           of all representations that are pre-trained
base: {key.path: value}                    settings of every trial, after the preset's
space:
  pretrain.optimiser.lr: {loguniform: [0.0005, 0.05]}
  pretrain.optimiser.weight_decay: {uniform: [0, 0.001]}
  linear.epochs: {int: [20, 80]}           both bounds are included
  pretrain.contrast.queue: {logint: [64, 1024]}
  pretrain.optimiser.schedule: {choice: [step, cosine]}
metric: top1                               of the task, a fraction; higher is better
folds: 5                                   of the cross-validation; at most one a group
trials: 20                                 the first is the default: the preset and the base
evaluate_every: 8                          epochs between two evaluations; an eighth if not set
scheduler:
  name: asha                               asha, pbt or fifo (every trial runs to its end)
  grace: 1                                 asha: evaluations before a trial may be stopped
  reduction: 3                             asha: one in so many continues
  interval: 1                              pbt: evaluations between two exchanges
  quantile: 0.25                           pbt: the share that is replaced, and that is copied
  resample: 0.25                           pbt: how often a value is drawn, not moved
algorithm: optuna                          optuna (TPE) or random
seed: 0                                    of the trials, and of what is drawn
"""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, PrivateAttr, model_validator

from ablation.catalogue import known_spaces
from ablation.text import metric_in_words
from skelcon.config import Config, Json, validated
from skelcon.data import FOLDS
from skelcon.downstream.tasks import TASKS
from skelcon.encoders import Representation
from skelcon.errors import UserError, nearest
from skelcon.yamlfile import YamlFile, read_yaml

Scheduling = Literal["asha", "pbt", "fifo"]
Algorithm = Literal["optuna", "random"]
DomainKind = Literal["uniform", "loguniform", "int", "logint", "choice"]
KINDS: tuple[DomainKind, ...] = get_args(DomainKind)
FIXED = {"pretrain.representations": "that is what a study compares"}
"""Settings that a search cannot vary, and why."""
IN_TRAINING = (
    "pretrain.optimiser.lr",
    "pretrain.optimiser.momentum",
    "pretrain.optimiser.weight_decay",
    "pretrain.contrast.temperature",
    "pretrain.contrast.momentum",
    "pretrain.augment",
    "pretrain.views",
)
"""Settings that PBT can change in the middle of a training."""


class Domain(Config):
    """One of ``{uniform: [low, high]}``, ``loguniform``, ``int``, ``logint`` or ``choice``.

    Attributes:
        kind: which of them.
        values: the two bounds, both included, or the values to choose from.
    """

    kind: DomainKind
    values: tuple[Any, ...]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, dict) or len(given) != 1:
            raise ValueError(f"give one of {', '.join(KINDS)}, such as {{uniform: [0.1, 0.9]}}")
        ((kind, values),) = given.items()
        if kind not in KINDS:
            raise ValueError(f"unknown kind of domain '{kind}': {nearest(str(kind), KINDS)}")
        if not isinstance(values, list) or len(values) < 2:
            wanted = "at least two values" if kind == "choice" else "two values"
            raise ValueError(f"{kind} takes a list of {wanted}")
        if kind != "choice":
            values = _bounds(kind, values)
        elif any(values.count(value) > 1 for value in values):
            raise ValueError("choice has a duplicate value")
        return {"kind": kind, "values": values}

    @property
    def log(self) -> bool:
        """Whether it is searched on a logarithmic scale."""
        return self.kind.startswith("log")

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind.endswith("int")

    def contains(self, value: Any) -> bool:
        """Whether ``value`` is one that the search could suggest."""
        if self.kind == "choice":
            return value in self.values
        if type(value) not in ((int,) if self.whole else (int, float)):
            return False
        return bool(self.values[0] <= value <= self.values[1])

    @property
    def size(self) -> float:
        """How many values there are; infinite if they cannot be counted."""
        if self.kind == "choice":
            return len(self.values)
        return self.values[1] - self.values[0] + 1 if self.whole else math.inf

    def draw(self, draws: random.Random) -> Any:
        """A value at random."""
        if self.kind == "choice":
            return draws.choice(self.values)
        low, high = self.values
        if self.kind == "int":
            return draws.randint(low, high)
        if self.kind == "uniform":
            return draws.uniform(low, high)
        # Of whole numbers the bounds are as likely as their neighbours.
        edge = 0.5 if self.whole else 0.0
        value = math.exp(draws.uniform(math.log(low - edge), math.log(high + edge)))
        return min(high, max(low, round(value) if self.whole else value))

    def neighbour(self, value: Any, draws: random.Random) -> Any:
        """A value near ``value``: 0.8 or 1.2 times it within the bounds, or a choice next to it."""
        if self.kind == "choice":
            at = self.values.index(value) + draws.choice((-1, 1))
            return self.values[min(len(self.values) - 1, max(0, at))]
        low, high = self.values
        moved = value * draws.choice((0.8, 1.2))
        if self.whole:
            step = round(moved) - value
            moved = value + (step or (1 if moved > value else -1))
        return min(high, max(low, moved))


def _bounds(kind: str, values: list[Any]) -> tuple[float, float]:
    if len(values) != 2:
        raise ValueError(f"{kind} takes two bounds, not {len(values)}")
    if not kind.endswith("int"):
        values = [_finite(value) for value in values]
    elif not all(type(value) is int for value in values):
        raise ValueError(f"{kind} takes whole numbers, not {values}")
    low, high = values
    if not low < high:
        raise ValueError(f"the lower bound {low} is not below the upper bound {high}")
    if kind.startswith("log") and low <= 0:
        raise ValueError(f"{kind} needs bounds above 0, not {low}")
    return low, high


def _finite(value: Any) -> float:
    with contextlib.suppress(TypeError, ValueError):
        # YAML reads 1e-4 (without a point) as text.
        if not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
    raise ValueError(f"'{value}' is not a finite number")


class Scheduler(Config):
    """Which trials continue, and how long."""

    name: Scheduling = Field("asha", description="asha, pbt or fifo")
    grace: int = Field(1, ge=1, description="asha: evaluations before a trial may be stopped")
    reduction: int = Field(3, ge=2, description="asha: one in so many continues")
    interval: int = Field(1, ge=1, description="pbt: evaluations between two exchanges")
    quantile: float = Field(0.25, gt=0, le=0.5, description="pbt: the share that is replaced")
    resample: float = Field(0.25, ge=0, le=1, description="pbt: how often a value is drawn")

    def resolved(self) -> Json:
        """The settings that this scheduler uses."""
        used = {"asha": {"grace", "reduction"}, "pbt": {"interval", "quantile", "resample"}}
        return self.model_dump(include={"name", *used.get(self.name, ())})


class Space(Config):
    """One search; the docstring of this module describes its file."""

    name: str
    title: str
    protocols: tuple[str, ...] = Field(("xview", "xsub", "xsetup"), min_length=1)
    task: str = "linear"
    downstream: tuple[Representation, ...] = Field((), description="if empty, all that is trained")
    base: Json = Field({}, description="key path -> value")
    space: dict[str, Domain] = Field(min_length=1, description="key path -> its domain")
    metric: str = "top1"
    folds: int = Field(FOLDS, ge=2, description="of the cross-validation; at most one a group")
    trials: int = Field(20, ge=1, description="how many, the default among them")
    evaluate_every: int | None = Field(None, ge=1, description="epochs between two evaluations")
    scheduler: Scheduler = Scheduler()
    algorithm: Algorithm = "optuna"
    seed: int = Field(0, ge=0, description="of the trials, and of what is drawn")
    _file: YamlFile | None = PrivateAttr(None)

    @property
    def metric_in_words(self) -> str:
        """The metric as people write it, such as ``top-1``."""
        return metric_in_words(self.metric)

    def at(self, *keys: str) -> str:
        """Where in the file ``keys`` stand, for a message."""
        return self._file.at(keys) if self._file else f"search '{self.name}'"

    def chosen(self, *, scheduler: Scheduling | None = None, **given: int | str | None) -> Space:
        """The space with those options of the command line that are given (not None)."""
        changes: Json = {key: value for key, value in given.items() if value is not None}
        if scheduler is not None:
            changes["scheduler"] = self.scheduler.model_copy(update={"name": scheduler})
        space = self.model_copy(update=changes)
        space._file = self._file
        if space.scheduler.name == "pbt":
            space._check_population()
        return space

    def _check_population(self) -> None:
        for path in self.space:
            if not any(f"{path}.".startswith(f"{can}.") for can in IN_TRAINING):
                raise UserError(
                    f"{self.at('space', path)}: pbt cannot change '{path}' in the middle of a "
                    f"training; it can change {', '.join(IN_TRAINING)}; use the scheduler asha or "
                    "fifo"
                )
        if self.trials < 2:
            raise UserError(f"pbt needs at least 2 trials, not {self.trials}")


def load_space(path: Path) -> Space:
    """Read and check a space; :class:`UserError` names the file, the line and the key."""
    file = read_yaml(path)
    if "name" in file.values:
        raise UserError(f"{file.at(['name'])}: a search has the name of its file; remove the key")
    if "rows" in file.values and "space" not in file.values:
        raise UserError(f"'{path}' is a study, not a search space: skelcon-ablate run {path}")
    space = validated(Space, {**file.values, "name": path.stem}, file.at)
    space._file = file
    if space.task not in TASKS:
        hint = nearest(space.task, TASKS)
        raise UserError(f"{space.at('task')}: unknown task '{space.task}': {hint}")
    metrics = TASKS[space.task].metrics
    if space.metric not in metrics:
        wrong = f"unknown metric '{space.metric}' of task {space.task}"
        raise UserError(f"{space.at('metric')}: {wrong}: {nearest(space.metric, metrics)}")
    for key, reason in FIXED.items():
        if key in space.space:
            raise UserError(f"{space.at('space', key)}: '{key}' cannot be searched: {reason}")
    return space


def named_space(name: str) -> Space:
    """The space ``name``, or of a YAML file; UserError names the nearest to an unknown name."""
    if name.endswith((".yaml", ".yml")):
        return load_space(Path(name))
    spaces = known_spaces()
    if name not in spaces:
        raise UserError(f"unknown search '{name}': {nearest(name, spaces)}; or give a YAML file")
    return load_space(spaces[name])
