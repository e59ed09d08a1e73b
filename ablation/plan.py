"""From a study to its cells, and from cells to the distinct units of work behind them.

Cells and studies that need the same work share a unit (`ablation.units`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablation.designs.describe import described, notes_on_shared_units
from ablation.fusion import Fusion, why_not
from ablation.sides import Sides, protocol_of_source
from ablation.study import Study
from ablation.study_on_data import check_overrides, fitted, protocols_of
from ablation.study_parts import Report
from ablation.text import and_joined
from ablation.units import (
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
    Part,
    SkeletonDataset,
    choose_protocol,
    require_sides,
)
from skelcon.downstream.tasks import TASKS
from skelcon.encoders import Representation
from skelcon.errors import UserError, nearest
from skelcon.presets import DataNames, Preset
from skelcon.pretrain import PretrainConfig, check_batch
from skelcon.settings import Settings


@dataclass(frozen=True)
class Cell:
    """One number of a table for one seed and fold.

    Attributes:
        unit: the evaluation (or fusion) that gives the number; None if the cell is not applicable.
        reason: why there is no unit.
        fold: the fold that is evaluated; None on the test side.
    """

    row: str
    column: str
    seed: int
    unit: Unit | Fusion | None
    reason: str = ""
    fold: int | None = None


@dataclass(frozen=True)
class Plan:
    """The cells and units of a study on given data.

    Attributes:
        study: the study, without the columns that the data cannot fill.
        dataset: the data that it is evaluated on.
        source: the data of a transfer's pre-trainings.
        protocol: the protocol of every column that does not name its own.
        evaluate_on: the test side, or held-out groups of the training side.
        overrides: the user's ``--set``.
        asked_protocol: the user's ``--protocol``.
        folds: the highest number of folds of a cross-validation.
        cells: one for each row, column, seed and fold.
        units: key -> unit; a pre-training comes before the evaluations that need it.
        notes: what a reader must know of how the study fits the data.
        shown: the user's ``--metric``, if it is not the study's own.
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
        """Whether any of its data is synthetic."""
        return self.dataset.synthetic or (self.source is not None and self.source.synthetic)

    @property
    def datasets(self) -> tuple[SkeletonDataset, ...]:
        """All data that its units read."""
        return (self.dataset,) if self.source is None else (self.dataset, self.source)

    @property
    def like_the_paper(self) -> bool:
        """Whether the paper's values are for the same data and protocol, at the same scale."""
        report, source = self.report, self.source.name if self.source else None
        if report is None or not self.preset.at_paper_scale or self.overrides:
            return False
        if self.evaluate_on != "test":
            return False
        same_data = (report.data, report.pretrained_on) == (self.dataset.name, source)
        return same_data and report.protocol in (None, self.protocol)

    @property
    def report(self) -> Report | None:
        """What the paper reports for the same table; None if another metric is shown."""
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
        """The columns by which rows are ranked: all whose values are in percent."""
        return [name for name, column in self.study.columns.items() if column.unit == "percent"]

    def metric(self, column: str) -> str:
        """The metric that a column shows."""
        return self.study.columns[column].metric or self.shown or self.study.metric

    def showing(self, metric: str | None) -> Plan:
        """The same plan with another metric; columns that name their own metric keep it.

        Raises:
            UserError: for a metric that none of the study's tasks has.
        """
        if metric is None or metric == self.study.metric:
            return replace(self, shown=None)
        tasks = [TASKS[name] for name in self.study.tasks]
        known = [name for task in tasks for name in task.metrics if name not in task.values]
        if metric not in known:
            raise UserError(f"--metric {metric}: {nearest(metric, known)}")
        return replace(self, shown=metric)

    def count(self, kind: str) -> int:
        """The number of distinct units of a kind."""
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
        study: the study.
        dataset: the data that it is evaluated on.
        preset: the name of a preset, the path of its file, or a preset.
        seeds: each cell is computed for each of them.
        protocol: how clips are divided into a training and a test side; by default the first of
            the study's protocols that the data has.
        evaluate_on: ``validation`` is a cross-validation over the groups of the training side,
            which does not read the test side.
        overrides: the user's ``--set``.
        source: the data of a transfer's pre-trainings.
        folds: the number of folds of the cross-validation, at most one for each group.

    Raises:
        UserError: for an unknown protocol, key or value, or a training side with a single group.
    """
    if study.transfer and source is None:
        raise UserError(f"study '{study.name}' needs --source, the data to pre-train on")
    overrides = overrides or {}
    chosen = choose_protocol(dataset, [protocol] if protocol else study.protocols)
    study, notes = fitted(study, dataset, chosen if protocol else None)
    used: tuple[Part, ...] = ("train", "test") if evaluate_on == "test" else ("train",)
    protocols = protocols_of(study, dataset)
    for own in dict.fromkeys(protocols.values()):
        require_sides(dataset, own or chosen, *used)
    check_overrides(study, overrides)
    plan = Plan(
        study=study,
        dataset=dataset,
        source=source if study.transfer else None,
        protocol=chosen,
        evaluate_on=evaluate_on,
        preset=Preset.of(preset),
        seeds=seeds,
        overrides=overrides,
        asked_protocol=protocol,
        folds=folds,
    )
    maker = _Maker(plan)
    cells = maker.all_cells({column: own or chosen for column, own in protocols.items()})
    notes = (*notes, *maker.sides.notes(), *_notes_on_design(study, cells))
    notes = (*notes, *_notes_on_equal_rows(study, cells))
    return replace(plan, cells=tuple(cells), units=maker.units, notes=notes)


def _notes_on_design(study: Study, cells: Sequence[Cell]) -> list[str]:
    """Notes on the design, and on runs of it that share their units."""
    runs = {name: row.levels for name, row in study.rows.items() if row.levels}
    if study.design is None or len(runs) < 2:
        return []
    units = dict[str, list[tuple[str, str]]]()
    for cell in cells:
        column = study.columns[cell.column]
        if cell.row in runs and cell.unit is not None and column.unit == "percent":
            units.setdefault(column.label or cell.column, []).append((cell.row, cell.unit.key))
    return [*described(study.design, [*runs.values()]), *notes_on_shared_units(units)]


def _notes_on_equal_rows(study: Study, cells: Sequence[Cell]) -> list[str]:
    """Notes on rows with the same units in all columns; a design has its own note on its runs."""
    keys = dict[str, list[str]]()
    for cell in cells:
        keys.setdefault(cell.row, []).append(cell.unit.key if cell.unit is not None else "")
    rows = dict[tuple[str, ...], list[str]]()
    for row, own in keys.items():
        if any(own):
            rows.setdefault(tuple(own), []).append(row)
    runs = set(study.rows) if study.design is not None else set()
    return [
        f"Rows {and_joined(names)} are the same units: their settings do not differ on this data "
        "with this preset."
        for names in rows.values()
        if len(names) > 1 and not runs.issuperset(names)
    ]


class _Maker:
    """Makes the cells of a plan and their units, each unit once; ``plan`` has none yet."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.study = plan, plan.study
        self.units: dict[str, Unit] = {}
        self.names = DataNames.of(plan.dataset, plan.source)
        source, protocol = plan.source, ""
        if source is not None:
            asked, protocols = plan.asked_protocol, self.study.protocols
            protocol = protocol_of_source(source, plan.dataset, asked, protocols)
        self.sides = Sides(plan.dataset, source, protocol, plan.evaluate_on, plan.seeds, plan.folds)

    def all_cells(self, protocols: Mapping[str, str]) -> list[Cell]:
        """The cells of all rows, given each column's protocol."""
        return [
            cell
            for row in self.study.all_rows
            for column, protocol in protocols.items()
            for cell in self.cells(row, column, protocol)
        ]

    def cells(self, row: str, column: str, protocol: str) -> Iterator[Cell]:
        """The cells of a row in a column; their units are added to :attr:`units`."""
        if self.study.columns[column].fuse:
            yield from self._fused(row, column, protocol)
            return
        behind = self.study.behind(column)
        names, of_row = self.study.downstream_of(row, behind), self.study.all_rows[row]
        if self.study.columns[behind].separate and names:
            settings = [self._settings(row, behind, (name,)) for name in names]
        else:
            settings = [self._settings(row, behind, None)] * max(1, len(names))
        configs = [(name, own.pretrain) for name, own in zip(names, settings, strict=False)]
        task, on = TASKS[self.study.task_of(row, column)], self.plan.evaluate_on
        options = task.options_of(settings[0].of(task.name))
        reason = _not_applicable(configs, of_row.pretrained)
        if of_row.coordinates:
            reason = "" if task.frozen else "the coordinates cannot be trained"
        for side in self.sides.evaluated(protocol):
            seed, fold = side.seed, side.fold.index if side.fold is not None else None
            if reason:
                yield Cell(row, column, seed, None, f"not applicable: {reason}", fold)
                continue
            encoders = tuple(
                self._encoder(row, name, config, side, calibrated=task.frozen)
                for name, config in configs
            )
            own = side
            if of_row.coordinates:
                encoders = (EncoderSource.of_coordinates(settings[0].pretrain.encoders),)
                if not task.draws:  # without weights and draws one unit serves all seeds
                    own = replace(side, seed=0)
            label = f"{task.name} {row} / {behind} / {own.seed_and_fold}"
            evaluation = EvaluateUnit(own, options, task.name, on, encoders, label=label)
            unit = self.units.setdefault(evaluation.key, evaluation)
            yield Cell(row, column, seed, unit, fold=fold)

    def _settings(
        self, row: str, column: str, representations: tuple[Representation, ...] | None
    ) -> Settings:
        preset, overrides = self.plan.preset.tree, self.plan.overrides
        return self.study.settings(row, column, preset, overrides, representations, self.names)

    def _fused(self, row: str, column: str, protocol: str) -> Iterator[Cell]:
        """The cells of a column that fuses the units of other columns."""
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

    def _encoder(
        self,
        row: str,
        name: Representation,
        config: PretrainConfig,
        side: Side,
        *,
        calibrated: bool,
    ) -> EncoderSource:
        """An encoder of a row: pre-trained, or with random weights."""
        if self.study.all_rows[row].pretrained:
            return EncoderSource(name, pretrained=self._pretraining(row, config, side))
        random = config.encoders.resolved((name,))
        return EncoderSource(name, random=random, calibrated=calibrated)

    def _pretraining(self, row: str, config: PretrainConfig, target: Side) -> PretrainUnit:
        side = self.sides.pretrained(target)
        label = f"pretrain {row} / {'+'.join(config.representations)} / {side.seed_and_fold}"
        unit = PretrainUnit.of(side, config, label)
        known = self.units.setdefault(unit.key, unit)
        assert isinstance(known, PretrainUnit)
        return known


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
