"""The shell command that reproduces a cell or a table, and what has to be filled in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ablation.catalogue import known_studies
from ablation.evidence.evidence import Where
from ablation.evidence.validation import fold_counts
from ablation.fusion import evaluations_of
from ablation.plan import Plan, make_plan
from ablation.study import named_study
from skelcon.config import flat
from skelcon.errors import UserError
from skelcon.presets import Preset

AGAIN = "reproduced"
"""The results directory of the command; in the original one all units are done already."""
PATH, SOURCE, PRESET = "PATH", "SOURCE", "PRESET.yaml"


@dataclass(frozen=True)
class Command:
    """A command for the shell.

    Attributes:
        line: the command, to be pasted once the placeholders are filled in.
        remarks: what the placeholders are, and what the command does not reproduce.
    """

    line: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Commands:
    """Writes the commands that reproduce the cells of ``plan``, in a table called ``table``."""

    plan: Plan
    table: str

    def of(self, cell: Where | None, ran: Iterable[dict[str, Any]]) -> Command:
        """The command for a cell, or for the whole table.

        Args:
            cell: row and column; None for the whole table.
            ran: the provenance of the finished units.
        """
        words, remarks = _question(self.plan)
        if cell is not None:
            words += ["--only", cell[0]]
        if self.plan.shown is not None:
            words += ["--metric", self.plan.shown]
        words += [*_resources(ran), "--results", AGAIN]
        if self.table != self.plan.study.name:
            words += ["--name", self.table]
        if self._keys_today is not None and not keys_of(self.plan, cell) <= self._keys_today:
            remarks.append(
                "This version plans other units for it: the study, a preset or a default has "
                "changed since. Check out the git revision that made it."
            )
        return Command(shlex.join(words), tuple(remarks))

    @cached_property
    def _keys_today(self) -> set[str] | None:
        """The keys that this version plans for the same rows; None for a study of the user."""
        plan = self.plan
        if plan.study.name not in known_studies():
            return None
        preset = plan.preset
        try:
            study = named_study(plan.study.name)
            today = make_plan(
                study.only(tuple(row for row in plan.study.all_rows if row in study.all_rows)),
                plan.dataset,
                preset=preset if preset.changes else Preset.of(preset.name),
                seeds=plan.seeds,
                protocol=plan.asked_protocol,
                evaluate_on=plan.evaluate_on,
                overrides=plan.overrides,
                source=plan.source,
                folds=plan.folds,
            )
        except UserError:
            return set()
        return keys_of(today, None)


def _question(plan: Plan) -> tuple[list[str], list[str]]:
    """The words of the command up to its rows, and the remarks on its placeholders."""
    study, built_in = plan.study, plan.study.name in known_studies()
    words = ["skelcon-ablate", *([study.name] if built_in else ["run", f"{study.name}.yaml"])]
    remarks = [] if built_in else [f"{study.name}.yaml is the file of the study."]
    for option, dataset, stand_in in (
        ("--data", plan.dataset, PATH),
        ("--source", plan.source, SOURCE),
    ):
        if dataset is not None and not dataset.synthetic:
            words += [option, stand_in]
            remarks.append(f"{stand_in} is {dataset.name} with the data {dataset.fingerprint}.")
    if plan.asked_protocol is not None:
        words += ["--protocol", plan.asked_protocol]
    if plan.evaluate_on == "validation":
        words += ["--evaluate-on", "validation", "--folds", str(fold_counts(plan)[1])]
    from_file = bool(plan.preset.changes)
    words += ["--preset", PRESET if from_file else plan.preset.name]
    if from_file:
        changes = ", ".join(settings_as_words(plan.preset.changes))
        base = f"extends {plan.preset.base} and " if plan.preset.base else ""
        remarks.append(f"{PRESET} is '{plan.preset}', which {base}sets {changes}.")
    for text in settings_as_words(plan.overrides):
        words += ["--set", text]
    return [*words, "--seeds", seeds_as_word(plan.seeds)], remarks


def _resources(ran: Iterable[dict[str, Any]]) -> list[str]:
    """Options for threads and GPUs, which may change the last bits of the numbers."""
    words: dict[str, int] = {}
    for values in ran:
        threads, ranks = int(values.get("threads", 1)), int(values.get("ranks", 1))
        if str(values.get("device", "cpu")).startswith("cuda"):
            words["--gpus-per-trial"] = max(ranks, words.get("--gpus-per-trial", 1))
        elif threads > 1:
            words["--cpus-per-trial"] = max(threads, words.get("--cpus-per-trial", 1))
    return [word for option, number in words.items() for word in (option, str(number))]


def seeds_as_word(seeds: tuple[int, ...]) -> str:
    """Seeds as a value of ``--seeds``: ``3`` for 0, 1 and 2, else a list.

    >>> seeds_as_word((0, 1, 2)), seeds_as_word((0, 5)), seeds_as_word((5,))
    ('3', '0,5', '5,')
    """
    if seeds == tuple(range(len(seeds))):
        return str(len(seeds))
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


def settings_as_words(tree: dict[str, Any]) -> list[str]:
    """Settings as values of ``--set``.

    >>> settings_as_words({"pretrain": {"monitor": None, "representations": ["img"]}})
    ['pretrain.monitor=null', 'pretrain.representations=["img"]']
    """
    return [f"{key}={_as_yaml(value)}" for key, value in flat(tree).items()]


def _as_yaml(value: Any) -> str:
    if isinstance(value, str):
        try:
            if yaml.safe_load(value) == value:
                return value
        except yaml.YAMLError:
            pass
    return json.dumps(value)


def keys_of(plan: Plan, cell: Where | None) -> set[str]:
    """The keys of all units behind a cell, or behind the whole table, with its pre-trainings."""
    units = (each.unit for each in plan.cells if cell in (None, (each.row, each.column)))
    return {
        key
        for unit in units
        if unit is not None
        for key in (*(each.key for each in evaluations_of(unit)), *unit.needs)
    }


def shell_compare(results: Path, name: str) -> str:
    """The command that compares the reproduced table with the original one."""
    return shlex.join(["skelcon-ablate", "compare", str(results / name), f"{AGAIN}/{name}"])
