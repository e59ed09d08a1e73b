"""A unit as a Ray Tune trainable: the worker's side of scheduling."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path

import torch
from ray import tune

from ablation.scheduler.delivery import data_at
from ablation.scheduler.monitored import MonitoredRun
from ablation.scheduler.queue import Monitor
from ablation.scheduler.resources import ranks_of, threads_of
from ablation.store import Store
from ablation.store.mirror import Mirror, UnreachedError, mirror_at
from ablation.units import EvaluateUnit, read_unit
from ablation.work import Context, UnitRun, cap_memory, prepare, record_failure
from ablation.work.context import GroupOptions
from skelcon.config import Json
from skelcon.plugins import load_plugins

UNSHARED = "the results directory is not seen here"
"""The error of a worker that does not see the unit's directory, which the driver made."""
STEP_SECONDS = 1.0
"""How long a trial works before it reports to the driver (one epoch at least)."""


def _die_with(parent: int) -> None:
    """End this process soon after Ray's on this node has died: it would keep its unit locked."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


class UnitTrainable(tune.Trainable):  # type: ignore[misc]
    """Runs one unit after another in the same process; the store is the only checkpoint.

    ``config``: ``key`` of the unit, whose directory holds its configuration, ``results`` (a path),
    ``mirror`` (the URI that replaces it, or None),
    ``data`` (fingerprint -> path) and the ``node`` to fetch it from where that is not seen,
    ``plugins`` (and the ``directory`` to look for them), ``gpu`` (how much of one to use, or how
    many), whether the unit is ``alone`` on it, ``threads``, ``checkpoints`` (a policy) and
    ``monitor`` (how to evaluate it while it trains, or None).
    """

    _run: UnitRun | MonitoredRun | None = None

    def setup(self, config: Json) -> None:
        """Called once per worker; the unit itself starts with the first step."""
        # A trial of several devices is a process for each of them.
        prepare(threads_of(config["threads"], config["gpu"]))
        threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
        # The GPU where a trial asks for one and this node has one; logical GPUs train on the CPU.
        self._device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
        self.reset_config(config)

    def reset_config(self, new_config: Json) -> bool:
        """Take another unit in this process."""
        self.cleanup()
        self._settings = new_config
        if self._device == "cuda":
            cap_memory(1.0 if new_config["alone"] else new_config["gpu"])
        return True

    def step(self) -> Json:
        """Work for about a second; a failure is recorded in the unit's directory."""
        key = self._settings["key"]
        mirror = mirror_at(self._settings["mirror"]) if self._settings["mirror"] else None
        store = mirror.store if mirror else Store(Path(self._settings["results"]))
        if not mirror and not store.directory(key).is_dir():
            raise RuntimeError(UNSHARED)
        try:
            self._run = self._run or self._started(store, mirror)
            progress = self._run.step(STEP_SECONDS)
            value = self._run.value if isinstance(self._run, MonitoredRun) else None
            if progress.done:
                self.cleanup()
                if mirror:
                    mirror.push(key)
        except Exception as error:
            if not store.is_done(key):  # else it only did not get to the URI
                record_failure(store, key, error)
                if mirror:
                    with contextlib.suppress(UnreachedError):
                        mirror.push_failure(key)
            raise
        # (Tune sets "done" itself, of a trial that is stopped as well.)
        values = asdict(progress)
        return {"key": key, "unit_done": values.pop("done"), "value": value, **values}

    def _started(self, store: Store, mirror: Mirror | None) -> UnitRun | MonitoredRun:
        settings = self._settings
        if mirror:
            mirror.bring(settings["key"])
        plugins, directory = tuple(settings["plugins"]), Path(settings["directory"])
        load_plugins(plugins, directory)
        unit = read_unit(store.config(settings["key"]))
        wanted = unit.side.data
        data = {wanted: data_at(wanted, Path(settings["data"][wanted]), settings["node"])}
        group = GroupOptions(ranks_of(settings["gpu"]), plugins, directory)
        checkpoints, monitor = settings["checkpoints"], settings["monitor"]
        context = Context(data, self._device, checkpoints=checkpoints, group=group)
        run = UnitRun(unit, store, context)
        return run if monitor is None else MonitoredRun(run, monitor_from_json(monitor))

    def cleanup(self) -> None:
        """Release the unit, keeping what has been trained, and the memory that it took."""
        run, self._run = self._run, None
        if run is not None:
            run.close()
            del run
            if self._device == "cuda":
                torch.cuda.empty_cache()


def monitor_from_json(values: Json) -> Monitor:
    """The inverse of :func:`ablation.scheduler.tune_parts.monitor_to_json`."""
    evaluation = read_unit(values["evaluation"])
    assert isinstance(evaluation, EvaluateUnit)
    return Monitor(**{**values, "evaluation": evaluation})
