"""The one run sequence: what studies, single units, searches and confirmations all go through.

What is missing -> how many GPUs a trial takes -> cost and disk -> run, shown and tracked ->
report -> exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ablation.costs import Cost, CostModel, check_disk, has_room, resolve_gpus
from ablation.events import Reporters
from ablation.interrupts import graceful
from ablation.job import Job
from ablation.monitor.output import Output
from ablation.scheduler.garbage import no_collection
from ablation.scheduler.queue import Driver
from ablation.scheduler.resources import Resources
from ablation.store import Store
from ablation.tracking import Tracking
from ablation.units import Unit
from skelcon.cli.console import INTERRUPTED
from skelcon.cli.terminal import line, styled

if TYPE_CHECKING:
    from ablation.store.mirror import Mirror

STARTING = "Ray and its workers start"
RESUME = "Interrupted. Run the same command to resume."


@dataclass(frozen=True)
class RunOptions:
    """How a job is run.

    Attributes:
        resources: what a trial takes, and what is done about failures.
        trackers: beside TensorBoard.
        in_process: one unit after another in this process, without Ray.
        confirm: asked before anything runs; may abort.
    """

    resources: Resources
    trackers: tuple[str, ...] = ()
    in_process: bool = False
    confirm: Callable[[Resources], None] = lambda resources: None


def run_job(
    job: Job,
    store: Store,
    options: RunOptions,
    output: Output,
    report: Callable[[], bool],
    mirror: Mirror | None = None,
) -> int:
    """Run what is missing of ``job``.

    Args:
        job: what is wanted.
        store: where its units are.
        options: how to run it.
        output: where the command says what it does.
        report: shows and writes what there is then; gives whether a unit has failed.
        mirror: the URI at which the results are kept, if they are.

    Returns:
        The exit code: 0 done, 1 some unit failed, 130 interrupted.

    Raises:
        UserError: if the disk is too small, or no node can ever start a trial.
    """
    resources = options.resources
    place = job.directory.relative_to(store.results).as_posix()
    if mirror is not None:
        resources = replace(resources, mirror=mirror.uri)
        mirror.fetch_records(place)
    missing = missing_units(job.units, store, output, repair=True)
    costs = CostModel.of(store, job.datasets, resources)
    expected = [*missing, *(job.source.expected if job.source is not None else ())]
    costs = resolve_gpus(costs, expected, output.say)
    cost = costs.cost(expected, count=not has_room(costs, expected)) if expected else None
    if cost is not None:
        check_disk(store.results, cost)
    store.check_writable()
    output.announce(job, missing, cost)
    whole = True
    with Tracking(job, store, options.trackers, output.console) as tracking:
        if cost is not None:
            options.confirm(costs.resources)
            whole = _run(job, missing, store, costs.resources, cost, options, output, tracking)
            if not whole:
                tracking.drop()
        # The trackers may take their time: nobody waits for them to see the result.
        failed = report()
    if mirror is not None:
        mirror.push_all(job.units, place)
        output.say(f"Kept at {mirror.uri}")
    if not whole:
        output.say(RESUME)
        return INTERRUPTED
    return int(failed)


def _run(
    job: Job,
    missing: list[Unit],
    store: Store,
    resources: Resources,
    cost: Cost,
    options: RunOptions,
    output: Output,
    tracking: Tracking,
) -> bool:
    """Run ``missing``, shown and tracked; False if it was interrupted."""
    waiting = STARTING
    if options.in_process:
        cost, waiting = replace(cost, slots=1), ""
    with (
        output.watching(job, missing, store, cost, waiting) as (view, heartbeat),
        graceful(output.acknowledge) as interrupt,
    ):
        data = {each.fingerprint: each.path for each in job.datasets}
        reporter = Reporters(view, tracking)
        driver = Driver(store, data, resources, reporter, interrupt, heartbeat)
        # Imported here: torch, and Ray, take seconds.
        if options.in_process:
            from ablation.scheduler.in_process import run_in_process

            return run_in_process(missing, driver, job.weights)
        resources.stay_on_loopback()
        with no_collection():
            from ablation.scheduler.with_ray import run_with_ray

        return run_with_ray(missing, driver, job.source)


def missing_units(
    units: Mapping[str, Unit], store: Store, output: Output, *, repair: bool
) -> list[Unit]:
    """Those of ``units`` that are not done, or whose files are damaged.

    A damaged unit is reported and, with ``repair``, moved to ``damaged/``. What a missing unit
    needs is checked thoroughly.
    """
    done = {key for key in units if store.is_done(key)}
    needed = {key for key, unit in units.items() if key not in done for key in unit.needs}
    for key in sorted(done):
        damage = store.damage(key, thorough=key in needed)
        if damage is None:
            continue
        done.remove(key)
        text = f"warning: unit {key} is damaged ({damage}) and runs again"
        if repair and (moved := store.move_damaged(key, thorough=key in needed)):
            text += f", it was moved to {moved}"
        line(output.console, styled(text, "yellow"))
    return [unit for key, unit in units.items() if key not in done]
