"""What a search optimises: a space on given data, and the units of work of each trial.

A trial is a row of a study on the validation side, with a pre-training and an evaluation for each
fold. They have the same keys as in such a study, so that a search and a study share them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ablation.canonical import digest
from ablation.plan import Plan, make_plan
from ablation.search.space import Algorithm, Space
from ablation.search.steps import Steps
from ablation.study import Study
from ablation.study_parts import Column, Row
from ablation.units import EvaluateOn, EvaluateUnit, PretrainUnit, Unit
from ablation.unused import check_contrast, check_shared
from skelcon.config import Json
from skelcon.data import Fold, SkeletonDataset, choose_protocol, num_folds, require_sides, split
from skelcon.encoders import Representation
from skelcon.errors import UserError
from skelcon.presets import DataNames, Preset, default_preset, resolve_with_preset
from skelcon.pretrain import check_batch
from skelcon.settings import Settings, assignments

DEFAULT = 0
"""The number of the trial that changes nothing."""
EVALUATIONS = 8
"""Evaluations of a pre-training, if the space does not say."""
EPOCHS = "pretrain.epochs"


class FoldUnits(NamedTuple):
    """The two units of a trial in one fold."""

    pretraining: PretrainUnit
    evaluation: EvaluateUnit

    @property
    def keys(self) -> tuple[str, str]:
        """Their keys."""
        return self.pretraining.key, self.evaluation.key


@dataclass(frozen=True)
class SearchProblem:
    """A space on given data, with the user's choices. Made and checked by :meth:`of`."""

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
        require_sides(dataset, chosen, "train")
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
        where = f"'{dataset.name}', {chosen}, that a search trains on"
        for fold in problem.units({}):
            clips = len(fold.pretraining.side.clips(dataset))
            check_batch(fold.pretraining.settings, clips, where)
        problem._check_unused(overrides)
        return problem

    def _check_unused(self, overrides: Json) -> None:
        """:class:`UserError` for a setting of the contrast that none of its trials reads."""
        space, tried = self.space, self._tried()
        check_contrast("--set", overrides, tried)
        check_shared(space.at("base"), space.base, tried)
        for path, domain in space.space.items():
            for value in domain.values:
                check_contrast(space.at("space", path), {path: value}, tried)

    def _tried(self) -> list[PretrainUnit]:
        """The pre-trainings of the default, and of each value that the space lists."""
        tried = [Json(), *({p: v} for p, own in self.space.space.items() for v in own.values)]
        rows = {", ".join(assignments(each)) or "default": self.changes(each) for each in tried}
        units = self.plan(rows, "validation", (self.space.seed,)).units.values()
        return [unit for unit in units if isinstance(unit, PretrainUnit)]

    def settings(self, parameters: Json) -> Settings:
        """The settings of a trial with ``parameters``."""
        trees, where = (self.space.base, parameters), f"search '{self.space.name}'"
        names = DataNames.of(self.dataset)
        return resolve_with_preset(self.preset.tree, trees, self.overrides, where, names)

    @functools.cached_property
    def defaults(self) -> Json:
        """The searched settings without the search; None for one that is not set."""
        values = self.settings({}).model_dump(mode="json")
        found = {}
        for path in self.space.space:
            at: Any = values
            for part in path.split("."):
                at = at.get(part) if isinstance(at, dict) else None
            found[path] = at
        return found

    def changes(self, parameters: Json) -> Json:
        """The settings of a trial: its parameters that are set, here or by default."""
        default = self.defaults
        return {k: v for k, v in parameters.items() if v is not None or default[k] is not None}

    @property
    def downstream(self) -> tuple[Representation, ...]:
        """Whose encoders are evaluated."""
        return self.space.downstream or self.settings({}).pretrain.representations

    @functools.cached_property
    def epochs(self) -> int:
        """Epochs of a pre-training of the default."""
        return self.settings({}).pretrain.epochs

    @property
    def most_epochs(self) -> int:
        """Epochs of the longest pre-training that a trial can have, in one fold."""
        domain = self.space.space.get(EPOCHS)
        lengths: list[int] = [self.epochs, *(domain.values if domain is not None else ())]
        return max(lengths)

    @property
    def every(self) -> int:
        """Epochs of the default between two evaluations in training."""
        return min(self.epochs, self.space.evaluate_every or -(-self.epochs // EVALUATIONS))

    @functools.cached_property
    def num_folds(self) -> int:
        """How many folds the training side is divided into."""
        return num_folds(self.dataset, self.protocol, self.space.folds)

    @functools.cached_property
    def folds(self) -> tuple[Fold, ...]:
        """The folds that a trial is evaluated on, in that order; only one in a population."""
        used = 1 if self.population else self.num_folds
        return tuple(Fold(index, self.num_folds) for index in range(used))

    @functools.cached_property
    def clips(self) -> tuple[int, ...]:
        """How many clips each of :attr:`folds` is evaluated on."""
        parts = (split(self.dataset, self.protocol, "validation", fold) for fold in self.folds)
        return tuple(map(len, parts))

    @property
    def steps(self) -> int:
        """Epochs of a trial like the default that runs to its end, over all of its folds."""
        return len(self.folds) * self.epochs

    def steps_of(self, parameters: Json) -> Steps:
        """The scale of the epochs of a trial with ``parameters``."""
        return Steps(int(parameters.get(EPOCHS, self.epochs)), self.epochs)

    def units(self, parameters: Json, name: str = "trial") -> tuple[FoldUnits, ...]:
        """The units of a trial with ``parameters``, fold by fold; labels begin with ``name``."""
        rows, found = {"trial": self.changes(parameters)}, []
        plan = self.plan(rows, "validation", (self.space.seed,))
        for cell in plan.cells[: len(self.folds)]:
            evaluation = cell.unit
            if not isinstance(evaluation, EvaluateUnit):
                raise UserError(f"{self.space.at('downstream')}: {cell.reason}")
            pretraining = plan.units[evaluation.needs[0]]
            assert isinstance(pretraining, PretrainUnit)
            trained, evaluated = pretraining.representations, evaluation.representations
            fold = f"fold {evaluation.side.fold}"
            training = f"{name}: pretrain {'+'.join(trained)}, {fold}"
            task = f"{name}: {self.space.task} {'+'.join(evaluated)}, {fold}"
            pair = replace(pretraining, label=training), replace(evaluation, label=task)
            found.append(FoldUnits(*pair))
        return tuple(found)

    def expected(self, count: int) -> list[Unit]:
        """``count`` units of trials like the default, to estimate time and disk.

        Where ``pretrain.epochs`` is searched, they have its values in turn.
        """
        domain = self.space.space.get(EPOCHS)
        changes = [{EPOCHS: value} for value in domain.values] if domain else [Json()]
        each = 2 * len(self.folds)
        found: list[Unit] = []
        for trial in range(-(-count // each)):
            rows = {"default": changes[trial % len(changes)]}
            found += list(self.plan(rows, "validation", (trial,)).units.values())[:each]
        return found[:count]

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
            columns={"value": Column(label=space.metric_in_words, downstream=self.downstream)},
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
            folds=self.space.folds,
        )

    @functools.cached_property
    def values(self) -> Json:
        """All that decides a trial's value; not how many trials there are."""
        first = self.units({})[0]  # which says how many folds there are
        return {
            "pretraining": first.pretraining.to_json(),
            "evaluation": first.evaluation.to_json(),
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
        """What suggests parameters for new trials; PBT draws its population at random."""
        return "random" if self.population else self.space.algorithm

    def directory(self, results: Path) -> Path:
        """The directory of the search: the same for the same problem."""
        return results / "search" / f"{self.space.name}-{digest(self.values)}"
