"""Runs units one after another in this process, without Ray: for arrays of independent jobs.

Other processes may do the same at the same time, or a study with Ray: a unit that one of them has
claimed the others leave to it, and wait for it only where they need it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import torch

from ablation.events import Progressed, Reporter, Started, Waiting
from ablation.interrupts import Interrupt
from ablation.runner.queue import Assignment, Queue
from ablation.runner.resources import Resources, ranks_of, threads_of
from ablation.store import Store
from ablation.store.claims import Claims
from ablation.store.heartbeat import Heartbeat
from ablation.store.locks import is_held
from ablation.units import Unit
from ablation.work import Context, UnitRun, cap_memory, prepare, record_failure
from ablation.work.context import GroupOptions
from ablation.work.failures import is_deterministic

POLL_SECONDS = 0.5
"""Seconds between two looks at whether another process has done what this one waits for."""
STEP_SECONDS = 1.0
"""How long to work between two looks at whether to stop (one epoch at least)."""


def run_in_process(
    units: list[Unit],
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    reporter: Reporter,
    interrupt: Interrupt,
    weights: Mapping[str, Path] | None = None,
    heartbeat: Heartbeat | None = None,
) -> bool:
    """As :func:`ablation.runner.with_ray.run_with_ray`, in this process.

    Args:
        units: what is missing, in any order.
        store: where the results go.
        data: fingerprint -> packed data set.
        resources: threads, GPUs, retries, checkpoints.
        reporter: receives what happens.
        interrupt: asks the run to stop.
        weights: key -> file, of weights that are not in ``store`` (`ablation.work.Context`).
        heartbeat: of this driver; it has one of its own if not given.

    Returns:
        False if it was interrupted: what has been trained is kept.
    """
    device = "cuda" if resources.gpus_per_trial and torch.cuda.is_available() else "cpu"
    context = Context(data, device, weights or {}, resources.checkpoints)
    with Claims(store, heartbeat) as claims:
        queue = Queue(
            units,
            store,
            claims,
            reporter,
            retries=resources.retries,
            fail_fast=resources.fail_fast,
        )
        while not interrupt.requested:
            assignment = queue.ask()
            if assignment is not None:
                _work(assignment, queue, store, context, resources, reporter, interrupt)
            elif queue.exhausted:
                return True
            else:
                reporter.report(Waiting("the remaining units are claimed by another driver"))
                interrupt.wait(POLL_SECONDS)
    return False


def _work(
    assignment: Assignment,
    queue: Queue,
    store: Store,
    context: Context,
    resources: Resources,
    reporter: Reporter,
    interrupt: Interrupt,
) -> None:
    """Work on a unit until it is done, fails or the run is to stop."""
    unit, gpus = assignment.unit, resources.gpus_of(assignment.unit)
    # Here, as the wait for a lock does not end with a signal.
    while is_held(store.directory(unit.key)):
        reporter.report(Waiting(f"unit {unit.key} is still locked by another process"))
        if interrupt.wait(POLL_SECONDS):
            queue.stop(unit)
            return
    reporter.report(Started(unit))
    prepare(threads_of(resources.cpus_per_trial, gpus))
    if context.device == "cuda":
        cap_memory(1.0 if assignment.alone else gpus)
    group = GroupOptions(ranks_of(gpus), resources.plugins, Path.cwd())
    own = Context(context.data, context.device, context.weights, context.checkpoints, group)
    try:
        with contextlib.closing(UnitRun(unit, store, own)) as run:
            while not (progress := run.step(STEP_SECONDS)).done:
                reporter.report(
                    Progressed(unit, progress.epoch, progress.loss, progress.samples_per_s)
                )
                if interrupt.requested:
                    queue.stop(unit)
                    return
    except Exception as error:
        reason = record_failure(store, unit.key, error)
        queue.fail(unit, reason, deterministic=is_deterministic(error))
        return
    finally:
        if context.device == "cuda":
            torch.cuda.empty_cache()
    queue.done(unit)
