"""Runs units one after another in this process, without Ray: for arrays of independent jobs.

Others may do the same at the same time, or a study with Ray: what one has taken on the others leave
to it, and wait for it only where they need it.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import torch

from ablation.plan import Unit
from ablation.runner.queue import Offer, Queue
from ablation.runner.resources import Listener, Resources, ranks_of, threads_of
from ablation.store import Store
from ablation.store.claims import Claims
from ablation.store.locks import is_held
from ablation.work import UnitRun, cap_memory, prepare, record_failure
from ablation.work.worker_group import GroupOptions

LOOK_AGAIN = 0.5
"""Seconds between two looks at whether another process has done what is waited for."""
STEP_SECONDS = 1.0
"""How long is worked between two looks at whether to stop (one epoch at least)."""


def run_here(
    units: list[Unit],
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    listener: Listener,
    weights: Mapping[str, Path] | None = None,
) -> bool:
    """As :func:`ablation.runner.with_ray.run_units`, in this process.

    Args:
        units: what is missing, in any order.
        store: where the results go.
        data: fingerprint -> packed data set.
        resources: threads, GPUs, retries, checkpoints.
        listener: is told how it goes.
        weights: key -> file, of weights that are not in ``store`` (`ablation.work.UnitRun`).

    Returns:
        False if it was interrupted (Ctrl-C, SIGTERM): what has been trained is kept.
    """
    device = "cuda" if resources.gpus_per_trial and torch.cuda.is_available() else "cpu"
    with Claims(store) as claims, _stoppable() as stop:
        queue = Queue(
            units,
            store,
            claims,
            retries=resources.retries,
            fail_fast=resources.fail_fast,
            elsewhere=listener.finished,
        )
        while not stop.is_set():
            offer = queue.next()
            if offer is not None:
                _work(offer, queue, store, data, resources, device, listener, stop, weights)
            elif queue.exhausted:
                return True
            else:
                listener.waiting("what is left to do, or is needed for it, is another run's")
                stop.wait(LOOK_AGAIN)
    return False


def _work(
    offer: Offer,
    queue: Queue,
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    device: str,
    listener: Listener,
    stop: threading.Event,
    weights: Mapping[str, Path] | None,
) -> None:
    """Work on a unit until it is done, fails or ``stop`` is set, and tell the others."""
    unit = offer.unit
    # Here, as the wait for a lock does not end with a signal.
    while is_held(store.directory(unit.key)):
        listener.waiting(f"unit {unit.key} is still locked by another process")
        if stop.wait(LOOK_AGAIN):
            queue.interrupt(unit)
            return
    listener.started(unit)
    gpus = resources.gpus_of(unit)
    prepare(threads_of(resources.cpus_per_trial, gpus))
    if device == "cuda":
        cap_memory(1.0 if offer.alone else gpus)
    try:
        run = UnitRun(
            unit.config,
            store,
            data,
            device,
            weights,
            resources.checkpoints,
            GroupOptions(ranks_of(gpus), resources.plugins, Path.cwd()),
        )
        with contextlib.closing(run):
            while not (progress := run.step(STEP_SECONDS)).done:
                listener.progressed(unit, asdict(progress))
                if stop.is_set():
                    queue.interrupt(unit)
                    return
    except Exception as error:
        reason = record_failure(store, unit.key, error)
        log = store.directory(unit.key) / "log.txt"
        listener.failed(unit, reason, log, queue.fail(unit, reason))
        return
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()
    queue.done(unit)
    listener.finished(unit)


@contextlib.contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM in this block; the second Ctrl-C ends the process."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
