"""How a number of a table was computed, from the results directory alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.evidence.evidence import Evidence, Where
from ablation.fusion import Fusion, evaluations_of
from ablation.plan import Cell, Plan
from ablation.provenance.cells import seconds_of, settings_of
from ablation.provenance.configurations import ran
from ablation.provenance.reproducing import Command, Commands, keys_of
from ablation.report import Entry, Table, cells_frame, make_table, measured, number
from ablation.report.from_results import load_plan
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE
from ablation.text import plural
from ablation.units import EvaluateUnit
from skelcon.config import Json
from skelcon.data import SkeletonDataset, kind_of_groups
from skelcon.errors import UserError, nearest
from skelcon.presets import DataNames, preset_layers
from skelcon.settings import merge

DEFAULT = "default"


@dataclass(frozen=True)
class Value:
    """The value of one seed (and fold).

    Attributes:
        value: a fraction or a count; None if missing, and then ``reason`` says why.
        unit: the key of the evaluation; ``key+key`` of a fusion.
        pretrainings: the keys of the pre-trainings that it evaluates.
        seconds, pretraining_seconds: wall time of the evaluation, and of its pre-trainings.
        peak_memory: the highest peak of its units, in MiB.
    """

    seed: int
    fold: int | None
    value: float | None
    reason: str
    unit: str
    pretrainings: tuple[str, ...]
    seconds: float | None
    pretraining_seconds: float | None
    peak_memory: Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """A setting of the cell's units, and where its value comes from."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True)
class Explanation:
    """How a number was computed.

    Attributes:
        table, row, column: the names of the cell.
        row_label, column_label: their labels in the table.
        metric: the metric of the column.
        entry: the number as the table prints it.
        paper: the paper's value with its source; empty if it reports none.
        over: the samples that the interval is over; empty if there is no interval.
        values: the value of each seed and fold.
        settings: all settings of its units.
        data: the facts of each data set.
        ran: versions, revision, machine and arithmetic of its units.
        command: the command that reproduces it.
    """

    table: str
    row: str
    column: str
    row_label: str
    column_label: str
    metric: str
    entry: Entry
    paper: str
    over: str
    values: tuple[Value, ...]
    settings: tuple[Setting, ...]
    protocol: str
    evaluated_on: str
    data: tuple[Json, ...]
    ran: Json
    command: Command

    def to_json(self) -> Json:
        """As plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Explainer:
    """Explains the cells of a table.

    Attributes:
        name: the name of the table.
        table: the table.
        frame: the lines that it was made from.
        store: where its units are.
    """

    name: str
    table: Table
    frame: pd.DataFrame
    store: Store

    @classmethod
    def of(cls, results: Path, name: str) -> Explainer:
        """The explainer of a table in a results directory; :class:`UserError` if there is none."""
        store, plan = Store(results), load_plan(results, name)
        frame = cells_frame(plan, store)
        return cls(name, make_table(plan, frame, store), frame, store)

    def explain(self, where: Where) -> Explanation:
        """Explain the cell in a row and a column."""
        table, plan, store, (row, column) = self.table, self.table.plan, self.store, where
        cells = [each for each in plan.cells if (each.row, each.column) == where]
        shown = self._shown
        lines = shown[(shown["row"] == row) & (shown["column"] == column)]
        keys = sorted(keys_of(plan, where))
        known = [store.files(key).read_or_none(PROVENANCE) for key in keys if store.is_done(key)]
        return Explanation(
            table=self.name,
            row=row,
            column=column,
            row_label=table.label(row),
            column_label=table.column_label(column),
            metric=plan.metric(column),
            entry=table.entries[where],
            paper=_paper(table, table.entries[where]),
            over=_over(plan, table.evidence, where),
            values=tuple(
                _value(cell, line["value"], line["reason"], store)
                for cell, line in zip(cells, lines.to_dict("records"), strict=True)
            ),
            settings=tuple(_settings(plan, cells, where)),
            protocol=next((each.unit.side.protocol for each in cells if each.unit), plan.protocol),
            evaluated_on=plan.evaluate_on,
            data=tuple(map(_facts, plan.datasets)),
            ran=ran(keys, store),
            command=self._commands.of(where, [each for each in known if each is not None]),
        )

    @cached_property
    def _shown(self) -> pd.DataFrame:
        return measured(self.table.plan, self.frame)

    @cached_property
    def _commands(self) -> Commands:
        return Commands(self.table.plan, self.name)


def explain(results: Path, table: str, row: str, column: str) -> Explanation:
    """Explain a cell.

    Args:
        results: the results directory.
        table: the name of a table in it.
        row, column: their names, or their labels in the table.

    Raises:
        UserError: if there is no such table, row or column.
    """
    explainer = Explainer.of(results, table)
    study = explainer.table.study
    labels = {name: each.label for name, each in study.all_rows.items()}
    row = _named(f"table '{table}' has no row", row, labels)
    heads = {name: each.label for name, each in study.columns.items()}
    return explainer.explain((row, _named(f"table '{table}' has no column", column, heads)))


def _paper(table: Table, entry: Entry) -> str:
    """``70.1 (Table 5, x-view)``; empty if there is none, or beside synthetic data."""
    report = table.plan.report
    if report is None or not table.show_paper or entry.paper is None:
        return ""
    unlike = "" if table.plan.like_the_paper else ", of another data set, protocol or scale"
    return f"{number(entry.paper, entry.unit, of_paper=True)} ({report.source}{unlike})"


def _named(problem: str, asked: str, labels: Mapping[str, str | None]) -> str:
    """The name of the row or column with this name or label."""
    if asked in labels:
        return asked
    for name, label in labels.items():
        if label is not None and label.casefold() == asked.casefold():
            return name
    raise UserError(f"{problem} '{asked}': {nearest(asked, labels)}")


def _value(cell: Cell, value: float, reason: str, store: Store) -> Value:
    unit = cell.unit
    needs = unit.needs if unit is not None else ()
    evaluations = [each.key for each in evaluations_of(unit)] if unit is not None else []
    peak: dict[str, float] = {}
    for key in (*evaluations, *needs):
        of_unit = (store.files(key).read_or_none(PROVENANCE) or {}).get("peak_memory", {})
        peak |= {name: max(mib, peak.get(name, 0.0)) for name, mib in of_unit.items()}
    return Value(
        cell.seed,
        cell.fold,
        None if reason else value,
        reason,
        unit.key if unit is not None else "",
        needs,
        _seconds(store, evaluations),
        _seconds(store, needs),
        peak,
    )


def _seconds(store: Store, keys: Sequence[str]) -> float | None:
    """The total wall time of units; None if the time of one is not known."""
    found = [seconds_of(store, key) for key in keys]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if known and len(known) == len(found) else None


def _over(plan: Plan, evidence: Evidence, cell: Where) -> str:
    """``5 seeds, 4 subjects and 430 clips``."""
    estimate, hits = evidence.estimate(cell), evidence.hits.get(cell)
    if estimate is None or not estimate.known:
        return ""
    seeds = plural(estimate.seeds, "seed")
    if hits is None:
        return f"{seeds}, not over the test sample: its predictions are not known"
    unit = next(each.unit for each in plan.cells if (each.row, each.column) == cell and each.unit)
    kind = kind_of_groups(plan.dataset, unit.side.protocol, hits.clips)
    parts = [seeds] if estimate.seeds > 1 else []
    if estimate.groups != len(hits.clips):
        parts.append(plural(estimate.groups, kind or "group"))
    clips = plural(len(hits.clips), "clip")
    text = f"{', '.join(parts)} and {clips}" if parts else clips
    return text if estimate.seeds > 1 else f"{text}, of one seed"


def _facts(dataset: SkeletonDataset) -> Json:
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "layout_family": dataset.family,
        "normalisation": dataset.normalisation.model_dump(mode="json"),
        "joints": dataset.layout.num_joints,
        "clips": len(dataset),
        "synthetic": dataset.synthetic,
    }


# -- settings ---------------------------------------------------------------------------------


def _settings(plan: Plan, cells: Sequence[Cell], where: Where) -> list[Setting]:
    """The settings of a cell's units, each with the last source that sets it."""
    unit = next((each.unit for each in cells if each.unit is not None), None)
    if isinstance(unit, Fusion):
        about, source = plan.study.columns[where[1]], f"column {where[1]}"
        fused = {"fuse": list(about.fuse), "weights": list(unit.weights)}
        return [Setting(key, value, source) for key, value in fused.items()]
    if not isinstance(unit, EvaluateUnit):
        return []
    values = settings_of(unit)
    sources: dict[str, str] = {}
    layers = _layers(plan, where, unit)
    for key in values:
        for spelt, (source, tree) in itertools.product(_spellings(key), layers):
            if _sets(tree, spelt, unit.representations):
                sources[key] = source
    return [Setting(key, value, sources.get(key, DEFAULT)) for key, value in values.items()]


def _layers(plan: Plan, where: Where, unit: EvaluateUnit) -> list[tuple[str, Json]]:
    """The sources of a cell's settings, in the order in which `Study.settings` merges them."""
    study, (row, column) = plan.study, where
    behind = study.columns[column].of or column
    names = DataNames.of(plan.dataset, plan.source)
    asked = study.settings(row, behind, plan.preset.tree, plan.overrides, None, names).pretrain
    trained = [source.pretrained for source in unit.encoders if source.pretrained is not None]
    together = trained[0].representations if trained else asked.representations
    of_row = (f"row {row}", study.all_rows[row].set)
    of_column = (f"column {column}", study.columns[behind].set)
    layers = [*preset_layers(plan.preset, together, names)]
    layers += [("study", study.base), of_row, of_column]
    if study.columns[behind].separate:
        layers.append((f"column {column}", {"pretrain.representations": []}))
    layers.append(("--set", plan.overrides))
    if row in study.references:  # its own settings have precedence over --set
        layers += [of_row, of_column]
    nested = []
    for source, changes in layers:
        tree: Json = {}
        merge(tree, changes)
        nested.append((source, tree))
    return nested


def _spellings(key: str) -> list[str]:
    """The key paths that may set a setting; the last one has precedence.

    A view uses its own keys, and ``pretrain.augment`` for keys that it does not set.
    """
    common = "pretrain.augment."
    for own in ("pretrain.views.query.", "pretrain.views.key."):
        if key.startswith(own):
            return [common + key.removeprefix(own), key]
    if key.startswith(common):  # all views are alike: the query's settings
        return [key, "pretrain.views.query." + key.removeprefix(common)]
    return [key]


def _sets(tree: Json, key: str, representations: Sequence[str]) -> bool:
    """Whether a tree of changes sets the value at a key path, for some representation or all."""
    found: Any = tree
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return not isinstance(found, dict) or any(name in found for name in representations)
