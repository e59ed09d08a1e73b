"""Runs units one after another in this process, without Ray: for arrays of independent jobs.

Other processes may do the same at the same time, or run the study with Ray. A unit that one of them
has claimed is left to it; the others wait for it only if their own units need it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from ablation.events import Progressed, Started, Waiting
from ablation.scheduler.queue import OTHERS, Assignment, Driver, Queue, unwritable
from ablation.scheduler.resources import ranks_of, threads_of
from ablation.store.locks import is_held
from ablation.store.unit_claims import Claims
from ablation.units import Unit
from ablation.work import Context, UnitRun, cap_memory, prepare, record_failure
from ablation.work.context import GroupOptions
from ablation.work.failures import is_deterministic
from skelcon.errors import UserError

POLL_SECONDS = 0.5
"""Seconds between two checks whether another process has done what this one waits for."""
STEP_SECONDS = 1.0
"""How long to work between two checks whether to stop (one epoch at least)."""


def run_in_process(
    units: list[Unit], driver: Driver, weights: Mapping[str, Path] | None = None
) -> bool:
    """As :func:`ablation.scheduler.with_ray.run_with_ray`, in this process.

    Args:
        units: what is missing, in any order.
        driver: the command that runs them.
        weights: key -> file, of weights that are not in the store (`ablation.work.Context`).

    Returns:
        False if it was interrupted before all units had been tried: what has been trained is kept.

    Raises:
        UserError: if units are to train on a GPU and torch sees none.
    """
    resources, interrupt = driver.resources, driver.interrupt
    if resources.gpus_per_trial and not torch.cuda.is_available():
        raise UserError(
            f"--gpus-per-trial {resources.gpus_per_trial:g}: torch sees no GPU here; leave it out "
            "to train on the CPU"
        )
    device = "cuda" if resources.gpus_per_trial else "cpu"
    context = Context(driver.data, device, weights or {}, resources.checkpoints)
    with Claims(driver.store, driver.heartbeat) as claims:
        queue = Queue(units, driver, claims)
        while not interrupt.requested:
            assignment, reason = None, OTHERS
            try:
                assignment = queue.ask()
            except OSError as error:
                reason = unwritable(error)
            if assignment is not None:
                _work(assignment, queue, driver, context)
            elif queue.exhausted:
                break
            else:
                driver.reporter.report(Waiting(reason))
                interrupt.wait(POLL_SECONDS)
    return queue.exhausted


def _work(assignment: Assignment, queue: Queue, driver: Driver, context: Context) -> None:
    """Work on a unit until it is done, fails or the run is to stop."""
    unit, store, resources = assignment.unit, driver.store, driver.resources
    # Waited for here, as a signal does not end the wait for a lock.
    while is_held(store.directory(unit.key)):
        driver.reporter.report(Waiting(f"unit {unit.key} is still locked by another process"))
        if driver.interrupt.wait(POLL_SECONDS):
            return queue.stop(unit)
    driver.reporter.report(Started(unit))
    gpus = resources.gpus_of(unit)
    prepare(threads_of(resources.cpus_per_trial, gpus))
    if context.device == "cuda":
        cap_memory(1.0 if assignment.alone else gpus)
    group = GroupOptions(ranks_of(gpus), resources.plugins, Path.cwd())
    try:
        with contextlib.closing(UnitRun(unit, store, replace(context, group=group))) as run:
            while not (now := run.step(STEP_SECONDS)).done:
                driver.reporter.report(Progressed(unit, now.epoch, now.loss, now.samples_per_s))
                if driver.interrupt.requested:
                    return queue.stop(unit)
    except Exception as error:
        reason = record_failure(store, unit.key, error)
        queue.fail(unit, reason, deterministic=is_deterministic(error))
    else:
        queue.done(unit)
    finally:
        if context.device == "cuda":
            torch.cuda.empty_cache()
