"""From a study to its cells, and from cells to the distinct units of work behind them.

Two cells, or two studies, that need the same work share its unit (`ablation.units`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ablation.study import Report, Study
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
    SkeletonDataset,
    canonical_protocol,
    choose_protocol,
    common_layout,
    split,
)
from skelcon.encoders import Representation
from skelcon.errors import UserError
from skelcon.pretrain import PretrainConfig, check_batch
from skelcon.settings import Settings, assignments, preset_tree


@dataclass(frozen=True)
class Cell:
    """One number of a table for one seed: the unit that makes it, or why there is none."""

    row: str
    column: str
    seed: int
    unit: Unit | None
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """What a study needs on given data.

    Attributes:
        study: as asked, without the columns that the data cannot fill.
        protocol: of every column that names none of its own.
        source: the data of a transfer's pre-trainings.
        overrides: the user's ``--set``.
        notes: what the data made of the study.
        asked_protocol: the user's ``--protocol``.
    """

    study: Study
    dataset: SkeletonDataset
    source: SkeletonDataset | None
    protocol: str
    evaluate_on: EvaluateOn
    preset: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    units: dict[str, Unit]
    overrides: Json
    notes: tuple[str, ...]
    asked_protocol: str | None = None

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
        return (
            report is not None
            and (report.data, report.pretrained_on) == (self.dataset.name, source)
            and report.protocol in (None, self.protocol)
            and self.preset == "paper"
            and not self.overrides
        )

    @property
    def report(self) -> Report | None:
        """What the paper reports for the same table."""
        source = self.source.name if self.source else None
        return self.study.report(self.dataset.name, self.protocol, source)

    def paper_value(self, row: str, column: str) -> float | None:
        """What the paper reports for a cell, as it is printed there."""
        return self.report.values.get(row, {}).get(column) if self.report else None

    def metric(self, column: str) -> str:
        """Which number of its units a column shows."""
        return self.study.columns[column].metric or self.study.metric

    def count(self, kind: str) -> int:
        """How many distinct units of a kind there are."""
        return sum(unit.kind == kind for unit in self.units.values())


def make_plan(
    study: Study,
    dataset: SkeletonDataset,
    *,
    preset: str,
    seeds: tuple[int, ...],
    protocol: str | None = None,
    evaluate_on: EvaluateOn = "test",
    overrides: Json | None = None,
    source: SkeletonDataset | None = None,
) -> Plan:
    """The cells of ``study`` and their distinct units, a pre-training before what needs it.

    Args:
        study: what the table asks.
        dataset: the data that it is computed on.
        preset: the scale's name.
        seeds: each cell is computed for each of them.
        protocol: who trains and who tests; the first of the study's that the data has if not set.
        evaluate_on: ``validation`` holds out some training subjects and leaves the test side alone.
        overrides: the user's ``--set``.
        source: the data of a transfer's pre-trainings.

    Raises:
        UserError: for an unknown protocol, key or value.
    """
    if study.transfer and source is None:
        raise UserError(f"study '{study.name}' needs --source, the data to pre-train on")
    overrides = overrides or {}
    chosen = choose_protocol(dataset, [protocol] if protocol else study.protocols)
    study, notes = _fitted(study, dataset, chosen if protocol else None)
    _check_overrides(study, overrides)
    maker = _Maker(
        study, dataset, source if study.transfer else None, evaluate_on, preset, overrides, protocol
    )
    cells = [
        maker.cell(row, column, canonical_protocol(column_protocol or chosen), seed)
        for row in study.all_rows
        for column, column_protocol in _protocols(study).items()
        for seed in seeds
    ]
    return Plan(
        study=study,
        dataset=dataset,
        source=maker.source,
        protocol=chosen,
        evaluate_on=evaluate_on,
        preset=preset,
        seeds=seeds,
        cells=tuple(cells),
        units=maker.units,
        overrides=overrides,
        notes=(*notes, *maker.notes),
        asked_protocol=protocol,
    )


def _protocols(study: Study) -> dict[str, str | None]:
    """Column -> the protocol that it names itself, if any."""
    return {name: study.columns[c.of or name].protocol for name, c in study.columns.items()}


def _fitted(
    study: Study, dataset: SkeletonDataset, asked: str | None
) -> tuple[Study, tuple[str, ...]]:
    """``study`` with the columns that the data, and the protocol asked for, can fill."""
    columns, missing = {}, []
    for name, own in _protocols(study).items():
        protocol = canonical_protocol(own) if own else None
        if protocol is not None and protocol not in dataset.splits:
            missing.append(protocol)
        elif asked is None or protocol in (None, asked):
            columns[name] = study.columns[name]
    if not columns:
        asks = [canonical_protocol(c.protocol) for c in study.columns.values() if c.protocol]
        raise UserError(
            f"study '{study.name}' has columns of {', '.join(dict.fromkeys(asks))}: none is left "
            f"of {asked or 'data set ' + repr(dataset.name)}"
        )
    lacks = ", ".join(dict.fromkeys(missing))
    notes = (f"Left out, as the data set has no such protocol: {lacks}.",) if missing else ()
    return study.model_copy(update={"columns": columns}), notes


def _check_overrides(study: Study, overrides: Json) -> None:
    """UserError if ``--set`` would make rows or columns equal that differ in that setting."""
    asked = [tuple(text.partition("=")[0].split(".")) for text in assignments(overrides)]
    for kind, group in (("row", study.all_rows), ("column", study.columns)):
        for name, member in group.items():
            for text in assignments(member.set):
                key = tuple(text.partition("=")[0].split("."))
                for each in asked:
                    short = min(len(key), len(each))
                    if key[:short] == each[:short]:
                        raise UserError(
                            f"--set {'.'.join(each)}: {kind} '{name}' of study '{study.name}' sets "
                            f"'{'.'.join(key)}' itself; copy the study's file to change that"
                        )


class _Maker:
    """Makes the units of a study's cells, each once."""

    def __init__(
        self,
        study: Study,
        dataset: SkeletonDataset,
        source: SkeletonDataset | None,
        evaluate_on: EvaluateOn,
        preset: str,
        overrides: Json,
        protocol: str | None,
    ) -> None:
        self.study, self.dataset, self.source = study, dataset, source
        self.evaluate_on = evaluate_on
        self.units: dict[str, Unit] = {}
        self.notes: tuple[str, ...] = ()
        self._preset, self._overrides = preset_tree(preset), overrides
        self._settings: dict[tuple[str, str], list[Settings]] = {}
        self._layout, self._bodies = dataset.layout, dataset.max_bodies
        if source is not None:
            self._layout = common_layout(source.layout, dataset.layout)
            self._bodies = max(source.max_bodies, dataset.max_bodies)
            asked = canonical_protocol(protocol) if protocol else None
            kept = asked if asked in source.splits else None
            self._source_protocol = kept or choose_protocol(source, study.protocols)
            self.notes = (self._note_of_source(source),)

    def _note_of_source(self, source: SkeletonDataset) -> str:
        clips = split(source, self._source_protocol, TRAIN_SIDE[self.evaluate_on])
        return (
            f"Pre-trained on {source.name} ({self._source_protocol}, {len(clips)} clips, "
            f"{source.num_classes} classes, {source.layout.num_joints} joints), data "
            f"{source.fingerprint}, and fine-tuned on "
            f"{self.dataset.name} ({self.dataset.layout.num_joints} joints), both on the "
            f"{self._layout.num_joints} joints of {self._layout.name}."
        )

    def cell(self, row: str, column: str, protocol: str, seed: int) -> Cell:
        """A cell; the units behind it are added to :attr:`units`."""
        behind = self.study.columns[column].of or column
        names = self.study.downstream_of(row, behind)
        settings = self._settings_of(row, behind, names)
        configs = [settings[i % len(settings)].pretrain for i in range(len(names))]
        if any(name not in c.representations for name, c in zip(names, configs, strict=True)):
            reason = "not applicable: the representation is not in the pre-training"
            return Cell(row, column, seed, None, reason)
        encoders = []
        for name, pretrain in zip(names, configs, strict=True):
            if self.study.all_rows[row].pretrain:
                unit = self._pretraining(row, pretrain, protocol, seed)
                encoders.append(EncoderSource(name, pretrained=unit))
            else:
                encoders.append(EncoderSource(name, random=pretrain.encoders.resolved((name,))))
        evaluation = EvaluateUnit(
            self._side(self.dataset, protocol, seed),
            settings[0].of(self.study.task).model_dump(mode="json"),
            self.study.task,
            self.evaluate_on,
            tuple(encoders),
            label=f"{self.study.task} {row} / {behind} / seed {seed}",
        )
        self.units.setdefault(evaluation.key, evaluation)
        return Cell(row, column, seed, self.units[evaluation.key])

    def _settings_of(
        self, row: str, column: str, names: tuple[Representation, ...]
    ) -> list[Settings]:
        """One for all encoders of the cell, or one for each that is pre-trained alone."""
        if (row, column) not in self._settings:
            separate = self.study.columns[column].separate
            sets = [(name,) for name in names] if separate else [None]
            self._settings[row, column] = [
                self.study.settings(row, column, self._preset, self._overrides, each)
                for each in sets
            ]
        return self._settings[row, column]

    def _pretraining(
        self, row: str, config: PretrainConfig, protocol: str, seed: int
    ) -> PretrainUnit:
        if self.source is not None:
            protocol = self._source_protocol
        label = f"pretrain {row} / {'+'.join(config.representations)} / seed {seed}"
        side = self._side(self.source or self.dataset, protocol, seed)
        unit = PretrainUnit.of(side, config, label)
        known = self.units.setdefault(unit.key, unit)
        assert isinstance(known, PretrainUnit)
        return known

    def _side(self, dataset: SkeletonDataset, protocol: str, seed: int) -> Side:
        train = TRAIN_SIDE[self.evaluate_on]
        return Side.of(dataset, protocol, train, seed, self._layout, self._bodies)


def check_batches(plan: Plan) -> None:
    """UserError for a pre-training whose batch is larger than the training clips."""
    for unit in plan.units.values():
        if isinstance(unit, PretrainUnit):
            dataset = plan.source or plan.dataset
            clips = len(split(dataset, unit.side.protocol, unit.side.train))
            check_batch(unit.settings, clips, f"'{dataset.name}', {unit.side.protocol}")
