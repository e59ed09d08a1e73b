"""A study's command, ``plan`` and ``table``: run what is missing, print and export."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.console import Console

from ablation.cli.options import ResultsOptions, RunOutputOptions, TableArgument
from ablation.cli.request import StudyRequest
from ablation.cli.table_options import FormatOptions
from skelcon.cli.flatten import with_options
from skelcon.cli.terminal import PlainConsole, line, say
from skelcon.errors import cannot_write
from skelcon.printable import printable

if TYPE_CHECKING:
    import pandas as pd

    from ablation.monitor.output import Output
    from ablation.plan import Plan
    from ablation.report.table import Table
    from ablation.running import RunOptions
    from ablation.scheduler.resources import Resources
    from ablation.store import Store
    from ablation.store.mirror import Mirror
    from skelcon.config import Json
    from skelcon.presets import Preset

DEVICES = ("nvidia[0-9]*", "nvidiactl", "dxg", "kfd", "mxcd", "dri/renderD*")
"""Files in /dev of every kind of GPU that Ray knows."""


def run_study(request: StudyRequest) -> None:
    """Plan, run what is missing, print and export. Raises ``typer.Exit`` with 1 or 130."""
    from ablation.monitor.output import output as open_output

    asked, planning, name = request.output, request.planning, request.study.name
    as_json, events = asked.as_json, not planning.plan
    with open_output(as_json=as_json, verbose=asked.verbose, events=events, study=name) as output:
        plan, store, mirror = request.open_plan(output.console)
        if planning.plan:
            show_plans([plan], store, request.resources, output, as_json, planning.probe)
            return

        def report(whole: Plan, directory: Path) -> bool:
            return show_table(output.console, whole, store, directory, asked, as_json=as_json)

        if code := run_plan(request, plan, store, mirror, output, report):
            raise typer.Exit(code)


def run_plan(
    request: StudyRequest,
    plan: Plan,
    store: Store,
    mirror: Mirror | None,
    output: Output,
    report: Callable[[Plan, Path], bool],
    *,
    in_process: bool = False,
) -> int:
    """Run what is missing of a request's plan, then report its table.

    Args:
        request: the request.
        plan, store, mirror: what :meth:`StudyRequest.open_plan` returned.
        output: where messages and progress go.
        report: shows a table, given its plan (with the rows and seeds that the table had before)
            and its directory; returns whether a cell has failed.
        in_process: without Ray, one unit after another.

    Returns:
        The exit code.
    """
    from ablation.job import Job
    from ablation.report.from_results import save_plan
    from ablation.report.questions import place_of
    from ablation.running import RunOptions, run_job

    if in_process:
        options = RunOptions(request.resources, in_process=True)
    else:
        options = run_options(request.resources, request.output, plan.preset)
        if not all(map(store.is_done, plan.units)):
            check_machine(request.resources)
    place = place_of(plan, store.results, request.output.name)
    if place.message:
        output.say(place.message)
    whole = request.extended(plan, place.earlier, output.console)

    def save_and_report() -> bool:
        # Another command may have written a table there while this one ran.
        now, shown = place_of(plan, store.results, request.output.name), whole
        if now.earlier != place.earlier:
            shown = request.extended(plan, now.earlier, output.console)
        if now.directory != place.directory:
            output.say(now.message)
        save_plan(shown, store.results, now.directory)
        return report(shown, now.directory)

    job = Job.of_plan(plan, place.directory)
    return run_job(job, store, options, output, save_and_report, mirror)


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


# -- checks before anything runs --------------------------------------------------------------


def check_machine(resources: Resources) -> None:
    """Raise :class:`UserError` if no trial could ever start on this machine.

    Ray itself takes seconds to report it. Where Ray may have more than can be seen here (a cluster,
    environment variables, a device whose driver only Ray queries), the check is left to Ray.
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
    """Whether Ray could find a GPU, decided without importing a library that queries drivers."""
    if sys.platform != "linux" or os.environ.get("CUDA_VISIBLE_DEVICES"):
        return True
    return any(any(Path("/dev").glob(pattern)) for pattern in DEVICES)


def run_options(resources: Resources, asked: RunOutputOptions, preset: Preset) -> RunOptions:
    """How units run with Ray; asks for confirmation of the paper's scale on the CPU."""
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
    typer.confirm(printable(question), abort=True, err=True)  # standard output may be JSON


# -- the table --------------------------------------------------------------------------------


@with_options
def table(
    study: TableArgument,
    output: ResultsOptions,
    files: FormatOptions,
) -> None:
    """Make a table and its files again from the results; needs no data, runs nothing.

    After a merge, on another machine, or with another style:

    \b
    skelcon-ablate table augmentations --results DIR
    """
    from ablation.report.from_results import load_plan, save_plan
    from ablation.report.questions import place_of
    from ablation.store import Store
    from ablation.study import whole_study

    store = Store(output.results)
    name = table_name(study)
    plan = load_plan(store.results, name)
    files.style.check(plan.study, whole_study(plan.study))
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

    With ``as_json`` one JSON document is printed on standard output in place of the table. Where
    the files cannot be written the table is printed all the same.
    """
    from ablation.report import display
    from ablation.report.export import to_json

    found = Aggregated.of(plan, store)
    try:
        written = found.write(directory, files)
    finally:
        if as_json:
            typer.echo(to_json(found.table, found.cells, found.provenance))
        else:
            display.print_table(console, found.table, files.style)
    if not as_json:
        line(console, f"Written to {directory}:")
        say(console, ", ".join(path.name for path in written))
    return bool((found.cells["state"] == "failed").any())


class Aggregated(NamedTuple):
    """A table, its cells, and the provenance of their units."""

    table: Table
    cells: pd.DataFrame
    provenance: list[Json]

    @classmethod
    def of(cls, plan: Plan, store: Store) -> Aggregated:
        """Aggregate what the store has."""
        from ablation.report import cells_frame, make_table

        cells = cells_frame(plan, store)
        provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
        return cls(make_table(plan, cells, store), cells, provenance)

    def write(self, directory: Path, files: FormatOptions) -> list[Path]:
        """Write the table's files."""
        from ablation.report.export import FORMATS, export

        formats = FORMATS if files.formats is None else files.formats
        try:
            return export(self.table, self.cells, self.provenance, directory, formats, files.style)
        except OSError as error:
            raise cannot_write(directory, error) from None


def table_name(text: str) -> str:
    """The name of a table; for the path of a study's file, the study's name."""
    return Path(text).stem if text.endswith((".yaml", ".yml")) else text
