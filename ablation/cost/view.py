"""What ``plan`` prints: a table for people, JSON for scripts, each number with its basis."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ablation.cost.model import Cost, CostModel
from ablation.text import duration, fine_duration, plural, readable
from ablation.units import PretrainUnit, Unit
from skelcon.config import Json

if TYPE_CHECKING:
    from ablation.plan import Plan

PROBE_HINT = 5

SHORT_BOUND = 60.0
"""Seconds below which a lower bound of a study's time is not worth a line when it starts."""


def show_plan(
    console: Console,
    plans: Sequence[tuple[Plan, list[Unit]]],
    as_json: bool,
    model: CostModel,
    probe_steps: int | None = None,
) -> None:
    """Print what each plan asks, which units are missing and what they cost; together, if several.

    Args:
        console: for people.
        plans: each with its units that are to run.
        as_json: one document on standard output instead.
        model: estimates the costs.
        probe_steps: measure so many steps of what is not known.
    """
    units = {key: unit for plan, _ in plans for key, unit in plan.units.items()}
    to_run = list({unit.key: unit for _, missing in plans for unit in missing}.values())
    if probe_steps is not None:
        _probe(console, model, to_run, probe_steps)
    together = model.cost(to_run)
    if as_json:
        documents = [_document(plan, missing, model) for plan, missing in plans]
        if len(plans) > 1:
            whole = {
                "units": len(units),
                "done": len(units) - len(to_run),
                "to_run": len(to_run),
                "cost": to_json(together, to_run),
            }
            documents = [{**document, "together": whole} for document in documents]
        typer.echo(json.dumps(documents, indent=1))
        return
    for plan, missing in plans:
        say(console, describe(plan, missing))
    if len(plans) > 1:
        planned = sum(plan.count("pretrain") for plan, _ in plans)
        distinct = sum(1 for unit in units.values() if isinstance(unit, PretrainUnit))
        say(
            console,
            f"together: {sum(len(plan.cells) for plan, _ in plans)} cells, {len(units)} distinct "
            f"units, {planned} pre-trainings, {distinct} of them distinct, "
            f"{len(to_run)} units to run.",
        )
    if to_run:
        print_kinds(console, list(units.values()), to_run, together)
        print_cost(console, to_run, together, model)


def say(console: Console, text: str) -> None:
    """Print ``text`` as it is, wrapped between words on a terminal, as one line elsewhere."""
    console.print(text, highlight=False, soft_wrap=not console.is_terminal, markup=False)


def _probe(console: Console, model: CostModel, units: Sequence[Unit], steps: int) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("measuring", total=None)

        def progress(unit: Unit, done: int, total: int) -> None:
            bar.update(
                task, completed=done, total=total, description=f"measuring {kind_name(unit)}"
            )

        model.probe(units, steps, progress)


# -- JSON -----------------------------------------------------------------------------------------


def _document(plan: Plan, missing: list[Unit], model: CostModel) -> Json:
    cost = model.cost(missing)
    done = counts_of(plan, missing)
    del done["to_run"]  # the units themselves are below
    return {
        "study": plan.study.name,
        "protocol": plan.protocol,
        "preset": plan.preset,
        **done,
        "cost": to_json(cost, missing),
        "to_run": [
            {
                "key": unit.key,
                "label": unit.label,
                "needs": list(unit.needs),
                "seconds": cost.estimates[unit.key].seconds,
                "disk_bytes": cost.estimates[unit.key].size,
                "basis": cost.estimates[unit.key].basis,
                "config": unit.to_json(),
            }
            for unit in missing
        ],
    }


def counts_of(plan: Plan, missing: Sequence[Unit]) -> dict[str, int]:
    """How much a study asks, how much of it is done, and how much is to run."""
    return {
        "rows": len(plan.study.all_rows),
        "cells": len(plan.cells),
        "units": len(plan.units),
        "done": len(plan.units) - len(missing),
        "to_run": len(missing),
    }


def to_json(cost: Cost, units: Sequence[Unit]) -> Json:
    """A cost as plain values, with one entry for each kind of unit and basis."""
    return {
        "slots": cost.slots,
        "seconds": cost.seconds,
        "trial_seconds": cost.work_seconds,
        "gpu_hours": cost.gpu_hours,
        "core_hours": cost.core_hours,
        "disk_bytes": cost.disk_bytes,
        "units_of_unknown_time": cost.unknown,
        "units_of_unknown_size": cost.unknown_size,
        "suggested_gpus_per_trial": cost.gpu_share,
        "kinds": [
            {
                "kind": group.kind,
                "units": len(group.units),
                "seconds": sum(group.seconds) if len(group.seconds) == len(group.units) else None,
                "disk_bytes": sum(group.sizes),
                "basis": group.basis,
            }
            for group in group_units(units, cost)
        ],
    }


# -- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Units of one kind whose cost has one basis.

    Attributes:
        seconds, sizes: of the units of which they are known.
        resumed: how many have a checkpoint.
    """

    kind: str
    basis: str
    units: list[Unit]
    seconds: list[float]
    sizes: list[int]
    resumed: int


def group_units(units: Sequence[Unit], cost: Cost) -> list[Group]:
    """``units`` by kind and basis."""
    groups: dict[tuple[str, str], list[Unit]] = {}
    for unit in units:
        groups.setdefault((kind_name(unit), cost.estimates[unit.key].basis), []).append(unit)
    found = []
    for (kind, basis), members in groups.items():
        estimates = [cost.estimates[unit.key] for unit in members]
        seconds = [e.seconds for e in estimates if e.seconds is not None]
        sizes = [e.size for e in estimates if e.size is not None]
        resumed = sum(1 for e in estimates if e.left < 1)
        found.append(Group(kind, basis, members, seconds, sizes, resumed))
    return found


def kind_name(unit: Unit) -> str:
    """``pre-training SEQ+STG`` or ``linear SEQ``."""
    name = "pre-training" if isinstance(unit, PretrainUnit) else unit.task_name
    return f"{name} {'+'.join(unit.representations).upper()}"


def print_kinds(
    console: Console, units: Sequence[Unit], to_run: Sequence[Unit], cost: Cost
) -> None:
    """A line for each kind of unit and basis, and below them what the letters stand for.

    It takes 80 columns at most; kinds that are done have no time.
    """
    missing = {unit.key for unit in to_run}
    done = dict.fromkeys(map(kind_name, units), 0)
    for unit in units:
        if unit.key not in missing:
            done[kind_name(unit)] += 1
    groups = group_units(to_run, cost)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("units", no_wrap=True)
    for name in ("done", "to run", "each", "all", "disk", "from"):
        table.add_column(name, justify="right", no_wrap=True)
    bases: dict[str, str] = {}
    for kind in done:
        own = [group for group in groups if group.kind == kind]
        if not own:
            table.add_row(kind, str(done[kind]), "0")
        for place, group in enumerate(own):
            letter = bases.setdefault(_basis(group), _letter(len(bases)))
            first = (kind, str(done[kind])) if place == 0 else ("", "")
            table.add_row(*first, *_values(group), letter)
    # Whole in a pipe too, which rich takes for a terminal of 80 columns.
    unlimited = console.options.update(max_width=10_000)
    table.width = Measurement.get(console, unlimited, table).maximum
    console.print(table, crop=False)
    for basis, letter in bases.items():
        say(console, f"{letter}: {basis}")


def _basis(group: Group) -> str:
    return f"{group.basis}; {group.resumed} from a checkpoint" if group.resumed else group.basis


def _letter(number: int) -> str:
    """a, b, ..., z, a1, b1, ..."""
    turn, place = divmod(number, len(string.ascii_lowercase))
    return string.ascii_lowercase[place] + (str(turn) if turn else "")


def _values(group: Group) -> tuple[str, ...]:
    """To run, each, all, disk."""
    seconds = group.seconds
    return (
        str(len(group.units)),
        fine_duration(sum(seconds) / len(seconds)) if seconds else "?",
        fine_duration(sum(seconds)) if seconds else "?",
        readable(sum(group.sizes)) if group.sizes else "?",
    )


# -- sentences ------------------------------------------------------------------------------------


def describe(plan: Plan, missing: Sequence[Unit]) -> str:
    """How much a study asks, how much of it is done, and how much is to run."""
    counts = counts_of(plan, missing)
    data = plan.dataset.name + (f" after {plan.source.name}" if plan.source else "")
    return (
        f"{plan.study.name} on {data}, {plan.preset} preset: {plural(counts['rows'], 'row')}, "
        f"{counts['cells']} cells, {counts['units']} distinct units "
        f"({plan.count('pretrain')} pre-trainings, {plan.count('evaluate')} evaluations), "
        f"{counts['done']} done, {counts['to_run']} to run."
    )


def describe_start(cost: Cost) -> str | None:
    """How long units will take that are about to run; None if too little is known."""
    if cost.seconds is None or (cost.unknown and cost.seconds < SHORT_BOUND):
        return None
    bound = "at least" if cost.unknown else "about"
    bases = {e.basis for e in cost.estimates.values() if e.seconds is not None}
    basis = bases.pop() if len(bases) == 1 else "earlier results; --plan says which"
    return (
        f"{bound} {duration(cost.seconds)} with {cost.slots} at once (from {basis}), "
        f"{readable(cost.disk_bytes)} of disk."
    )


def print_cost(console: Console, to_run: Sequence[Unit], cost: Cost, model: CostModel) -> None:
    """Time, GPU-hours and disk of what is to run, in a line, and how to know more."""
    at_least = "at least " if cost.unknown_size else ""
    parts = [*_times(to_run, cost), f"{at_least}{readable(cost.disk_bytes)} of disk"]
    say(console, f"{len(to_run)} to run: {', '.join(parts)}; on {model.hardware}.")
    if cost.unknown:
        say(
            console,
            f"The time of {cost.unknown} of them is unknown, as no like unit is finished in "
            f"'{model.store.results}': plan --probe {PROBE_HINT} measures it.",
        )
    elif any(model.needs_probe(unit) for unit in to_run):
        say(console, f"plan --probe {PROBE_HINT} measures what the table above knows roughly.")
    if cost.gpu_share is not None:
        say(
            console,
            f"Like units took so little of a GPU's memory that --gpus-per-trial "
            f"{cost.gpu_share:g} would do.",
        )


def _times(to_run: Sequence[Unit], cost: Cost) -> list[str]:
    if cost.unknown >= len(to_run):
        return ["time unknown"]
    bound = "at least" if cost.unknown else "about"
    if cost.seconds is not None and cost.slots is not None:
        time = f"{bound} {duration(cost.seconds)} with {plural(cost.slots, 'trial')} at once"
    else:
        time = (
            f"{bound} {duration(cost.work_seconds)} of trials (how many run at once is not known "
            "here: --max-concurrent)"
        )
    if cost.gpu_hours:
        return [time, f"{_hours(cost.gpu_hours)} GPU-hours"]
    return [time, f"{_hours(cost.core_hours)} CPU-core-hours, no GPU"]


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 10 else f"{hours:.0f}"
