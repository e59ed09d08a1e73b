"""From a study to its cells, and from cells to the distinct units of work behind them.

A *unit* is one piece of work, a pre-training or an evaluation. Its key is a hash of everything
that decides its outcome, so that two cells, or two studies, that ask for the same work share it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ablation.canonical import digest
from ablation.study import Report, Study, Task
from skelcon.data import (
    Part,
    SkeletonDataset,
    SkeletonLayout,
    canonical_protocol,
    choose_protocol,
    common_layout,
    split,
)
from skelcon.encoders import Representation
from skelcon.errors import UserError
from skelcon.pretrain import PretrainConfig
from skelcon.settings import Settings, assignments

RECIPE = 1
"""Raised when the same configuration would give other numbers than before."""

EvaluateOn = Literal["test", "validation"]
TRAIN_SIDE: dict[EvaluateOn, Part] = {"test": "train", "validation": "fit"}


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes:
        config: everything that decides its outcome, and nothing else: plain JSON values.
        needs: keys of the units whose results it reads.
        label: for people; not part of the key.
    """

    config: dict[str, Any] = field(hash=False)
    needs: tuple[str, ...]
    label: str

    @functools.cached_property
    def key(self) -> str:
        """16 hex digits of SHA-256 over the canonical JSON of ``config``."""
        return unit_key(self.config)

    @property
    def kind(self) -> str:
        """``pretrain`` or ``evaluate``."""
        return str(self.config["unit"])

    @property
    def epochs(self) -> int:
        """Epochs of a training; 0 for an evaluation that has none to count."""
        config = self.config["config"]
        if self.kind == "pretrain":
            return int(config["epochs"])
        return int(config["epochs"] * config["subsets"]) if self.config["task"] == "finetune" else 0

    @property
    def representations(self) -> tuple[str, ...]:
        """What it trains or evaluates."""
        if self.kind == "pretrain":
            return tuple(self.config["config"]["representations"])
        return tuple(source["representation"] for source in self.config["encoders"])


def unit_key(config: dict[str, Any]) -> str:
    """The key of the unit with this ``config``."""
    return digest(config)


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
    overrides: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def synthetic(self) -> bool:
        """Whether its numbers come of made-up data."""
        return self.dataset.synthetic or (self.source is not None and self.source.synthetic)

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


def data_config(
    dataset: SkeletonDataset,
    protocol: str,
    train: Part,
    seed: int,
    layout: SkeletonLayout,
    bodies: int,
) -> dict[str, Any]:
    """What every unit's configuration says of its data; ``as`` where it is put on other joints."""
    values: dict[str, Any] = {
        "recipe": RECIPE,
        "data": dataset.fingerprint,
        "protocol": protocol,
        "train": train,
        "seed": seed,
    }
    if (dataset.layout, dataset.max_bodies) != (layout, bodies):
        values["as"] = {"layout": layout.to_dict(), "bodies": bodies}
    return values


def pretraining_config(data: dict[str, Any], config: PretrainConfig) -> dict[str, Any]:
    """The configuration of a pre-training on ``data`` (of :func:`data_config`)."""
    return {"unit": "pretrain", **data, "config": config.resolved()}


def evaluation_config(
    data: dict[str, Any],
    on: EvaluateOn,
    task: Task,
    settings: Settings,
    encoders: list[dict[str, Any]],
) -> dict[str, Any]:
    """The configuration of an evaluation of ``encoders`` on ``data`` (of :func:`data_config`).

    An encoder is a ``representation`` and one of ``pretrained`` (the configuration of its
    pre-training), ``random`` (its own configuration) or ``weights`` (the SHA-256 of a file).
    """
    options = getattr(settings, task).model_dump(mode="json")
    return {
        "unit": "evaluate",
        **data,
        "test": on,
        "task": task,
        "config": options,
        "encoders": encoders,
    }


def make_plan(
    study: Study,
    dataset: SkeletonDataset,
    *,
    preset: str,
    preset_tree: dict[str, Any],
    seeds: tuple[int, ...],
    protocol: str | None = None,
    evaluate_on: EvaluateOn = "test",
    overrides: dict[str, Any] | None = None,
    source: SkeletonDataset | None = None,
) -> Plan:
    """The cells of ``study`` and their distinct units, a pre-training before what needs it.

    Args:
        study: what the table asks.
        dataset: the data it is asked of.
        preset: the scale's name, for people; ``preset_tree`` is what it means.
        preset_tree: the preset's changes to the defaults.
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
    chosen = choose_protocol(dataset, [protocol] if protocol else study.protocols)
    study, notes = _fitted(study, dataset, chosen if protocol else None)
    _leave_rows_apart(study, overrides or {})
    make = _Maker(study, dataset, source if study.transfer else None, evaluate_on, protocol)
    cells: list[Cell] = []
    for row in study.all_rows:
        for column_name, column in study.columns.items():
            behind = column.of or column_name
            names = study.downstream_of(row, behind)
            sets: list[tuple[Representation, ...] | None] = [None]
            if study.columns[behind].separate:
                sets = [(name,) for name in names]
            settings = [
                study.settings(row, behind, preset_tree, overrides or {}, each) for each in sets
            ]
            side = canonical_protocol(study.columns[behind].protocol or chosen)
            for seed in seeds:
                unit, reason = make.cell(row, names, settings, side, seed)
                if unit is not None:
                    unit = replace(unit, label=f"{study.task} {row} / {behind} / seed {seed}")
                    unit = make.units.setdefault(unit.key, unit)
                cells.append(Cell(row, column_name, seed, unit, reason))
    return Plan(
        study,
        dataset,
        make.source,
        chosen,
        evaluate_on,
        preset,
        seeds,
        tuple(cells),
        make.units,
        overrides or {},
        (*notes, *make.notes),
    )


def _fitted(
    study: Study, dataset: SkeletonDataset, asked: str | None
) -> tuple[Study, tuple[str, ...]]:
    """``study`` with the columns that the data, and the protocol asked for, can fill."""
    columns, missing = {}, []
    for name, column in study.columns.items():
        own = study.columns[column.of or name].protocol
        protocol = canonical_protocol(own) if own else None
        if protocol is not None and protocol not in dataset.splits:
            missing.append(protocol)
        elif asked is None or protocol in (None, asked):
            columns[name] = column
    if not columns:
        asks = [canonical_protocol(c.protocol) for c in study.columns.values() if c.protocol]
        raise UserError(
            f"study '{study.name}' has columns of {', '.join(dict.fromkeys(asks))}: none is left "
            f"of {asked or 'data set ' + repr(dataset.name)}"
        )
    lacks = ", ".join(dict.fromkeys(missing))
    notes = (f"Left out, as the data set has no such protocol: {lacks}.",) if missing else ()
    return study.model_copy(update={"columns": columns}), notes


def _leave_rows_apart(study: Study, overrides: dict[str, Any]) -> None:
    """UserError if the user's ``--set`` would make rows or columns alike that differ in it."""
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
    """Makes the units of a study's cells on given data, each once."""

    def __init__(
        self,
        study: Study,
        dataset: SkeletonDataset,
        source: SkeletonDataset | None,
        evaluate_on: EvaluateOn,
        protocol: str | None,
    ) -> None:
        self.study, self.dataset, self.source = study, dataset, source
        self.evaluate_on = evaluate_on
        self.units: dict[str, Unit] = {}
        self.notes: tuple[str, ...] = ()
        self._layout, self._bodies = dataset.layout, dataset.max_bodies
        if source is not None:
            self._layout = common_layout(source.layout, dataset.layout)
            self._bodies = max(source.max_bodies, dataset.max_bodies)
            asked = canonical_protocol(protocol) if protocol else None
            kept = asked if asked in source.splits else None
            self._source_protocol = kept or choose_protocol(source, study.protocols)
            clips = split(source, self._source_protocol, TRAIN_SIDE[evaluate_on])
            self.notes = (
                f"Pre-trained on {source.name} ({self._source_protocol}, {len(clips)} clips, "
                f"{source.num_classes} classes, {source.layout.num_joints} joints), data "
                f"{source.fingerprint}, and fine-tuned on "
                f"{dataset.name} ({dataset.layout.num_joints} joints), both on the "
                f"{self._layout.num_joints} joints of {self._layout.name}.",
            )

    def _shared(self, dataset: SkeletonDataset, protocol: str, seed: int) -> dict[str, Any]:
        return data_config(
            dataset, protocol, TRAIN_SIDE[self.evaluate_on], seed, self._layout, self._bodies
        )

    def cell(
        self,
        row: str,
        names: tuple[Representation, ...],
        settings: list[Settings],
        protocol: str,
        seed: int,
    ) -> tuple[Unit | None, str]:
        """The evaluation that is a cell, or why there is none; its pre-trainings are noted."""
        configs = [settings[i % len(settings)].pretrain for i in range(len(names))]
        if any(name not in c.representations for name, c in zip(names, configs, strict=True)):
            return None, "not applicable: the representation is not in the pre-training"
        encoders, needs = [], []
        for name, pretrain in zip(names, configs, strict=True):
            source: dict[str, Any]
            if self.study.all_rows[row].pretrain:
                unit = self._pretraining(row, pretrain, protocol, seed)
                source = {"pretrained": unit.config}
                needs.append(unit.key)
            else:
                source = {"random": pretrain.encoders.resolved((name,))}
            encoders.append({"representation": name, **source})
        config = evaluation_config(
            self._shared(self.dataset, protocol, seed),
            self.evaluate_on,
            self.study.task,
            settings[0],
            encoders,
        )
        return Unit(config, tuple(dict.fromkeys(needs)), ""), ""

    def _pretraining(self, row: str, config: PretrainConfig, protocol: str, seed: int) -> Unit:
        dataset = self.source or self.dataset
        if self.source is not None:
            protocol = self._source_protocol
        shared = self._shared(dataset, protocol, seed)
        unit = Unit(
            pretraining_config(shared, config),
            (),
            f"pretrain {row} / {'+'.join(config.representations)} / seed {seed}",
        )
        return self.units.setdefault(unit.key, unit)
