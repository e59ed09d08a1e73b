"""``skelcon-ablate unit``: one unit of a study, or some, in this process and without Ray."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ablation.cli.request import StudyRequest, read_request
from skelcon.cli.terminal import echo
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.plan import Plan
    from ablation.store import Store
    from ablation.units import Unit
    from skelcon.config import Json


KEYS = "Keys, or the first digits of them."
COMMAND = "The study's command as you would run it."
_PERCENT = ("top1", "contrast_top1", "nn_top1", "chance", "nmi", "ari")
"""Metrics whose names start so are printed in percent."""


def unit(
    keys: Annotated[str, typer.Argument(metavar="KEY[,KEY...]", help=KEYS)],
    words: Annotated[list[str], typer.Argument(metavar="STUDY [OPTIONS]", help=COMMAND)],
) -> None:
    """Run units of a study in this process, without Ray, such as one job of an array.

    Units that they need and that are missing are run first; a unit that another
    process works on is waited for. Finished units are not run again. The keys are
    listed by skelcon-ablate plan STUDY --json; skelcon-ablate cluster slurm
    --array prints the script of an array.

    \b
    skelcon-ablate unit 3f2a9c01 augmentations --data PATH --seeds 3
    """
    from ablation.job import Job
    from ablation.monitor.output import output as open_output
    from ablation.running import RunOptions, run_job
    from ablation.store import Store

    request = read_request(words)
    check_without_ray(request)
    as_json, name = request.output.as_json, request.study.name
    with open_output(as_json=as_json, verbose=True, study=name) as output:
        store = Store(request.output.results)
        plan = request.make_plan(output.console)
        chosen = find_units(plan, keys)
        needed = {key: plan.units[key] for each in chosen for key in (*each.needs, each.key)}
        before = done_before(chosen, store)

        def report() -> bool:
            done = [each for each in chosen if store.is_done(each.key)]
            if as_json:
                typer.echo(json.dumps([document(each, store) for each in done], indent=1))
            else:
                print_results(done, store, before)
            return len(done) < len(chosen)

        job = Job.of_plan(plan, store.results / name, needed)
        options = RunOptions(request.resources, in_process=True)
        if code := run_job(job, store, options, output, report):
            raise typer.Exit(code)


def check_without_ray(request: StudyRequest) -> None:
    """Raise :class:`UserError` for an option that only a run with Ray, or a table, can use."""
    from ablation.store import Store

    Store(request.output.results)  # refuses a URI
    given = {
        "--track": request.output.trackers or None,
        "--address": request.resources.address,
        "--max-concurrent": request.resources.max_concurrent,
        "--format": request.output.formats,
        "--metric": request.output.metric,
        "--name": request.output.name,
    }
    for option, value in given.items():
        if value is not None:
            raise UserError(
                f"{option}: leave it out here, it is for the study's own command (units run here "
                "one after another, without Ray and without a table)"
            )


def find_units(plan: Plan, keys: str) -> list[Unit]:
    """The units of ``plan`` with these keys, or first digits of keys, separated by commas."""
    chosen = []
    for text in (each.strip() for each in keys.split(",")):
        found = [unit for key, unit in plan.units.items() if key.startswith(text)]
        if len(found) != 1 or not text:
            why = f"{len(found)} keys start with it" if found else "no key starts with it"
            raise UserError(
                f"unit '{text}' of study '{plan.study.name}' on {plan.dataset.name}: {why} (of "
                f"{len(plan.units)}); give the same options as for its plan"
            )
        chosen += found
    return chosen


# -- results of single units, as ``skelcon pretrain`` and ``evaluate`` print them -----------------


def done_before(units: Sequence[Unit], store: Store) -> set[str]:
    """The keys of the units that are done already."""
    keys = (unit.key for unit in units)
    return {key for key in keys if store.is_done(key) and store.damage(key) is None}


def document(unit: Unit, store: Store) -> Json:
    """A finished unit, for scripts."""
    directory = str(store.directory(unit.key))
    return {"unit": unit.key, "directory": directory, "result": _shown(unit, store)}


def print_results(units: Sequence[Unit], store: Store, before: set[str]) -> None:
    """Finished units, for people; ``before``: the keys of units that were done already."""
    for unit in units:
        echo(f"{unit.label}{' (done before)' if unit.key in before else ''}")
        for name, value in _shown(unit, store).items():
            percent = name.startswith(_PERCENT)
            echo(f"  {name:<14} {f'{100 * value:.1f} %' if percent else f'{value:g}'}")
        echo(f"  in {store.directory(unit.key)}")


def _shown(unit: Unit, store: Store) -> Json:
    """A unit's result; the top-1 of a pre-training, among its negatives, is ``contrast_top1``."""
    result = store.result(unit.key)
    if unit.kind != "pretrain":
        return result
    return {("contrast_top1" if name == "top1" else name): value for name, value in result.items()}
