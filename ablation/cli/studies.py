"""What a study's command and ``plan`` do: plan, run what is missing, print and export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ablation.cli.machine import check_machine
from ablation.cli.opening import open_results
from ablation.cli.request import StudyRequest

if TYPE_CHECKING:
    from ablation.live.output import Output
    from ablation.plan import Plan
    from ablation.runner.resources import Resources
    from ablation.store import Store


def run_study(request: StudyRequest) -> None:
    """Plan, run what is missing, print and export. Raises ``typer.Exit`` with 1 or 130."""
    from ablation.live.output import output as open_output

    output, only_plan = request.output, request.planning.plan
    if not only_plan:
        check_machine(request.resources)
    with open_output(
        as_json=output.as_json,
        verbose=output.verbose,
        events=not only_plan,
        study=request.study.name,
    ) as seen:
        if only_plan:
            store, mirror = open_results(output.results)
            plan = request.make_plan(seen.console)
            if mirror is not None:
                mirror.fetch(plan.units)
            probe = request.planning.probe
            show_plans([plan], store, request.resources, seen, output.as_json, probe)
        elif code := _run(request, seen):
            raise typer.Exit(code)


def _run(request: StudyRequest, output: Output) -> int:
    """Run the study; the exit code."""
    from ablation.cli.tables import show_table
    from ablation.run import Job, RunOptions, run_job
    from ablation.tables.from_results import save_plan

    store, mirror = open_results(request.output.results)
    plan = request.make_plan(output.console)
    if mirror is not None:
        mirror.fetch(plan.units)
    job = Job.of_plan(plan, store.results / plan.study.name)

    def report() -> bool:
        save_plan(plan, store.results, job.directory)
        return show_table(
            output.console, plan, store, request.output.formats, request.output.as_json
        )

    options = RunOptions(
        request.resources,
        request.output.trackers,
        confirm=lambda resources: confirm_cpu(plan.preset, resources, request.output.yes),
    )
    return run_job(job, store, options, output, report, mirror)


def show_plans(
    plans: Sequence[Plan],
    store: Store,
    resources: Resources,
    output: Output,
    as_json: bool,
    probe: int | None,
) -> None:
    """Print what would run of each plan, and its cost."""
    from ablation.cost import CostModel, nodes_of_cluster, resolve_gpus
    from ablation.cost.view import show_plan
    from ablation.run import missing_units

    found = [(plan, missing_units(plan.units, store, output, repair=False)) for plan in plans]
    datasets = [dataset for plan in plans for dataset in plan.datasets]
    to_run = [unit for _, units in found for unit in units]
    model = CostModel.of(store, datasets, resources, nodes_of_cluster(resources))
    model = resolve_gpus(model, to_run, output.say)
    show_plan(output.console, found, as_json, model, probe)


def confirm_cpu(preset: str, resources: Resources, yes: bool) -> None:
    """Ask whoever sits at a terminal: the paper's scale takes months without a GPU."""
    if yes or preset != "paper" or resources.gpus_per_trial or not sys.stdin.isatty():
        return
    question = "The paper preset without --gpus-per-trial trains on the CPU. Continue?"
    typer.confirm(question, abort=True, err=True)  # standard output may be a document's
