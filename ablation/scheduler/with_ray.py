"""Runs what the store does not hold yet as Ray Tune trials. Ray schedules; the store decides.

A pre-training and the evaluations that need it are trials of one Tune experiment: the searcher
hands out a unit as soon as the units that it needs are done.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.events import Waiting
from ablation.interrupts import Interrupt
from ablation.scheduler.garbage import no_collection
from ablation.scheduler.nodes import check_nodes
from ablation.scheduler.queue import Driver, Queue, UnitSource
from ablation.scheduler.resources import check_fits
from ablation.scheduler.session import check_session, cluster, leaving_quickly, restarting
from ablation.store.mirror import mirror_at
from ablation.store.unit_claims import Claims
from ablation.units import Unit
from skelcon.config import Json

PAUSE_SECONDS = 1.0
"""How long to wait before the queue is asked again."""


def run_with_ray(units: list[Unit], driver: Driver, source: UnitSource | None = None) -> bool:
    """Run ``units``, each after the units it needs, and record failures in the store.

    Args:
        units: what is missing, in any order.
        driver: the command that runs them.
        source: gives further units.

    Returns:
        False if it was interrupted before all units had been tried.

    Raises:
        UserError: if the cluster can never give what a trial requests.
    """
    left = {unit.key: unit for unit in units}
    with leaving_quickly(driver.interrupt):
        return restarting(
            # (A signal may have come while Ray failed to start; then it is not started again.)
            lambda: not driver.interrupt.requested and _run_session(left, driver, source),
            lambda reason: driver.reporter.report(Waiting(reason)),
        )


def _run_session(left: dict[str, Unit], driver: Driver, source: UnitSource | None) -> bool:
    """As :func:`run_with_ray`, with one Ray; raises ``SessionLostError`` if it dies.

    Units that have ended are removed from ``left``, so that each is reported once.
    """
    store, resources = driver.store, driver.resources
    with (
        warnings.catch_warnings(),
        # Deleted when Ray has ended: until then Tune may write to it.
        tempfile.TemporaryDirectory(prefix="skelcon-tune-", ignore_cleanup_errors=True) as scratch,
        cluster(resources, len(left) + (source.upcoming if source else 0)) as nodes,
        Claims(store, driver.heartbeat) as claims,
    ):
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
        check_fits(resources, nodes)
        if driver.interrupt.requested:
            return False
        # Imported here: Tune takes a second, in which Ray starts its workers.
        with no_collection():
            from ablation.scheduler.experiment import run_experiment

        space = _space(driver, check_nodes(store, resources, nodes))
        queue = Queue(list(left.values()), driver, claims, source)
        mirror = mirror_at(resources.mirror) if resources.mirror else None
        slots = resources.slots_of(nodes) if source is not None else None

        def asked(config: Mapping[str, Any]) -> dict[str, float]:
            return resources.of_trial(config["gpu"], nodes, alone=config["alone"])

        try:
            number = 0
            while True:
                paused = run_experiment(
                    queue,
                    driver,
                    mirror,
                    slots,
                    space=space,
                    asked=asked,
                    scratch=Path(scratch, str(number)),
                )
                if not paused or not _wait(queue, driver.interrupt):
                    return queue.exhausted
                number += 1
        finally:
            for key in (*queue.finished, *queue.failed):
                left.pop(key, None)


def _space(driver: Driver, node: str | None) -> Json:
    """What every trial's configuration holds (:class:`UnitTrainable`)."""
    resources = driver.resources
    return {
        "results": str(driver.store.results.resolve()),
        "mirror": resources.mirror,
        "data": {key: str(path.resolve()) for key, path in driver.data.items()},
        "node": node,
        "plugins": list(resources.plugins),
        "directory": str(Path.cwd()),  # where the plugins were found here
        "threads": max(1, int(resources.cpus_per_trial)),
        "checkpoints": resources.checkpoints,
    }


def _wait(queue: Queue, interrupt: Interrupt) -> bool:
    """Wait until there is a unit to run; False if none is left, or after a signal."""
    while not queue.exhausted and not interrupt.wait(PAUSE_SECONDS):
        check_session()
        with contextlib.suppress(OSError):
            assignment = queue.ask()
            if assignment is not None:
                queue.stop(assignment.unit)
                return True
    return False
