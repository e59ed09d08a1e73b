"""``skelcon-ablate unit``: one unit of a study, or some, in this process and without Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import typer

from ablation.cli import study_command
from ablation.cli.study_command import StudyCommand
from ablation.cost import check_disk
from ablation.cost.gpus import settled
from ablation.cost.view import Costing
from ablation.live.audience import Audience, audience
from ablation.missing import missing_units, run_missing
from ablation.plan import Plan, Unit
from ablation.store import Store
from ablation.tracking import Tracking
from skelcon.cli.console import INTERRUPTED
from skelcon.errors import UserError


def unit(
    context: typer.Context,
    keys: Annotated[
        str, typer.Argument(metavar="KEY[,KEY...]", help="Keys, or their first digits.")
    ],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY [OPTIONS]...", help="The study's command, as you would run it."
        ),
    ],
) -> None:
    """Run units of a study in this process, without Ray, such as a job of an array.

    What a unit needs and nobody has done is done first; what another process works on is waited
    for. Units that are done are not run again. skelcon-ablate plan STUDY --json lists the keys, and
    skelcon-ablate cluster slurm --array prints the script of an array.

    \b
    skelcon-ablate unit 3f2a9c01 augmentations --data PATH --seeds 3 --results SHARED/results
    """
    asked = study_command.read(context, words)
    asked.check_without_ray()
    as_json = asked.options["as_json"]
    with audience(as_json=as_json, verbose=True, study=asked.study.name) as seen_by:
        code = _run(asked, keys, seen_by, as_json)
        if code:
            raise typer.Exit(code)


def _run(asked: StudyCommand, keys: str, seen_by: Audience, as_json: bool) -> int:
    """Run what of these units is missing, and print what all came to; the exit code."""
    resources, store, console = asked.resources, asked.store, seen_by.console
    plan = asked.plan(console)
    chosen = find_units(plan, keys)
    needed = {key: plan.units[key] for unit in chosen for key in (*unit.needs, unit.key)}
    part = replace(plan, units=needed)
    missing = missing_units(part.units, store, console, mend=True)
    resources = settled(resources, store, [plan], missing, console.print)
    cost = Costing.of(store, [plan], resources).cost(missing) if missing else None
    if cost is not None:
        check_disk(store.results, cost)
    store.check_writable()
    if seen_by.stream is not None:
        seen_by.begin(part, missing, cost)
    whole = True
    with Tracking(part, store, store.results / plan.study.name, (), console) as tracking:
        if cost is not None:
            whole = run_missing(part, missing, store, resources, seen_by, cost, tracking, here=True)
    print_results(chosen, store, {unit.key for unit in missing}, as_json)
    if not whole:
        console.print("Interrupted. The same command goes on from here.")
        return INTERRUPTED
    return 0 if all(store.is_done(unit.key) for unit in chosen) else 1


def find_units(plan: Plan, keys: str) -> list[Unit]:
    """The units of ``plan`` whose keys begin so.

    Raises:
        UserError: if one begins so that there is none, or several.
    """
    chosen = []
    for text in (each.strip() for each in keys.split(",")):
        found = [unit for key, unit in plan.units.items() if key.startswith(text)]
        if len(found) != 1 or not text:
            why = f"{len(found)} keys begin so" if found else "no key begins so"
            raise UserError(
                f"unit '{text}' of study '{plan.study.name}' on {plan.dataset.name}: {why}; the "
                f"options have to be those of its plan ({len(plan.units)} units)"
            )
        chosen.append(found[0])
    return chosen


def print_results(units: list[Unit], store: Store, run: set[str], as_json: bool) -> None:
    """What the units that are done came to.

    Args:
        units: which.
        store: where they are.
        run: the keys of those that were not done before.
        as_json: as a JSON document.
    """
    done = [unit for unit in units if store.is_done(unit.key)]
    if as_json:
        typer.echo(json.dumps([document(unit, store) for unit in done], indent=1))
        return
    for unit in done:
        say_result(unit, store, again=unit.key not in run)


def document(unit: Unit, store: Store) -> dict[str, Any]:
    """A unit that is done, for scripts."""
    place = str(store.directory(unit.key))
    return {"unit": unit.key, "directory": place, "result": store.result(unit.key)}


def say_result(unit: Unit, store: Store, *, again: bool) -> None:
    """A unit that is done, for people."""
    typer.echo(f"{unit.label}{' (done before)' if again else ''}")
    for name, value in store.result(unit.key).items():
        shown = f"{100 * value:.1f} %" if name.startswith("top1") else f"{value:g}"
        typer.echo(f"  {name:<12} {shown}")
    typer.echo(f"  in {store.directory(unit.key)}")
