"""Runs what the store does not hold yet as Ray Tune trials. Ray schedules; the store decides.

A pre-training and the evaluations that need it are trials of one Tune experiment: the search
algorithm hands out a unit as soon as the units that it needs are done.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping
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

from ablation.plan import Unit
from ablation.runner.nodes import check_nodes
from ablation.runner.queue import NODES_LOST, Queue, Verdict
from ablation.runner.resources import Listener, Resources, check_fits
from ablation.runner.trainables import UnitTrainable
from ablation.runner.tune_parts import Relay, Stop, UnitSearcher
from ablation.store import Store
from ablation.store.claims import Claims
from ablation.store.mirror import mirror_at

PAUSE_SECONDS = 1.0
"""How long is waited before it is looked again for something to do."""


def run_units(
    units: list[Unit],
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    listener: Listener,
) -> bool:
    """Run ``units``, each after those it needs, and record failures in the store.

    Args:
        units: what is missing, in any order.
        store: where the results go.
        data: fingerprint -> packed data set.
        resources: what a trial may take.
        listener: is told how it goes.

    Returns:
        False if it was interrupted (Ctrl-C) before all units had been tried.

    Raises:
        UserError: if the cluster can never give what a trial asks.
    """
    left = {unit.key: unit for unit in units}
    ticking = _Ticking(left, listener)
    return restarting(lambda: _run_session(left, store, data, resources, ticking), listener.waiting)


class _Ticking:
    """Strikes off what is over, and passes all on: a unit is told of once, whatever dies."""

    def __init__(self, left: dict[str, Unit], listener: Listener) -> None:
        self._left = left
        self.started, self.progressed = listener.started, listener.progressed
        self.waiting, self._listener = listener.waiting, listener

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        self._left.pop(unit.key, None)
        self._listener.finished(unit)

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed."""
        self._listener.failed(unit, reason, log, verdict)


def _run_session(
    left: dict[str, Unit],
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    listener: Listener,
) -> bool:
    """:func:`run_units` as long as Ray lives; ``SessionLostError`` if it dies.

    ``left`` keeps what another session has to do.
    """
    units = list(left.values())
    with (
        warnings.catch_warnings(),
        cluster(resources) as nodes,
        tempfile.TemporaryDirectory(prefix="skelcon-tune-") as scratch,
        Claims(store) as claims,
    ):
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
        check_fits(resources, nodes)
        node = check_nodes(store, resources, nodes)
        queue = Queue(
            units,
            store,
            claims,
            retries=resources.retries,
            fail_fast=resources.fail_fast,
            elsewhere=listener.finished,
        )
        mirror = mirror_at(resources.mirror) if resources.mirror else None
        by_key = {unit.key: unit for unit in units}
        relay = Relay(by_key, queue, store, listener, resources.asks, mirror)

        def asked(config: Mapping[str, Any]) -> dict[str, float]:
            return resources.of_trial(config["gpu"], nodes, alone=config["alone"])

        space = {
            "results": str(store.results.resolve()),
            "mirror": resources.mirror,
            "data": {key: str(path.resolve()) for key, path in data.items()},
            "node": node,
            "plugins": list(resources.plugins),
            "directory": str(Path.cwd()),  # where the plugins were found here
            "threads": max(1, int(resources.cpus_per_trial)),
            "checkpoints": resources.checkpoints,
        }
        numbers = itertools.count()
        try:
            while True:
                searcher = UnitSearcher(queue, store, resources, listener, mirror)
                tune.Tuner(
                    tune.with_resources(UnitTrainable, asked),
                    param_space=space,
                    tune_config=tune.TuneConfig(
                        search_alg=searcher,
                        # At most.
                        num_samples=len(units) * (resources.retries + NODES_LOST + 2),
                        max_concurrent_trials=resources.max_concurrent,
                        reuse_actors=True,
                        trial_dirname_creator=_trial_id,
                    ),
                    run_config=tune.RunConfig(
                        name=f"units-{next(numbers)}",
                        storage_path=scratch,
                        stop=Stop(queue),
                        callbacks=[relay],
                        failure_config=tune.FailureConfig(max_failures=0),
                        checkpoint_config=tune.CheckpointConfig(
                            checkpoint_at_end=False, checkpoint_frequency=0
                        ),
                        verbose=0,
                    ),
                ).fit()
                if not searcher.paused or not _wait(queue, listener):
                    return queue.exhausted
        finally:
            for key in queue.failed:
                left.pop(key, None)


def _wait(queue: Queue, listener: Listener) -> bool:
    """Until there is something to do again; False if there is not, or at Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        # Tune takes Ctrl-C for itself; it gives it back when it has heard one, not at its end.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            return False
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while not queue.exhausted:
            check_session()
            time.sleep(PAUSE_SECONDS)
            with contextlib.suppress(OSError):
                offer = queue.next()
                if offer is not None:
                    queue.interrupt(offer.unit)
                    return True
    except KeyboardInterrupt:
        pass
    return False


def _trial_id(trial: Any) -> str:
    return str(trial.trial_id)
