"""What a search optimises: a space on given data, and the two units of work of each trial.

A trial is a row of a study on the validation side: its pre-training and its evaluation have the
same keys as there, so that a search and a study share them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ablation.canonical import digest
from ablation.plan import Plan, make_plan
from ablation.search.space import Algorithm, Space
from ablation.study import Column, Row, Study
from ablation.units import EvaluateOn, EvaluateUnit, PretrainUnit
from skelcon.config import Json
from skelcon.data import SkeletonDataset, choose_protocol, split
from skelcon.errors import UserError
from skelcon.preset import DataNames, Preset, default_preset, resolve_with_preset
from skelcon.pretrain import check_batch
from skelcon.settings import Settings, assignments

DEFAULT = 0
"""The number of the trial that changes nothing."""
EVALUATIONS = 8
"""Evaluations of a trial, if the space does not say."""


class TrialUnits(NamedTuple):
    """The two units of a trial."""

    pretraining: PretrainUnit
    evaluation: EvaluateUnit

    @property
    def keys(self) -> tuple[str, str]:
        """Their keys."""
        return self.pretraining.key, self.evaluation.key


@dataclass(frozen=True)
class SearchProblem:
    """A space on given data, with the user's choices. :meth:`of` makes a checked one."""

    space: Space
    dataset: SkeletonDataset
    preset: Preset
    protocol: str
    overrides: Json
    """The user's ``--set``."""

    @classmethod
    def of(
        cls,
        space: Space,
        dataset: SkeletonDataset,
        *,
        preset: str | Preset | None,
        protocol: str | None,
        overrides: Json,
    ) -> SearchProblem:
        """The problem; :class:`UserError` for a value that a setting cannot have."""
        chosen = choose_protocol(dataset, [protocol] if protocol else space.protocols)
        found = Preset.of(preset or default_preset(dataset))
        problem = cls(space, dataset, found, chosen, overrides)
        for text in assignments(overrides):
            key = text.partition("=")[0]
            for path in space.space:
                if f"{key}.".startswith(f"{path}.") or f"{path}.".startswith(f"{key}."):
                    raise UserError(f"--set {key}: '{path}' is searched")
        for path, domain in space.space.items():
            where = space.at("space", path)
            for value in domain.values:
                trees = (space.base, {path: value})
                resolve_with_preset(found.tree, trees, {}, where, DataNames.of(dataset))
        clips = len(split(dataset, chosen, "fit"))
        where = f"'{dataset.name}', {chosen}, that a search trains on"
        check_batch(problem.settings({}).pretrain, clips, where)
        problem.units({})
        return problem

    def settings(self, parameters: Json) -> Settings:
        """The settings of a trial with ``parameters``."""
        trees, where = (self.space.base, parameters), f"search '{self.space.name}'"
        names = DataNames.of(self.dataset)
        return resolve_with_preset(self.preset.tree, trees, self.overrides, where, names)

    @functools.cached_property
    def defaults(self) -> Json:
        """The searched settings as they are without the search; None for one that is not set."""
        values = self.settings({}).model_dump(mode="json")
        found = {}
        for path in self.space.space:
            at: Any = values
            for part in path.split("."):
                at = at.get(part) if isinstance(at, dict) else None
            found[path] = at
        return found

    def changes(self, parameters: Json) -> Json:
        """What a trial sets: its parameters, except those that are unset by default and here."""
        default = self.defaults
        return {k: v for k, v in parameters.items() if v is not None or default[k] is not None}

    @property
    def epochs(self) -> int:
        """Epochs of a trial that runs to its end."""
        return self.settings({}).pretrain.epochs

    @property
    def every(self) -> int:
        """Epochs between two evaluations of a trial."""
        return min(self.epochs, self.space.evaluate_every or -(-self.epochs // EVALUATIONS))

    def units(self, parameters: Json, name: str = "trial") -> TrialUnits:
        """The units of a trial with ``parameters``; ``name`` is for their labels."""
        rows = {"trial": self.changes(parameters)}
        plan = self.plan(rows, "validation", (self.space.seed,))
        evaluation = plan.cells[0].unit
        if not isinstance(evaluation, EvaluateUnit):
            raise UserError(f"{self.space.at('downstream')}: {plan.cells[0].reason}")
        pretraining = plan.units[evaluation.needs[0]]
        assert isinstance(pretraining, PretrainUnit)
        trained, evaluated = pretraining.representations, evaluation.representations
        return TrialUnits(
            replace(pretraining, label=f"{name}: pretrain {'+'.join(trained)}"),
            replace(evaluation, label=f"{name}: {self.space.task} {'+'.join(evaluated)}"),
        )

    def plan(
        self, rows: dict[str, Json], on: EvaluateOn, seeds: tuple[int, ...], *notes: str
    ) -> Plan:
        """A study that compares ``rows`` of changes to the settings."""
        space = self.space
        study = Study(
            name="confirmation",
            title=f"{space.title}: confirmation",
            task=space.task,
            metric=space.metric,
            base=space.base,
            rows={name: Row(set=changes) for name, changes in rows.items()},
            columns={"value": Column(label="top-1", downstream=space.downstream)},
            compare=(),
            notes=notes,
        )
        return make_plan(
            study,
            self.dataset,
            preset=self.preset,
            seeds=seeds,
            protocol=self.protocol,
            evaluate_on=on,
            overrides=self.overrides,
        )

    @functools.cached_property
    def values(self) -> Json:
        """All that decides what a trial's number means; not how many trials there are."""
        units = self.units({})
        return {
            "pretraining": units.pretraining.to_json(),
            "evaluation": units.evaluation.to_json(),
            "space": {k: d.model_dump(mode="json") for k, d in sorted(self.space.space.items())},
            "metric": self.space.metric,
            "evaluate_every": self.every,
            "scheduler": self.space.scheduler.resolved(),
            "algorithm": self.algorithm,
            "seed": self.space.seed,
        }

    @property
    def population(self) -> bool:
        """Whether parameters change while a trial trains (PBT)."""
        return self.space.scheduler.name == "pbt"

    @property
    def algorithm(self) -> Algorithm:
        """Where the parameters of new trials come from; PBT draws its population at random."""
        return "random" if self.population else self.space.algorithm

    def directory(self, results: Path) -> Path:
        """Where the search is: the same problem has the same directory."""
        return results / "search" / f"{self.space.name}-{digest(self.values)}"
