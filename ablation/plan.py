"""From a study to its cells, and from cells to the distinct units of work behind them.

Two cells, or two studies, that need the same work share its unit (`ablation.units`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ablation.designs.describe import described, same_work_notes
from ablation.fusion import Fusion, why_not
from ablation.study import Study
from ablation.study_parts import Report
from ablation.units import (
    TRAIN_SIDE,
    EncoderSource,
    EvaluateOn,
    EvaluateUnit,
    PretrainUnit,
    Side,
    Unit,
)
from skelcon.config import Json
from skelcon.data import (
    FOLDS,
    Fold,
    Part,
    SkeletonDataset,
    canonical_protocol,
    choose_protocol,
    common_layout,
    num_folds,
    require_sides,
    split,
)
from skelcon.downstream.tasks import TASKS
from skelcon.errors import UserError, nearest
from skelcon.presets import DataNames, Preset
from skelcon.pretrain import PretrainConfig, check_batch
from skelcon.settings import assignments


@dataclass(frozen=True)
class Cell:
    """One number of a table for one seed: the unit (or units) that make it, or why there is none.

    ``fold`` is the one that it is evaluated on; None on the test side.
    """

    row: str
    column: str
    seed: int
    unit: Unit | Fusion | None
    reason: str = ""
    fold: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a study needs on given data.

    Attributes:
        study: as asked, without the columns that the data cannot fill.
        protocol: of every column that names none of its own.
        source: the data of a transfer's pre-trainings.
        overrides: the user's ``--set``.
        asked_protocol: the user's ``--protocol``.
        folds: at most so many, where it is evaluated on the validation side.
        shown: the user's ``--metric``, where it is not the study's own.
        notes: what the data made of the study.
    """

    study: Study
    dataset: SkeletonDataset
    source: SkeletonDataset | None
    protocol: str
    evaluate_on: EvaluateOn
    preset: Preset
    seeds: tuple[int, ...]
    overrides: Json
    asked_protocol: str | None
    folds: int = FOLDS
    cells: tuple[Cell, ...] = ()
    units: dict[str, Unit] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    shown: str | None = None

    def __repr__(self) -> str:
        parts = (
            f"{len(self.cells)} cells of {len(self.units)} units",
            self.dataset.name,
            self.protocol,
            *(["cross-validation"] if self.evaluate_on == "validation" else []),
            f"{self.preset} preset",
            f"seeds {', '.join(map(str, self.seeds))}",
        )
        return f"Plan('{self.study.name}': {', '.join(parts)})"

    @property
    def synthetic(self) -> bool:
        """Whether its numbers are of synthetic data."""
        return self.dataset.synthetic or (self.source is not None and self.source.synthetic)

    @property
    def datasets(self) -> tuple[SkeletonDataset, ...]:
        """All data that its units read."""
        return (self.dataset,) if self.source is None else (self.dataset, self.source)

    @property
    def like_the_paper(self) -> bool:
        """Whether the report is of the same data and protocol, at the same scale."""
        report, source = self.report, self.source.name if self.source else None
        if report is None or not self.preset.at_paper_scale or self.overrides:
            return False
        if self.evaluate_on != "test":
            return False
        same_data = (report.data, report.pretrained_on) == (self.dataset.name, source)
        return same_data and report.protocol in (None, self.protocol)

    @property
    def report(self) -> Report | None:
        """What the paper reports for the same table; nothing of another metric than its own."""
        if self.shown is not None:
            return None
        source = self.source.name if self.source else None
        return self.study.report(self.dataset.name, self.protocol, source)

    def paper_value(self, row: str, column: str) -> float | None:
        """What the paper reports for a cell, as it is printed there."""
        return self.report.values.get(row, {}).get(column) if self.report else None

    def paper_spread(self, row: str, column: str) -> float | None:
        """The ± that the paper reports for a cell, if it does."""
        return self.report.spreads.get(row, {}).get(column) if self.report else None

    @property
    def ranked(self) -> list[str]:
        """The columns that rank the rows."""
        return [name for name, column in self.study.columns.items() if column.unit == "percent"]

    def metric(self, column: str) -> str:
        """Which number of its units a column shows."""
        return self.study.columns[column].metric or self.shown or self.study.metric

    def showing(self, metric: str | None) -> Plan:
        """The plan of the same units, of which another number is shown.

        A column that names its metric keeps it.

        Raises:
            UserError: for a number that none of the study's tasks has.
        """
        if metric is None or metric == self.study.metric:
            return replace(self, shown=None)
        tasks = [TASKS[name] for name in self.study.tasks]
        known = [name for task in tasks for name in task.metrics if name not in task.values]
        if metric not in known:
            raise UserError(f"--metric {metric}: {nearest(metric, known)}")
        return replace(self, shown=metric)

    def count(self, kind: str) -> int:
        """How many distinct units of a kind there are."""
        return sum(unit.kind == kind for unit in self.units.values())


def make_plan(
    study: Study,
    dataset: SkeletonDataset,
    *,
    preset: str | Preset,
    seeds: tuple[int, ...],
    protocol: str | None = None,
    evaluate_on: EvaluateOn = "test",
    overrides: Json | None = None,
    source: SkeletonDataset | None = None,
    folds: int = FOLDS,
) -> Plan:
    """The cells of ``study`` and their distinct units, a pre-training before what needs it.

    Args:
        study: what the table asks.
        dataset: the data that it is computed on.
        preset: the scale: a name, a file, or what was found there.
        seeds: each cell is computed for each of them.
        protocol: who trains and who tests; the first of the study's that the data has if not set.
        evaluate_on: ``validation`` is a cross-validation over the groups of the training side,
            and leaves the test side alone.
        overrides: the user's ``--set``.
        source: the data of a transfer's pre-trainings.
        folds: of the cross-validation: so many, or one for each group where there are fewer.

    Raises:
        UserError: for an unknown protocol, key or value, or a training side with a single group.
    """
    if study.transfer and source is None:
        raise UserError(f"study '{study.name}' needs --source, the data to pre-train on")
    overrides = overrides or {}
    chosen = choose_protocol(dataset, [protocol] if protocol else study.protocols)
    study, notes = _fitted(study, dataset, chosen if protocol else None)
    used: tuple[Part, ...] = ("train", "test") if evaluate_on == "test" else ("train",)
    for own in dict.fromkeys(_protocols(study, dataset).values()):
        require_sides(dataset, own or chosen, *used)
    _check_overrides(study, overrides)
    source = source if study.transfer else None
    asked = (evaluate_on, Preset.of(preset), seeds, overrides, protocol, folds)
    question = (study, dataset, source, chosen, *asked)
    maker = _Maker(Plan(*question))
    cells = [
        cell
        for row in study.all_rows
        for column, own in _protocols(study, dataset).items()
        for cell in maker.cells(row, column, own or chosen)
    ]
    notes = (*notes, *maker.notes, *_notes_on_design(study, cells))
    return Plan(*question, tuple(cells), maker.units, notes)


def _notes_on_design(study: Study, cells: Sequence[Cell]) -> list[str]:
    """What the rows of a design can tell."""
    runs = {name: row.levels for name, row in study.rows.items() if row.levels}
    if study.design is None or len(runs) < 2:
        return []
    units = dict[str, list[tuple[str, str]]]()
    for cell in cells:
        column = study.columns[cell.column]
        if cell.row in runs and cell.unit is not None and column.unit == "percent":
            units.setdefault(column.label or cell.column, []).append((cell.row, cell.unit.key))
    return [*described(study.design, [*runs.values()]), *same_work_notes(units)]


def _protocols(study: Study, dataset: SkeletonDataset) -> dict[str, str | None]:
    """Column -> the protocol that it names itself, if any."""
    stated = {name: study.columns[study.behind(name)].protocol for name in study.columns}
    return {
        name: canonical_protocol(own, dataset.splits) if own else None
        for name, own in stated.items()
    }


def _fitted(
    study: Study, dataset: SkeletonDataset, asked: str | None
) -> tuple[Study, tuple[str, ...]]:
    """``study`` with the columns that the data, and the protocol asked for, can fill."""
    columns, missing = {}, []
    for name, protocol in _protocols(study, dataset).items():
        if protocol is not None and protocol not in dataset.splits:
            missing.append(protocol)
        elif asked is None or protocol in (None, asked):
            columns[name] = study.columns[name]
    if not columns:
        asks = [own for own in _protocols(study, dataset).values() if own]
        raise UserError(
            f"study '{study.name}' has columns of {', '.join(dict.fromkeys(asks))}: none is left "
            f"of {asked or 'data set ' + repr(dataset.name)}"
        )
    lacks = ", ".join(dict.fromkeys(missing))
    notes = (f"Left out, as the data set has no such protocol: {lacks}.",) if missing else ()
    return study.with_columns(columns), notes


def _check_overrides(study: Study, overrides: Json) -> None:
    """UserError if ``--set`` would make rows or columns equal that differ in that setting."""
    asked = [text.partition("=")[0] for text in assignments(overrides)]
    # (of references the own settings win)
    rows = {f"row '{name}'": row.set for name, row in study.rows.items()}
    columns = {f"column '{name}'": column.set for name, column in study.columns.items()}
    for member, settings in (rows | columns).items():
        keys = [text.partition("=")[0] for text in assignments(settings)]
        for key, each in itertools.product(keys, asked):
            if f"{key}.".startswith(f"{each}.") or f"{each}.".startswith(f"{key}."):
                raise UserError(
                    f"--set {each}: {member} of study '{study.name}' sets '{key}' itself; copy the "
                    "study's file to change that"
                )


class _Maker:
    """Makes the units of a study's cells, each once; ``plan`` has none yet."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.study = plan, plan.study
        self.units: dict[str, Unit] = {}
        self.notes: tuple[str, ...] = ()
        dataset, source, asked = plan.dataset, plan.source, plan.asked_protocol
        self._names = DataNames.of(dataset, source)
        self._layout, self._bodies = dataset.layout, dataset.max_bodies
        if source is not None:
            self._layout = common_layout(source.layout, dataset.layout)
            self._bodies = max(source.max_bodies, dataset.max_bodies)
            own = (*dataset.splits, *source.splits)
            self._source_protocol = canonical_protocol(asked, own) if asked else ""
            if self._source_protocol not in source.splits:
                self._source_protocol = choose_protocol(source, self.study.protocols)
            require_sides(source, self._source_protocol, "train")
            self.notes = (self._note_of_source(source),)

    def _note_of_source(self, source: SkeletonDataset) -> str:
        clips, target = split(source, self._source_protocol, "train"), self.plan.dataset
        return (
            f"Pre-trained on {source.name} ({self._source_protocol}, {len(clips)} clips, "
            f"{source.num_classes} classes, {source.layout.num_joints} joints), data "
            f"{source.fingerprint}, and fine-tuned on {target.name} "
            f"({target.layout.num_joints} joints), both on the "
            f"{self._layout.num_joints} joints of {self._layout.name}."
        )

    def cells(self, row: str, column: str, protocol: str) -> Iterator[Cell]:
        """A row's cells in a column; the units behind them are added to :attr:`units`."""
        if self.study.columns[column].fuse:
            yield from self._fused(row, column, protocol)
            return
        behind = self.study.behind(column)
        names, of_row = self.study.downstream_of(row, behind), self.study.all_rows[row]
        # One for all encoders of the cell, or one for each that is pre-trained alone.
        separate = self.study.columns[behind].separate
        preset, overrides = self.plan.preset.tree, self.plan.overrides
        settings = [
            self.study.settings(row, behind, preset, overrides, each, self._names)
            for each in ([(name,) for name in names] if separate and names else [None])
        ]
        configs = [(name, settings[i % len(settings)].pretrain) for i, name in enumerate(names)]
        task, on = TASKS[self.study.task_of(row, column)], self.plan.evaluate_on
        options = task.options_of(settings[0].of(task.name))
        reason = _not_applicable(configs, of_row.pretrained)
        if of_row.coordinates:
            reason = "" if task.frozen else "the coordinates cannot be trained"
        for side in self._sides(protocol):
            seed, fold = side.seed, side.fold.index if side.fold is not None else None
            if reason:
                yield Cell(row, column, seed, None, f"not applicable: {reason}", fold)
                continue
            encoders = tuple(
                EncoderSource(name, pretrained=self._pretraining(row, config, side))
                if of_row.pretrained
                else EncoderSource(
                    name, random=config.encoders.resolved((name,)), calibrated=task.frozen
                )
                for name, config in configs
            )
            if of_row.coordinates:
                encoders = (EncoderSource.of_coordinates(settings[0].pretrain.encoders),)
            # Without weights and draws one unit serves all seeds.
            fixed = of_row.coordinates and not task.draws
            own = replace(side, seed=0) if fixed else side
            label = f"{task.name} {row} / {behind} / {own.seed_and_fold}"
            evaluation = EvaluateUnit(own, options, task.name, on, encoders, label=label)
            unit = self.units.setdefault(evaluation.key, evaluation)
            yield Cell(row, column, seed, unit, fold=fold)

    def _fused(self, row: str, column: str, protocol: str) -> Iterator[Cell]:
        """Cells whose classes have the highest sum of scores of other columns' units."""
        about = self.study.columns[column]
        weights = about.weights or (1.0,) * len(about.fuse)
        for parts in zip(*(self.cells(row, name, protocol) for name in about.fuse), strict=True):
            first = parts[0]
            units = tuple(p.unit for p in parts if isinstance(p.unit, EvaluateUnit))
            reason = next((part.reason for part in parts if part.reason), "")
            if not reason and (why := why_not(units)):
                reason = f"not applicable: {why}"
            unit = None if reason else Fusion(units, weights)
            yield Cell(row, column, first.seed, unit, reason, first.fold)

    def _sides(self, protocol: str) -> Iterator[Side]:
        """One for each seed, and on the validation side one for each of its folds."""
        plan, part, folds = self.plan, TRAIN_SIDE[self.plan.evaluate_on], list[Fold | None]([None])
        if plan.evaluate_on == "validation":
            of = num_folds(plan.dataset, protocol, plan.folds)
            folds = [Fold(index, of) for index in range(of)]
        for seed, fold in itertools.product(plan.seeds, folds):
            yield Side.of(plan.dataset, protocol, part, seed, self._layout, self._bodies, fold)

    def _pretraining(self, row: str, config: PretrainConfig, side: Side) -> PretrainUnit:
        if self.plan.source is not None:
            side = self._side_of_source(side)
        label = f"pretrain {row} / {'+'.join(config.representations)} / {side.seed_and_fold}"
        unit = PretrainUnit.of(side, config, label)
        known = self.units.setdefault(unit.key, unit)
        assert isinstance(known, PretrainUnit)
        return known

    def _side_of_source(self, target: Side) -> Side:
        """What trains in a transfer: of other data all that trains, as nothing of it is tested."""
        source, skeleton = self.plan.source, (self._layout, self._bodies)
        assert source is not None
        if source.fingerprint == self.plan.dataset.fingerprint:
            return target
        return Side.of(source, self._source_protocol, "train", target.seed, *skeleton)


def _not_applicable(configs: Sequence[tuple[str, PretrainConfig]], pretrained: bool) -> str:
    """Why encoders cannot be evaluated side by side; empty if they can."""
    if pretrained and any(name not in config.representations for name, config in configs):
        return "the representation is not in the pre-training"
    seen = [config.encoders for _, config in configs]
    for what in ("frames", "orientation"):
        found = dict.fromkeys(str(getattr(encoders, what)) for encoders in seen)
        if len(found) > 1:
            return f"the encoders differ in encoders.{what} ({', '.join(found)})"
    return ""


def check_batches(plan: Plan) -> None:
    """UserError for a pre-training whose batch is larger than the training clips."""
    for unit in plan.units.values():
        if isinstance(unit, PretrainUnit):
            dataset = plan.source or plan.dataset
            clips = len(unit.side.clips(dataset))
            check_batch(unit.settings, clips, f"'{dataset.name}', {unit.side.protocol}")
