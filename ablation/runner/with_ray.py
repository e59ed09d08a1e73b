"""Runs what the store does not hold yet as Ray Tune trials. Ray schedules; the store decides.

A pre-training and the evaluations that need it are trials of one Tune experiment: the searcher
hands out a unit as soon as the units that it needs are done.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# isort: off
from ablation.runner.session import (  # sets what Ray reads, then imports it
    check_session,
    cluster,
    restarting,
)
# isort: on

from ray import tune

from ablation.events import Event, Failed, Finished, Reporter, Waiting
from ablation.interrupts import Interrupt
from ablation.runner.nodes import check_nodes
from ablation.runner.queue import Queue, UnitSource
from ablation.runner.resources import Resources, check_fits
from ablation.runner.trainables import UnitTrainable
from ablation.runner.tune_parts import Stop, UnitCallback, UnitSearcher
from ablation.store import Store
from ablation.store.claims import Claims
from ablation.store.heartbeat import Heartbeat
from ablation.store.mirror import mirror_at
from ablation.units import Unit
from skelcon.config import Json

PAUSE_SECONDS = 1.0
"""How long to wait before the queue is asked again."""


def run_with_ray(
    units: list[Unit],
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    reporter: Reporter,
    interrupt: Interrupt,
    source: UnitSource | None = None,
    heartbeat: Heartbeat | None = None,
) -> bool:
    """Run ``units``, each after those it needs, and record failures in the store.

    Args:
        units: what is missing, in any order.
        store: where the results go.
        data: fingerprint -> packed data set.
        resources: what a trial may take.
        reporter: receives what happens.
        interrupt: asks the run to stop.
        source: gives further units.
        heartbeat: of this driver; it has one of its own if not given.

    Returns:
        False if it was interrupted before all units had been tried.

    Raises:
        UserError: if the cluster can never give what a trial asks.
    """
    remaining = _Remaining(units, reporter)

    def session() -> bool:
        return _run_session(remaining, store, data, resources, interrupt, source, heartbeat)

    return restarting(session, lambda reason: reporter.report(Waiting(reason)))


class _Remaining:
    """What another session has to do: a unit that ended is reported once, whatever dies."""

    def __init__(self, units: list[Unit], reporter: Reporter) -> None:
        self.units = {unit.key: unit for unit in units}
        self._reporter = reporter

    def report(self, event: Event) -> None:
        """Pass the event on."""
        match event:
            case Finished(unit) | Failed(unit, verdict="failed"):
                self.units.pop(unit.key, None)
        self._reporter.report(event)


def _run_session(
    remaining: _Remaining,
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    interrupt: Interrupt,
    source: UnitSource | None,
    heartbeat: Heartbeat | None,
) -> bool:
    """:func:`run_with_ray` as long as Ray lives; ``SessionLostError`` if it dies."""
    with (
        warnings.catch_warnings(),
        cluster(resources) as nodes,
        tempfile.TemporaryDirectory(prefix="skelcon-tune-") as scratch,
        Claims(store, heartbeat) as claims,
    ):
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
        check_fits(resources, nodes)
        space = _space(store, data, resources, check_nodes(store, resources, nodes))
        queue = Queue(
            remaining.units.values(),
            store,
            claims,
            remaining,
            retries=resources.retries,
            fail_fast=resources.fail_fast,
            source=source,
        )
        mirror = mirror_at(resources.mirror) if resources.mirror else None
        slots = resources.slots_of(nodes) if source is not None else None
        try:
            for number in itertools.count():
                searcher = UnitSearcher(queue, store, resources, remaining, mirror, slots)
                callback = UnitCallback(queue, store, remaining, resources.asks, mirror)
                config = _run_config(f"units-{number}", scratch, queue, callback, interrupt)
                tune.Tuner(
                    tune.with_resources(UnitTrainable, _asked(resources, nodes)),
                    param_space=space,
                    tune_config=tune.TuneConfig(
                        search_alg=searcher,
                        num_samples=-1,  # until the searcher says that nothing is left
                        max_concurrent_trials=resources.max_concurrent,
                        reuse_actors=True,
                        trial_dirname_creator=lambda trial: str(trial.trial_id),
                    ),
                    run_config=config,
                ).fit()
                if not searcher.paused or not _wait(queue, interrupt):
                    return queue.exhausted
        finally:
            for key in queue.failed:
                remaining.units.pop(key, None)
    raise AssertionError("not reached")


def _space(store: Store, data: Mapping[str, Path], resources: Resources, node: str | None) -> Json:
    """What every trial's configuration holds (:class:`UnitTrainable`)."""
    return {
        "results": str(store.results.resolve()),
        "mirror": resources.mirror,
        "data": {key: str(path.resolve()) for key, path in data.items()},
        "node": node,
        "plugins": list(resources.plugins),
        "directory": str(Path.cwd()),  # where the plugins were found here
        "threads": max(1, int(resources.cpus_per_trial)),
        "checkpoints": resources.checkpoints,
    }


def _asked(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> Any:
    """What a trial asks of Ray, from its configuration."""

    def asked(config: Mapping[str, Any]) -> dict[str, float]:
        return resources.of_trial(config["gpu"], nodes, alone=config["alone"])

    return asked


def _run_config(
    name: str, scratch: str, queue: Queue, callback: UnitCallback, interrupt: Interrupt
) -> tune.RunConfig:
    return tune.RunConfig(
        name=name,
        storage_path=scratch,
        stop=Stop(queue, interrupt),
        callbacks=[callback],
        failure_config=tune.FailureConfig(max_failures=0),
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False, checkpoint_frequency=0),
        verbose=0,
    )


def _wait(queue: Queue, interrupt: Interrupt) -> bool:
    """Until there is something to do again; False if there is not, or at an interrupt."""
    while not queue.exhausted and not interrupt.wait(PAUSE_SECONDS):
        check_session()
        with contextlib.suppress(OSError):
            assignment = queue.ask()
            if assignment is not None:
                queue.stop(assignment.unit)
                return True
    return False
