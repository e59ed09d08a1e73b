"""The one run sequence for studies, single units, searches and confirmations.

Missing units -> GPUs of a trial -> cost and disk -> run, shown and tracked -> report -> exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ablation.costs import Cost, CostModel, check_disk, has_room, resolve_gpus
from ablation.events import Reporters
from ablation.interrupts import Interrupt, graceful
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
    from skelcon.data import SkeletonDataset

STARTING = "Ray and its workers start"
RESUME = "Interrupted. Run the same command to resume."


@dataclass(frozen=True)
class RunOptions:
    """How a job is run.

    Attributes:
        resources: what a trial requests, and how failures are handled.
        trackers: names; TensorBoard is always written.
        in_process: one unit after another in this process, without Ray.
        confirm: called before anything runs; may abort.
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
    """Run the missing units of ``job``.

    Args:
        job: the units, and what they are for.
        store: where its units are.
        options: how to run it.
        output: where the command prints.
        report: shows and writes the results; gives whether a unit has failed.
        mirror: of results that are kept at a URI.

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
    expected = [*missing, *(job.source.expected if job.source is not None else ())]
    resources, cost = resources_and_cost(expected, job.datasets, store, resources, output)
    store.check_writable()
    output.announce(job, missing, cost)
    if cost is not None:
        options.confirm(resources)
    whole = True
    with Tracking(job, store, options.trackers, output.console) as tracking:
        if cost is not None:
            whole, interrupt = _run(job, missing, store, resources, cost, options, output, tracking)
            if interrupt.requested:
                tracking.drop(interrupt)
        # Before the trackers are waited for, which may take long.
        failed = report()
    if mirror is not None:
        mirror.push_all(job.units, place)
        output.say(f"Kept at {mirror.uri}")
    if whole:
        return int(failed)
    output.say(RESUME)
    return INTERRUPTED


def _run(
    job: Job,
    missing: list[Unit],
    store: Store,
    resources: Resources,
    cost: Cost,
    options: RunOptions,
    output: Output,
    tracking: Tracking,
) -> tuple[bool, Interrupt]:
    """Run ``missing``, shown and tracked.

    Returns:
        Whether all of it was tried, and whether a signal has come meanwhile.
    """
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

            whole = run_in_process(missing, driver, job.weights)
        else:
            resources.stay_on_loopback()
            with no_collection():
                from ablation.scheduler.with_ray import run_with_ray

            whole = run_with_ray(missing, driver, job.source)
    return whole, interrupt


def resources_and_cost(
    units: Sequence[Unit],
    datasets: Iterable[SkeletonDataset],
    store: Store,
    resources: Resources,
    output: Output,
) -> tuple[Resources, Cost | None]:
    """What a trial takes, with a number in place of ``auto``, and what ``units`` cost together.

    The cost is None without units.

    Raises:
        UserError: if the disk is too small, or a batch cannot be divided among the GPUs.
    """
    costs = resolve_gpus(CostModel.of(store, datasets, resources), units, output.say)
    if not units:
        return costs.resources, None
    cost = costs.cost(units, count=not has_room(costs, units))
    check_disk(store.results, cost)
    return costs.resources, cost


def missing_units(
    units: Mapping[str, Unit], store: Store, output: Output, *, repair: bool
) -> list[Unit]:
    """The ``units`` that are not done, or whose files are damaged.

    A damaged unit is reported and, with ``repair``, moved to ``damaged/``. Units that a missing one
    needs are checked thoroughly.
    """
    done = {key for key in units if store.is_done(key)}
    needed = {key for key, unit in units.items() if key not in done for key in unit.needs}
    for key in sorted(done):
        damage = store.damage(key, thorough=key in needed)
        if damage is None:
            continue
        done.remove(key)
        text = f"warning: unit {key} is damaged ({damage}) and will run again"
        if repair and (moved := store.move_damaged(key, thorough=key in needed)):
            text += f"; it was moved to {moved}"
        line(output.console, styled(text, "yellow"))
    return [unit for key, unit in units.items() if key not in done]
