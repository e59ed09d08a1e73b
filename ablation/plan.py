"""From a study to its cells, and from cells to the distinct units of work behind them.

A *unit* is one piece of work, a pre-training or an evaluation. Its key is a hash of everything
that decides its outcome, so that two cells, or two studies, that ask for the same work share it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ablation.study import Study
from skelcon.data import Part, SkeletonDataset, choose_protocol
from skelcon.settings import Settings

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
        """Epochs of a pre-training; 0 for an evaluation."""
        return int(self.config["config"]["epochs"]) if self.kind == "pretrain" else 0


def unit_key(config: dict[str, Any]) -> str:
    """The key of the unit with this ``config``."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
    """What a study needs on given data."""

    study: Study
    protocol: str
    evaluate_on: EvaluateOn
    preset: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    units: dict[str, Unit]

    def count(self, kind: str) -> int:
        """How many distinct units of a kind there are."""
        return sum(unit.kind == kind for unit in self.units.values())


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

    Raises:
        UserError: for an unknown protocol, key or value.
    """
    chosen = choose_protocol(dataset, [protocol] if protocol else study.protocols)
    shared = {
        "recipe": RECIPE,
        "data": dataset.fingerprint,
        "protocol": chosen,
        "train": TRAIN_SIDE[evaluate_on],
    }
    cells: list[Cell] = []
    units: dict[str, Unit] = {}
    for row_name, row in study.all_rows.items():
        for column_name, column in study.columns.items():
            settings = study.settings(row_name, column_name, preset_tree, overrides or {})
            names = settings.pretrain.representations
            for seed in seeds:
                if column.representation not in names:
                    reason = "not applicable: the representation is not in the pre-training"
                    cells.append(Cell(row_name, column_name, seed, None, reason))
                    continue
                for unit in _units_of(study, row.pretrain, column.representation, settings,
                                      {**shared, "seed": seed}, evaluate_on,
                                      f"{row_name} / {column_name} / seed {seed}"):  # fmt: skip
                    units.setdefault(unit.key, unit)
                cells.append(Cell(row_name, column_name, seed, units[unit.key]))
    return Plan(study, chosen, evaluate_on, preset, seeds, tuple(cells), units)


def _units_of(
    study: Study,
    pretrained: bool,
    representation: str,
    settings: Settings,
    shared: dict[str, Any],
    evaluate_on: EvaluateOn,
    label: str,
) -> Iterator[Unit]:
    """The pre-training behind a cell, if there is one, and last the evaluation that is the cell."""
    encoder: dict[str, Any]
    needs: tuple[str, ...] = ()
    if pretrained:
        config = {"unit": "pretrain", **shared, "config": settings.pretrain.resolved()}
        unit = Unit(config, (), f"pretrain {label}")
        yield unit
        encoder, needs = {"pretrained": config}, (unit.key,)
    else:
        encoder = {"random": settings.pretrain.encoders.resolved((representation,))}
    task = getattr(settings, study.task).model_dump(mode="json")
    evaluation = {
        "unit": "evaluate",
        **shared,
        "test": evaluate_on,
        "task": study.task,
        "config": task,
        "representations": [representation],
        "encoder": encoder,
    }
    yield Unit(evaluation, needs, f"{study.task} {label}")
