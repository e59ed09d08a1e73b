"""What ``plan`` prints: a table for people, JSON for scripts, each number with its basis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ablation.cost.estimate import Cost, cost_of, kind_of, kinds, needs_probe, slots_of, to_json
from ablation.cost.history import History, trial_hardware
from ablation.cost.sizes import readable
from ablation.plan import Plan, Unit
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.tables.display import duration
from skelcon.data import SkeletonDataset

PROBE_HINT = 5


@dataclass(frozen=True)
class Costing:
    """What costs are asked of: earlier results, what a trial takes, how many run at once."""

    store: Store
    history: History
    resources: Resources
    slots: int | None

    @classmethod
    def of(
        cls, store: Store, plans: Iterable[Plan], resources: Resources, ask_cluster: bool = False
    ) -> Costing:
        """For ``plans``.

        Args:
            store: whose finished units are the evidence.
            plans: whose data is at hand.
            resources: what a trial takes.
            ask_cluster: connect to the cluster of ``--address`` and ask for its size; without,
                such a cluster takes ``--max-concurrent`` trials or an unknown number.
        """
        data: dict[str, SkeletonDataset] = {}
        for plan in plans:
            for each in (plan.dataset, plan.source):
                if each is not None:
                    data[each.fingerprint] = each
        hardware = trial_hardware(resources.gpus_per_trial, resources.cpus_per_trial)
        slots = resources.max_concurrent
        if resources.address is None:
            slots = slots_of(resources)
        elif ask_cluster:
            from ablation.runner.session import cluster

            with cluster(resources) as nodes:
                cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
                slots = slots_of(resources, cpus, gpus)
        return cls(store, History.read(store, data.values(), hardware), resources, slots)

    def cost(self, missing: Sequence[Unit]) -> Cost:
        """Of the units that are to run."""
        return cost_of(missing, self.history, self.store, self.resources, self.slots)

    def probe(self, console: Console, missing: Sequence[Unit], steps: int) -> None:
        """Measure ``steps`` of each kind that earlier results do not tell of."""
        from ablation.cost.probe import probe, to_probe

        total = len(to_probe(missing, self.history))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as bar:
            task = bar.add_task("measuring", total=total)
            seen = 0

            def progress(unit: Unit) -> None:
                nonlocal seen
                bar.update(task, completed=seen, description=f"measuring {kind_of(unit)}")
                seen += 1

            threads = max(1, int(self.resources.cpus_per_trial))
            probe(missing, self.history, steps, threads, progress)


def show_plan(
    console: Console,
    plans: list[tuple[Plan, list[Unit]]],
    as_json: bool,
    costing: Costing,
    probe_steps: int | None = None,
) -> None:
    """Print what each plan asks, which units are missing and what they cost; together, if several.

    Args:
        console: for people.
        plans: each with its units that are to run.
        as_json: one document on standard output instead.
        costing: what the costs are asked of.
        probe_steps: measure so many steps of what is not known.
    """
    units = {key: unit for plan, _ in plans for key, unit in plan.units.items()}
    to_run = list({unit.key: unit for _, missing in plans for unit in missing}.values())
    if probe_steps is not None:
        costing.probe(console, to_run, probe_steps)
    together = costing.cost(to_run)
    if as_json:
        documents = [_document(plan, missing, costing) for plan, missing in plans]
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
        print_counts(console, plan, len(plan.units) - len(missing))
    if len(plans) > 1:
        named = sum(plan.count("pretrain") for plan, _ in plans)
        distinct = sum(unit.kind == "pretrain" for unit in units.values())
        _say(
            console,
            f"together: {sum(len(plan.cells) for plan, _ in plans)} cells, {len(units)} distinct "
            f"units, {named} pre-trainings named, {distinct} distinct, {len(to_run)} units to run.",
        )
    if to_run:
        console.print(_table(list(units.values()), to_run, together))
        print_cost(console, to_run, together, costing)


def _document(plan: Plan, missing: list[Unit], costing: Costing) -> dict[str, object]:
    cost = costing.cost(missing)
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
                "config": unit.config,
            }
            for unit in missing
        ],
    }


def counts_of(plan: Plan, missing: Sequence[Unit]) -> dict[str, int]:
    """How much a study asks, how much of it there is, and how much is to run."""
    return {
        "rows": len(plan.study.all_rows),
        "cells": len(plan.cells),
        "units": len(plan.units),
        "done": len(plan.units) - len(missing),
        "to_run": len(missing),
    }


def print_counts(console: Console, plan: Plan, done: int) -> None:
    """How much a study asks, and how much of it there is already."""
    units, rows = len(plan.units), len(plan.study.all_rows)
    where = plan.dataset.name + (f" after {plan.source.name}" if plan.source else "")
    _say(
        console,
        f"{plan.study.name} on {where}, {plan.preset} preset: {rows} row{'s' * (rows != 1)}, "
        f"{len(plan.cells)} cells, {units} distinct units "
        f"({plan.count('pretrain')} pre-trainings, {plan.count('evaluate')} evaluations), "
        f"{done} done, {units - done} to run.",
    )


def _table(units: Sequence[Unit], to_run: Sequence[Unit], cost: Cost) -> Table:
    """A line for each kind of unit and basis; kinds that are done have no time."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("units")
    for name in ("done", "to run", "each", "all", "disk"):
        table.add_column(name, justify="right")
    table.add_column("time from", style="dim", overflow="fold")
    done: dict[str, int] = {}
    missing = {unit.key for unit in to_run}
    for unit in units:
        done.setdefault(kind_of(unit), 0)
        done[kind_of(unit)] += unit.key not in missing
    of_kind: dict[str, list[tuple[str, list[Unit]]]] = {name: [] for name in done}
    for (name, basis), members in kinds(to_run, cost).items():
        of_kind[name].append((basis, members))
    for name, groups in of_kind.items():
        if not groups:
            table.add_row(name, str(done[name]), "0")
        for at, (basis, members) in enumerate(groups):
            estimates = [cost.estimates[unit.key] for unit in members]
            seconds = [e.seconds for e in estimates if e.seconds is not None]
            sizes = [e.size for e in estimates if e.size is not None]
            resumed = sum(e.left < 1 for e in estimates)
            table.add_row(
                name if at == 0 else "",
                str(done[name]) if at == 0 else "",
                str(len(members)),
                brief(sum(seconds) / len(seconds)) if seconds else "?",
                brief(sum(seconds)) if seconds else "?",
                readable(sum(sizes)) if sizes else "?",
                Text(basis + (f"; {resumed} from a checkpoint" if resumed else "")),
            )
    return table


WORTH_SAYING = 60.0
"""Seconds from which on a lower bound of a study's time is said when it starts."""


def brief(seconds: float) -> str:
    """`duration`, and tenths of what is shorter than ten seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def print_cost(console: Console, to_run: Sequence[Unit], cost: Cost, costing: Costing) -> None:
    """Time, GPU-hours and disk of what is to run, in a line, and how to know more."""
    about = "at least" if cost.unknown else "about"
    parts = []
    if cost.unknown < len(to_run):
        if cost.seconds is not None and cost.slots is not None:
            trials = f"{cost.slots} trial{'s' * (cost.slots != 1)}"
            parts.append(f"{about} {duration(cost.seconds)} with {trials} at once")
        else:
            parts.append(
                f"{about} {duration(cost.work_seconds)} of trials (how many run at once is not "
                "known here: --max-concurrent)"
            )
        if cost.gpu_hours:
            parts.append(f"{_hours(cost.gpu_hours)} GPU-hours")
        else:
            parts.append(f"{_hours(cost.core_hours)} CPU-core-hours, no GPU")
    else:
        parts.append("time unknown")
    known = "at least " if cost.unknown_size else ""
    parts.append(f"{known}{readable(cost.disk_bytes)} of disk")
    _say(
        console, f"{len(to_run)} to run: " + ", ".join(parts) + f"; on {costing.history.hardware}."
    )
    if cost.unknown:
        _say(
            console,
            f"The time of {cost.unknown} of them is unknown, as no like unit is finished in "
            f"'{costing.store.results}': plan --probe {PROBE_HINT} measures it.",
        )
    elif any(needs_probe(unit, costing.history) for unit in to_run):
        _say(console, f"plan --probe {PROBE_HINT} measures what the table above knows roughly.")
    if cost.gpu_share is not None:
        _say(
            console,
            f"Like units took so little of a GPU's memory that --gpus-per-trial "
            f"{cost.gpu_share:g} would do.",
        )


def print_start(console: Console, plan: Plan, missing: list[Unit], cost: Cost) -> None:
    """What a study is about to do, in a line or two."""
    print_counts(console, plan, len(plan.units) - len(missing))
    # A bound of seconds, of the few units that something is known of, would tell nobody anything.
    if cost.seconds is not None and (not cost.unknown or cost.seconds >= WORTH_SAYING):
        bound = "at least" if cost.unknown else "about"
        bases = {e.basis for e in cost.estimates.values() if e.seconds is not None}
        basis = next(iter(bases)) if len(bases) == 1 else "earlier results; --plan says which"
        _say(
            console,
            f"{bound} {duration(cost.seconds)} with {cost.slots} at once (from {basis}), "
            f"{readable(cost.disk_bytes)} of disk.",
        )


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 10 else f"{hours:.0f}"


def _say(console: Console, text: str) -> None:
    # A terminal's own wrapping would cut words; a file keeps the line whole.
    console.print(text, highlight=False, soft_wrap=not console.is_terminal, markup=False)
