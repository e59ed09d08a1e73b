"""What a study's command, ``plan`` and ``table`` do: run what is missing, print and export."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ablation.catalogue import known_studies
from ablation.cli.options import FormatOptions, ResultsOptions, RunOutputOptions, completes
from ablation.cli.request import StudyRequest, open_results
from skelcon.cli.flatten import with_options
from skelcon.cli.terminal import PlainConsole, line
from skelcon.errors import cannot_write
from skelcon.printable import printable

if TYPE_CHECKING:
    from ablation.monitor.output import Output
    from ablation.plan import Plan
    from ablation.running import RunOptions
    from ablation.scheduler.resources import Resources
    from ablation.store import Store
    from skelcon.presets import Preset

TableArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A table's name, as list --results shows it (a study's, if it is the only one).",
        autocompletion=completes(known_studies),
    ),
]
DEVICES = ("nvidia[0-9]*", "nvidiactl", "dxg", "kfd", "mxcd", "dri/renderD*")
"""Files in /dev of every kind of GPU that Ray knows."""


def run_study(request: StudyRequest) -> None:
    """Plan, run what is missing, print and export. Raises ``typer.Exit`` with 1 or 130."""
    from ablation.job import Job
    from ablation.monitor.output import output as open_output
    from ablation.report.questions import place_of
    from ablation.running import run_job

    asked, planning, name = request.output, request.planning, request.study.name
    as_json, events = asked.as_json, not planning.plan
    with open_output(as_json=as_json, verbose=asked.verbose, events=events, study=name) as output:
        store, mirror = open_results(asked.results)
        plan = request.make_plan(output.console)
        if mirror is not None:
            mirror.fetch(plan.units)
        if planning.plan:
            show_plans([plan], store, request.resources, output, as_json, planning.probe)
            return
        if not all(map(store.is_done, plan.units)):
            check_machine(request.resources)
        place = place_of(plan, store.results, asked.name)
        if place.message:
            output.say(place.message)
        whole = request.grown(plan, place.earlier, output.console)
        job = Job.of_plan(plan, place.directory)

        def report() -> bool:
            from ablation.report.from_results import save_plan

            save_plan(whole, store.results, job.directory)
            return show_table(output.console, whole, store, job.directory, asked, as_json=as_json)

        options = run_options(request.resources, asked, plan.preset)
        if code := run_job(job, store, options, output, report, mirror):
            raise typer.Exit(code)


def show_plans(
    plans: Sequence[Plan],
    store: Store,
    resources: Resources,
    output: Output,
    as_json: bool,
    probe: int | None,
) -> None:
    """Print what would run of each plan, and its cost."""
    from ablation.costs import CostModel, nodes_of_cluster, resolve_gpus
    from ablation.costs.view import show_plan
    from ablation.running import missing_units

    found = [(plan, missing_units(plan.units, store, output, repair=False)) for plan in plans]
    datasets = [dataset for plan in plans for dataset in plan.datasets]
    to_run = [unit for _, units in found for unit in units]
    model = CostModel.of(store, datasets, resources, nodes_of_cluster(resources))
    model = resolve_gpus(model, to_run, output.say)
    show_plan(output.console, found, as_json, model, probe)


# -- what is refused or asked before anything runs --------------------------------------------


def check_machine(resources: Resources) -> None:
    """Raise :class:`UserError` if no trial could ever start on this machine.

    Ray would say it after seconds. Where it may have more than is seen here (a cluster, variables
    of the environment, a device whose driver only Ray asks), it is Ray that answers.
    """
    from ablation.costs import AutoGpus
    from ablation.scheduler.resources import check_fits

    ray = sys.modules.get("ray")
    if resources.address is not None or "RAY_OVERRIDE_RESOURCES" in os.environ:
        return
    if ray is not None and ray.is_initialized():
        return
    any_number = isinstance(resources.gpus_per_trial, AutoGpus) or _may_have_gpus()
    cpus = float(os.cpu_count() or math.inf)
    check_fits(resources, [{"CPU": cpus, "GPU": math.inf if any_number else 0.0}])


def _may_have_gpus() -> bool:
    """Whether Ray could find a GPU; without importing what would ask the driver."""
    if sys.platform != "linux" or os.environ.get("CUDA_VISIBLE_DEVICES"):
        return True
    return any(any(Path("/dev").glob(pattern)) for pattern in DEVICES)


def run_options(resources: Resources, asked: RunOutputOptions, preset: Preset) -> RunOptions:
    """How units run with Ray; the paper's scale on the CPU is asked about."""
    from ablation.running import RunOptions

    return RunOptions(
        resources,
        asked.trackers,
        confirm=lambda resources: confirm_cpu(preset, resources, asked.yes),
    )


def confirm_cpu(preset: Preset, resources: Resources, yes: bool) -> None:
    """Ask for confirmation on a terminal: the paper's scale takes months without a GPU."""
    if yes or not preset.at_paper_scale or resources.gpus_per_trial or not sys.stdin.isatty():
        return
    question = f"The {preset} preset without --gpus-per-trial trains on the CPU. Continue?"
    typer.confirm(printable(question), abort=True, err=True)  # standard output may be a document's


# -- the table --------------------------------------------------------------------------------


@with_options
def table(
    study: TableArgument,
    output: ResultsOptions,
    files: FormatOptions,
) -> None:
    """Make a study's table and its files again from the results; needs no data, runs nothing.

    After a merge, on another machine, or with other files:

    \b
    skelcon-ablate table augmentations --results DIR
    """
    from ablation.report.from_results import load_plan, save_plan
    from ablation.report.questions import place_of
    from ablation.store import Store

    store = Store(output.results)
    name = table_name(study)
    plan = load_plan(store.results, name)
    files.style.check(plan.study)
    if files.metric is not None:
        plan = plan.showing(files.metric)
    place = place_of(plan, store.results, base=name)
    console = PlainConsole(stderr=output.as_json)
    if place.earlier is None:  # another number of the same units
        save_plan(plan, store.results, place.directory)
    if show_table(console, plan, store, place.directory, files, as_json=output.as_json):
        raise typer.Exit(1)


def show_table(
    console: Console,
    plan: Plan,
    store: Store,
    directory: Path,
    files: FormatOptions,
    *,
    as_json: bool,
) -> bool:
    """Aggregate, write the files, and print; whether a cell has failed.

    With ``as_json`` one JSON document is printed on standard output in place of the table.
    """
    from ablation.report import cells_frame, display, export, make_table

    frame = cells_frame(plan, store)
    made = make_table(plan, frame, store)
    provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
    formats = export.FORMATS if files.formats is None else files.formats
    try:
        written = export.export(made, frame, provenance, directory, formats, files.style)
    except OSError as error:
        raise cannot_write(directory, error) from None
    if as_json:
        typer.echo(export.to_json(made, frame, provenance))
    else:
        display.print_table(console, made, files.style)
        names = ", ".join(path.name for path in written)
        line(console, f"Written to {directory}: {names}")
    return bool((frame["state"] == "failed").any())


def table_name(text: str) -> str:
    """The name of a table, or of that of a study's file."""
    return Path(text).stem if text.endswith((".yaml", ".yml")) else text
