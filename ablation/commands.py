"""What the commands do: open the data, plan, run what is missing, print and export."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ablation import display, export, tables
from ablation.plan import EvaluateOn, Plan, Unit, make_plan
from ablation.resources import Resources
from ablation.store import Store
from ablation.study import Study
from skelcon.data import SkeletonDataset, open_or_import, split
from skelcon.data.synthetic import open_embedded
from skelcon.errors import UserError
from skelcon.settings import Settings, merge, parse_assignment, preset_tree


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` -> (0, 1, 2); ``0,5,7`` -> (0, 5, 7); ``5,`` -> (5,).

    Raises:
        UserError: for anything else.
    """
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: give a number of seeds, or a list such as 0,5,7")
    numbers = [int(part) for part in parts]
    if len(parts) == 1 and "," not in text:
        if numbers[0] < 1:
            raise UserError(f"--seeds {text}: at least one seed is needed")
        return tuple(range(numbers[0]))
    if len(set(numbers)) != len(numbers):
        raise UserError(f"--seeds {text}: a seed is named twice")
    return tuple(numbers)


def open_data(
    path: Path | None, console: Console, embedded: Callable[[], SkeletonDataset] = open_embedded
) -> SkeletonDataset:
    """The embedded data, a packed data set, or an import of anything known; says what it skips."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True,
             disable=not console.is_terminal) as bar:  # fmt: skip
        task = bar.add_task("reading the data", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if path is None:
            return embedded()
        dataset, skipped = open_or_import(path, progress)
    if skipped:
        console.print(
            f"warning: {len(skipped)} bad files left out of '{path}'; the first, "
            f"{skipped[0].name}: {skipped[0].reason}",
            highlight=False,
            soft_wrap=True,
        )
    return dataset


def open_source(study: Study, path: Path | None, console: Console) -> SkeletonDataset | None:
    """The data that a transfer pre-trains on: ``--source``, or embedded data of other subjects."""
    if not study.transfer:
        if path is not None:
            raise UserError(f"--source {path}: study '{study.name}' transfers nothing")
        return None
    return open_data(path, console, lambda: open_embedded(seed=1))


def overrides_of(assignments: list[str] | None, used: tuple[str, ...]) -> dict[str, Any]:
    """What ``--set`` asks; UserError for a setting that nothing would use."""
    overrides: dict[str, Any] = {}
    merge(overrides, dict(parse_assignment(text) for text in assignments or []))
    for name in overrides:
        if name in Settings.model_fields and name not in used:
            raise UserError(f"--set {name}...: not used here, only {' and '.join(used)}")
    return overrides


def plan_study(
    study: Study,
    dataset: SkeletonDataset,
    source: SkeletonDataset | None = None,
    *,
    preset: str | None,
    seeds: str,
    protocol: str | None,
    assignments: list[str] | None,
    only: str | None,
    evaluate_on: str,
) -> Plan:
    """The plan that the options ask for; :class:`UserError` for any that is wrong."""
    on: dict[str, EvaluateOn] = {"test": "test", "validation": "validation"}
    if evaluate_on not in on:
        raise UserError(f"--evaluate-on {evaluate_on}: give test or validation")
    scale = preset or ("quick" if dataset.synthetic else "small")
    overrides = overrides_of(assignments, ("pretrain", study.task))
    if only:
        study = study.only(tuple(name.strip() for name in only.split(",")))
    plan = make_plan(
        study,
        dataset,
        preset=scale,
        preset_tree=preset_tree(scale),
        seeds=parse_seeds(seeds),
        protocol=protocol,
        evaluate_on=on[evaluate_on],
        overrides=overrides,
        source=source,
    )
    for unit in plan.units.values():
        if unit.kind == "pretrain":
            trained = plan.source or dataset
            clips = len(split(trained, unit.config["protocol"], unit.config["train"]))
            if clips < unit.config["config"]["batch"]:
                raise UserError(
                    f"pretrain.batch {unit.config['config']['batch']} is larger than the {clips} "
                    f"training clips of '{trained.name}', {unit.config['protocol']}"
                )
    return plan


def run_study(
    study: Study,
    *,
    data: Path | None,
    source: Path | None,
    plan_only: bool,
    results: Path,
    formats: str,
    as_json: bool,
    yes: bool,
    verbose: bool,
    resources: dict[str, Any],
    **choices: Any,
) -> None:
    """Plan, run what is missing, aggregate, print and export. Raises ``typer.Exit(1 or 130)``."""
    console = Console(stderr=as_json)
    chosen = export.parse_formats(formats)
    asked = Resources(**resources)
    asked.check()
    dataset = open_data(data, console)
    plan = plan_study(study, dataset, open_source(study, source, console), **choices)
    store = Store(results)
    missing = [unit for unit in plan.units.values() if not store.is_done(unit.key)]
    if plan_only:
        show_plan(console, [(plan, missing)], as_json)
        return
    store.check_writable()
    interrupted = False
    if missing:
        display.print_plan(console, plan, len(plan.units) - len(missing))
        _confirm(plan, asked, yes)
        interrupted = not _run(console, plan, missing, store, asked, verbose)
    failed = show(console, plan, store, results, chosen, as_json)
    if interrupted:
        console.print("Interrupted. The same command goes on from here.")
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _run(
    console: Console,
    plan: Plan,
    missing: list[Unit],
    store: Store,
    asked: Resources,
    verbose: bool,
) -> bool:
    asked.stay_on_loopback()
    from ablation.runner import run_units

    cores = int((os.cpu_count() or 1) // asked.cpus_per_trial)
    slots = min(asked.max_concurrent or cores, max(1, cores))
    cached = len(plan.units) - len(missing)
    data = {each.fingerprint: each.path for each in (plan.dataset, plan.source) if each}
    with display.Progress(console, missing, cached, slots, verbose) as progress:
        return run_units(missing, store, data, asked, progress)


def show(
    console: Console,
    plan: Plan,
    store: Store,
    results: Path,
    formats: tuple[str, ...],
    as_json: bool,
) -> bool:
    """Aggregate, print and export; whether a cell has failed."""
    frame = tables.cells_frame(plan, store)
    table = tables.make_table(plan, frame)
    provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
    if as_json:
        typer.echo(export.to_json(table, provenance))
    else:
        display.print_table(console, table)
    earlier = export.caption_in(results / plan.study.name)
    if earlier is not None and not as_json and not same_question(earlier, table.caption):
        console.print(f"Replaces an earlier table: {earlier}", style="yellow", highlight=False)
    try:
        written = export.export(table, frame, provenance, results / plan.study.name, formats)
    except OSError as error:
        raise UserError(f"cannot write '{error.filename}': {error.strerror}") from None
    if not as_json:
        names = ", ".join(path.name for path in written)
        console.print(
            f"Written to {results / plan.study.name}: {names}", highlight=False, soft_wrap=True
        )
    return bool((frame["state"] == "failed").any())


def same_question(one: str, other: str) -> bool:
    """Whether two captions differ in their seeds at most."""
    before = [re.split(r", (?:n = |no result yet)", caption)[0] for caption in (one, other)]
    return before[0] == before[1]


def show_plan(console: Console, plans: list[tuple[Plan, list[Unit]]], as_json: bool) -> None:
    """Print what each plan asks and which of its units are missing; together, if several."""
    if as_json:
        document = [
            {
                "study": plan.study.name,
                "protocol": plan.protocol,
                "preset": plan.preset,
                "cells": len(plan.cells),
                "units": len(plan.units),
                "done": len(plan.units) - len(missing),
                "to_run": [
                    {"key": u.key, "label": u.label, "needs": list(u.needs), "config": u.config}
                    for u in missing
                ],
            }
            for plan, missing in plans
        ]
        typer.echo(json.dumps(document, indent=1))
        return
    for plan, missing in plans:
        display.print_plan(console, plan, len(plan.units) - len(missing))
    if len(plans) > 1:
        units = {key: unit for plan, _ in plans for key, unit in plan.units.items()}
        to_run = {unit.key for _, missing in plans for unit in missing}
        named = sum(plan.count("pretrain") for plan, _ in plans)
        distinct = sum(unit.kind == "pretrain" for unit in units.values())
        console.print(
            f"together: {sum(len(plan.cells) for plan, _ in plans)} cells, {len(units)} distinct "
            f"units, {named} pre-trainings named, {distinct} distinct, {len(to_run)} units to run.",
            highlight=False,
            soft_wrap=True,
        )


def _confirm(plan: Plan, asked: Resources, yes: bool) -> None:
    """The paper's scale without a GPU takes months: ask whoever sits there."""
    if yes or plan.preset != "paper" or asked.gpus_per_trial or not sys.stdin.isatty():
        return
    typer.confirm("The paper preset without --gpus-per-trial trains on the CPU. Go on?", abort=True)
