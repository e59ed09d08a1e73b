"""What a search asks of given data, and the units of work that answer it.

A trial is a row of a study on the validation side: its pre-training and its evaluation have the
same keys as there, so that a search and a study share them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.canonical import digest
from ablation.plan import EvaluateOn, Plan, Unit, make_plan
from ablation.search.space import Space
from ablation.study import Column, Row, Study
from skelcon.data import SkeletonDataset, choose_protocol, split
from skelcon.errors import UserError
from skelcon.settings import Settings, assignments, preset_tree, resolve_with_preset

DEFAULT = 0
"""The number of the trial that changes nothing."""
RUNGS = 8
"""Evaluations of a trial, if the space does not say."""


@dataclass(frozen=True)
class Question:
    """A space on given data, with the user's choices.

    Attributes:
        preset: the scale's name.
        protocol: who trains; the validation side is made of trainers only.
        overrides: the user's ``--set``.

    Raises:
        UserError: if a domain holds a value that the setting cannot have.
    """

    space: Space
    dataset: SkeletonDataset
    preset: str
    protocol: str
    overrides: dict[str, Any]

    def check(self) -> None:
        """:class:`UserError` for a value that a setting cannot have, or a batch too large."""
        for text in assignments(self.overrides):
            key = text.partition("=")[0]
            for path in self.space.space:
                if f"{key}.".startswith(f"{path}.") or f"{path}.".startswith(f"{key}."):
                    raise UserError(f"--set {key}: '{path}' is searched")
        self.settings({})
        for path, domain in self.space.space.items():
            for value in domain.values:
                where = self.space.at("space", path)
                resolve_with_preset(
                    preset_tree(self.preset), (self.space.base, {path: value}), {}, where
                )
        fitting = len(split(self.dataset, self.protocol, "fit"))
        if self.settings({}).pretrain.batch > fitting:
            raise UserError(
                f"pretrain.batch {self.settings({}).pretrain.batch} is larger than the {fitting} "
                f"clips of '{self.dataset.name}', {self.protocol}, that a search trains on"
            )
        self.units({})

    def settings(self, parameters: dict[str, Any]) -> Settings:
        """The settings of a trial with ``parameters``."""
        return resolve_with_preset(
            preset_tree(self.preset),
            (self.space.base, parameters),
            self.overrides,
            f"search '{self.space.name}'",
        )

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """The searched settings as they are without the search; None for one that is not set."""
        values = self.settings({}).model_dump(mode="json")
        found = {}
        for path in self.space.space:
            at: Any = values
            for part in path.split("."):
                at = at.get(part) if isinstance(at, dict) else None
            found[path] = at
        return found

    def changes(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What a trial sets: its parameters, without those that are not there and not set."""
        default = self.defaults
        return {k: v for k, v in parameters.items() if v is not None or default[k] is not None}

    @property
    def epochs(self) -> int:
        """Epochs of a trial that runs to its end."""
        return self.settings({}).pretrain.epochs

    @property
    def every(self) -> int:
        """Epochs between two evaluations of a trial."""
        return min(self.epochs, self.space.evaluate_every or -(-self.epochs // RUNGS))

    def units(self, parameters: dict[str, Any]) -> tuple[Unit, Unit]:
        """The pre-training of a trial, and its evaluation on the validation side."""
        plan = self.plan({"trial": parameters}, "validation", (self.space.seed,))
        evaluation = plan.cells[0].unit
        if evaluation is None:
            raise UserError(f"{self.space.at('downstream')}: {plan.cells[0].reason}")
        return plan.units[evaluation.needs[0]], evaluation

    def plan(
        self,
        rows: dict[str, dict[str, Any]],
        on: EvaluateOn,
        seeds: tuple[int, ...],
        notes: tuple[str, ...] = (),
    ) -> Plan:
        """A study that compares ``rows`` of changes to the settings."""
        study = Study(
            name="confirmation",
            title=f"{self.space.title}: confirmation",
            task=self.space.task,
            metric=self.space.metric,
            base=self.space.base,
            rows={name: Row(set=parameters) for name, parameters in rows.items()},
            columns={"value": Column(label="top-1", downstream=self.space.downstream)},
            compare=(),
            notes=notes,
        )
        return make_plan(
            study,
            self.dataset,
            preset=self.preset,
            preset_tree=preset_tree(self.preset),
            seeds=seeds,
            protocol=self.protocol,
            evaluate_on=on,
            overrides=self.overrides,
        )

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """Everything that decides what a trial's number means: plain JSON values.

        How many trials there are is not part of it: more of them continue the same search.
        """
        pretraining, evaluation = self.units({})
        return {
            "pretraining": pretraining.config,
            "evaluation": evaluation.config,
            "space": {k: d.model_dump(mode="json") for k, d in sorted(self.space.space.items())},
            "metric": self.space.metric,
            "evaluate_every": self.every,
            "scheduler": self.space.scheduler.resolved(),
            "algorithm": self.algorithm,
            "seed": self.space.seed,
        }

    @property
    def algorithm(self) -> str:
        """Where the parameters of new trials come from; PBT draws its population at random."""
        return "random" if self.space.scheduler.name == "pbt" else self.space.algorithm

    def directory(self, results: Path) -> Path:
        """Where the search lives: the same question has the same directory."""
        return results / "search" / f"{self.space.name}-{digest(self.values)}"


def ask(
    space: Space,
    dataset: SkeletonDataset,
    *,
    preset: str | None,
    protocol: str | None,
    overrides: dict[str, Any],
) -> Question:
    """The question, checked; :class:`UserError` for anything in it that cannot be."""
    chosen = choose_protocol(dataset, [protocol] if protocol else space.protocols)
    scale = preset or ("quick" if dataset.synthetic else "small")
    question = Question(space, dataset, scale, chosen, overrides)
    question.check()
    return question
