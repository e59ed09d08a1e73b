"""What ``plan`` prints: a table for people, JSON for scripts; each estimate with its basis."""

from __future__ import annotations

import json
import string
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ablation.costs.model import UNKNOWN, Cost, CostModel, UnitCost
from ablation.text import duration, fine_duration, plural, readable
from ablation.units import PretrainUnit, Unit
from skelcon.cli.terminal import say
from skelcon.config import Json

if TYPE_CHECKING:
    from ablation.plan import Plan

PROBE_HINT = 5

SHORT_BOUND = 60.0
"""A lower bound of a study's time below this is not printed when it starts."""


def show_plan(
    console: Console,
    plans: Sequence[tuple[Plan, list[Unit]]],
    as_json: bool,
    model: CostModel,
    probe_steps: int | None = None,
) -> None:
    """Print the size of each plan, which units are missing, and their cost in all.

    Args:
        console: where to print.
        plans: each plan with its units that are to run.
        as_json: print one JSON document on standard output instead.
        model: estimates the cost.
        probe_steps: first measure so many steps of units whose cost is not known.
    """
    units = {key: unit for plan, _ in plans for key, unit in plan.units.items()}
    to_run = list({unit.key: unit for _, missing in plans for unit in missing}.values())
    if probe_steps is not None:
        _probe(console, model, to_run, probe_steps)
    together = model.cost(to_run)
    if as_json:
        documents = [_document(plan, missing, model) for plan, missing in plans]
        if len(plans) > 1:
            counts = {"units": len(units), "done": len(units) - len(to_run), "to_run": len(to_run)}
            whole = {**counts, "cost": _cost_json(together)}
            documents = [{**document, "together": whole} for document in documents]
        typer.echo(json.dumps(documents, indent=1))
        return
    for plan, missing in plans:
        say(console, describe(plan, missing))
        for note in plan.notes:
            say(console, note)
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
        print_kinds(console, list(units.values()), together)
        print_cost(console, together, model)


def show_search(
    console: Console,
    about: Json,
    units: Sequence[Unit],
    as_json: bool,
    model: CostModel,
    probe_steps: int | None = None,
) -> None:
    """Print what the trials of a search cost that have not ended.

    Args:
        console: where to print.
        about: what the JSON document says beside the cost.
        units: units like those that these trials need.
        as_json: print one JSON document on standard output instead.
        model: estimates the cost.
        probe_steps: first measure so many steps of units whose cost is not known.
    """
    if probe_steps is not None:
        _probe(console, model, units, probe_steps)
    cost = model.cost(units)
    if as_json:
        typer.echo(json.dumps({**about, "to_run": len(units), "cost": _cost_json(cost)}, indent=1))
    elif units:
        print_kinds(console, units, cost)
        print_cost(console, cost, model, "--plan")


def _probe(console: Console, model: CostModel, units: Sequence[Unit], steps: int) -> None:
    from ablation.costs.probe import probe  # imports torch

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("measuring", total=None)

        def progress(unit: Unit, done: int, total: int) -> None:
            text = f"measuring {kind_name(unit)}"
            bar.update(task, completed=done, total=total, description=text)

        probe(model, units, steps, progress)


# -- JSON -----------------------------------------------------------------------------------------


def _document(plan: Plan, missing: list[Unit], model: CostModel) -> Json:
    cost = model.cost(missing)
    about = {"study": plan.study.name, "protocol": plan.protocol, "preset": plan.preset.name}
    to_run = [
        {
            "key": key,
            "label": each.unit.label,
            "needs": list(each.unit.needs),
            "seconds": each.seconds,
            "disk_bytes": each.size,
            "basis": each.basis,
            "config": each.unit.to_json(),
        }
        for key, each in cost.estimates.items()
    ]
    done = counts_of(plan, missing)
    del done["to_run"]  # the document lists these units themselves
    notes = list(plan.notes)
    return {**about, **done, "notes": notes, "cost": _cost_json(cost), "to_run": to_run}


def counts_of(plan: Plan, missing: Sequence[Unit]) -> dict[str, int]:
    """How large a study is, how much of it is done, and how much is to run."""
    return {
        "rows": len(plan.study.all_rows),
        "cells": len(plan.cells),
        "units": len(plan.units),
        "done": len(plan.units) - len(missing),
        "to_run": len(missing),
    }


def _cost_json(cost: Cost) -> Json:
    """A cost as plain values, with one entry for each kind of unit and basis."""
    totals = {n: value for n, value in vars(cost).items() if n not in ("estimates", "known")}
    kinds = [
        {
            "kind": kind,
            "units": len(group),
            "seconds": None if basis == UNKNOWN else _seconds(group),
            "disk_bytes": _bytes(group),
            "basis": basis,
        }
        for (kind, basis), group in _groups(cost).items()
    ]
    return {**totals, "kinds": kinds}


# -- the table ------------------------------------------------------------------------------------


def _groups(cost: Cost) -> dict[tuple[str, str], list[UnitCost]]:
    """(kind, basis) -> estimates, of which the seconds are either all known or all unknown."""
    groups = defaultdict(list)
    for estimate in cost.estimates.values():
        groups[kind_name(estimate.unit), estimate.basis].append(estimate)
    return groups


def _seconds(group: Sequence[UnitCost]) -> float:
    return sum(e.seconds for e in group if e.seconds is not None)


def _bytes(group: Sequence[UnitCost]) -> int:
    return sum(e.size or 0 for e in group)


def kind_name(unit: Unit) -> str:
    """Such as ``pre-training SEQ+STG`` or, with a chosen encoder, ``linear STG (ctrgcn)``."""
    if isinstance(unit, PretrainUnit):
        name, built = "pre-training", [unit.options["encoders"]]
    else:
        name, built = unit.task_name, [each.encoders or {} for each in unit.encoders]
    custom = {key: own["encoder"] for each in built for key, own in each.get("custom", {}).items()}
    chosen = dict.fromkeys(custom[each] for each in unit.representations if each in custom)
    label = f"{name} {'+'.join(unit.representations).upper()}"
    return f"{label} ({', '.join(chosen)})" if chosen else label


def print_kinds(console: Console, units: Sequence[Unit], cost: Cost) -> None:
    """A line for each kind of unit and basis; below, what the letters for bases stand for.

    At most 80 columns wide; kinds that are done have no time.
    """
    done = Counter(kind_name(unit) for unit in units if unit.key not in cost.estimates)
    groups = _groups(cost)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("units", no_wrap=True)
    for name in ("done", "to run", "each", "all", "disk", "from"):
        table.add_column(name, justify="right", no_wrap=True)
    letters: dict[str, str] = {}
    for kind in dict.fromkeys(map(kind_name, units)):
        first = (kind, str(done[kind]))
        own = {basis: group for (its_kind, basis), group in groups.items() if its_kind == kind}
        if not own:
            table.add_row(*first, "0")
        for basis, group in own.items():
            resumed = sum(1 for e in group if e.left < 1)
            text = f"{basis}; {resumed} from a checkpoint" if resumed else basis
            letter = letters.setdefault(text, _letter(len(letters)))
            table.add_row(*first, *_values(basis, group), letter)
            first = ("", "")
    # Not cut in a pipe either, which rich takes for a terminal of 80 columns.
    unlimited = console.options.update(max_width=10_000)
    table.width = Measurement.get(console, unlimited, table).maximum
    console.print(table, crop=False)
    for text, letter in letters.items():
        say(console, f"{letter}: {text}")


def _letter(number: int) -> str:
    """a, b, ..., z, a1, b1, ..."""
    turn, place = divmod(number, len(string.ascii_lowercase))
    return string.ascii_lowercase[place] + (str(turn) if turn else "")


def _values(basis: str, group: Sequence[UnitCost]) -> tuple[str, ...]:
    """The columns to run, each, all and disk."""
    number, size = len(group), readable(_bytes(group)) if _bytes(group) else "?"
    if basis == UNKNOWN:
        return str(number), "?", "?", size
    seconds = _seconds(group)
    return str(number), fine_duration(seconds / number), fine_duration(seconds), size


# -- sentences ------------------------------------------------------------------------------------


def describe(plan: Plan, missing: Sequence[Unit]) -> str:
    """How large a study is, how much of it is done, and how much is to run, in a sentence."""
    counts = counts_of(plan, missing)
    data = plan.dataset.name + (f" after {plan.source.name}" if plan.source else "")
    return (
        f"{plan.study.name} on {data}, {plan.preset} preset: {plural(counts['rows'], 'row')}, "
        f"{plural(counts['cells'], 'cell')}, {plural(counts['units'], 'distinct unit')} "
        f"({plural(plan.count('pretrain'), 'pre-training')}, "
        f"{plural(plan.count('evaluate'), 'evaluation')}), "
        f"{counts['done']} done, {counts['to_run']} to run."
    )


def describe_start(cost: Cost) -> str | None:
    """How long the units will take that start now; None if too little is known."""
    if cost.seconds is None or (cost.units_of_unknown_time and cost.seconds < SHORT_BOUND):
        return None
    bases = {e.basis for e in cost.estimates.values() if e.seconds is not None}
    basis = bases.pop() if len(bases) == 1 else "earlier results; --plan says which"
    disk = f", {readable(cost.disk_bytes)} of disk with checkpoints"
    return (
        f"{_bound(cost.units_of_unknown_time)} {duration(cost.seconds)} with {cost.slots} at once "
        f"(from {basis}){'' if cost.units_of_unknown_size else disk}."
    )


def print_cost(console: Console, cost: Cost, model: CostModel, command: str = "plan") -> None:
    """Time, GPU-hours and disk of the units to run, and the ``command`` that estimates better."""
    at_least = "at least " if cost.units_of_unknown_size else ""
    parts = [*_times(cost), f"{at_least}{readable(cost.disk_bytes)} of disk with checkpoints"]
    say(console, f"{len(cost.estimates)} to run: {', '.join(parts)}; on {model.hardware}.")
    if unknown := cost.units_of_unknown_time:
        of_some = "" if unknown == len(cost.estimates) else f" of {unknown} of them"
        say(
            console,
            f"The time{of_some} is unknown, as no similar unit is finished in "
            f"'{model.store.results}': {command} --probe {PROBE_HINT} measures it.",
        )
    elif any(model.needs_probe(each.unit) for each in cost.estimates.values()):
        say(console, f"{command} --probe {PROBE_HINT} measures what is rough in the table above.")
    if cost.suggested_gpus_per_trial is not None:
        say(
            console,
            f"Similar units needed so little GPU memory that --gpus-per-trial "
            f"{cost.suggested_gpus_per_trial:g} is enough.",
        )


def _bound(unknown: int) -> str:
    return "at least" if unknown else "about"


def _times(cost: Cost) -> list[str]:
    if not cost.known:
        return ["time unknown"]
    bound = _bound(cost.units_of_unknown_time)
    if cost.seconds is not None and cost.slots is not None:
        time = f"{bound} {duration(cost.seconds)} with {plural(cost.slots, 'trial')} at once"
    else:
        time = (
            f"{bound} {duration(cost.trial_seconds)} of trials (how many run at once is not known "
            "here: --max-concurrent)"
        )
    if cost.gpu_hours:
        return [time, f"{_hours(cost.gpu_hours)} GPU-hours"]
    return [time, f"{_hours(cost.core_hours)} CPU-core-hours, no GPU"]


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 10 else f"{hours:.0f}"
