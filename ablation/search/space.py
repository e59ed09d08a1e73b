"""A search space: which settings are searched, over what, and how; read from a YAML file.

title: Optimiser and contrast              what the search is called
protocols: [xview, xsub]                   the first that the data has is used
task: linear                               linear or retrieval: what a trial is measured by
downstream: [seq]                          whose encoders are evaluated, side by side
base: {key.path: value}                    settings of every trial, after the preset's
space:
  pretrain.optimiser.lr: {loguniform: [0.0005, 0.05]}
  pretrain.optimiser.weight_decay: {uniform: [0, 0.001]}
  linear.epochs: {int: [20, 80]}           both bounds are included
  pretrain.contrast.queue: {logint: [64, 1024]}
  pretrain.optimiser.schedule: {choice: [step, cosine]}
metric: top1                               of the task, on the validation side; higher is better
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

from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr

from ablation.catalogue import known_spaces
from ablation.search.domains import Domain
from skelcon.config import Config, Json
from skelcon.encoders import Representation
from skelcon.errors import UserError, nearest
from skelcon.settings import validated
from skelcon.yamlfile import YamlFile, read_yaml

Scheduling = Literal["asha", "pbt", "fifo"]
Algorithm = Literal["optuna", "random"]
FIXED = {
    "pretrain.epochs": "the trials are compared epoch by epoch",
    "pretrain.representations": "that is what a study compares",
}
"""Settings that a search cannot vary, and why."""
IN_TRAINING = (
    "pretrain.optimiser.lr",
    "pretrain.optimiser.momentum",
    "pretrain.optimiser.weight_decay",
    "pretrain.contrast.temperature",
    "pretrain.contrast.momentum",
    "pretrain.augment",
)
"""What can change in the middle of a training, as PBT does"""


class Scheduler(Config):
    """Which trials continue, and how long."""

    name: Scheduling = Field("asha", description="asha, pbt or fifo")
    grace: int = Field(1, ge=1, description="asha: evaluations before a trial may be stopped")
    reduction: int = Field(3, ge=2, description="asha: one in so many continues")
    interval: int = Field(1, ge=1, description="pbt: evaluations between two exchanges")
    quantile: float = Field(0.25, gt=0, le=0.5, description="pbt: the share that is replaced")
    resample: float = Field(0.25, ge=0, le=1, description="pbt: how often a value is drawn")

    def resolved(self) -> Json:
        """What is in use, and nothing that is not."""
        used = {"asha": {"grace", "reduction"}, "pbt": {"interval", "quantile", "resample"}}
        return self.model_dump(include={"name", *used.get(self.name, ())})


class Space(Config):
    """One search. See the module's text for the file."""

    name: str
    title: str
    protocols: tuple[str, ...] = Field(("xview", "xsub", "xsetup"), min_length=1)
    task: Literal["linear", "retrieval"] = "linear"
    downstream: tuple[Representation, ...] = Field(min_length=1)
    base: Json = Field({}, description="key path -> value")
    space: dict[str, Domain] = Field(min_length=1, description="key path -> its domain")
    metric: Literal["top1"] = "top1"
    trials: int = Field(20, ge=1, description="how many, the default among them")
    evaluate_every: int | None = Field(None, ge=1, description="epochs between two evaluations")
    scheduler: Scheduler = Scheduler()
    algorithm: Algorithm = "optuna"
    seed: int = Field(0, ge=0, description="of the trials, and of what is drawn")
    _file: YamlFile | None = PrivateAttr(None)

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
    for key, reason in FIXED.items():
        if key in space.space:
            raise UserError(f"{space.at('space', key)}: '{key}' cannot be searched: {reason}")
    return space


def named_space(name: str) -> Space:
    """The space ``name``, or that of a YAML file; UserError names the nearest of an unknown one."""
    if name.endswith((".yaml", ".yml")):
        return load_space(Path(name))
    spaces = known_spaces()
    if name not in spaces:
        raise UserError(f"unknown search '{name}': {nearest(name, spaces)}; or give a YAML file")
    return load_space(spaces[name])
