"""The worker's side of a trial: one unit after another in one process.

Importing this module imports torch (seconds): only workers do, and not the driver.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path

import torch

from ablation.scheduler.delivery import UNSHARED, data_at
from ablation.scheduler.monitored import MonitoredRun
from ablation.scheduler.queue import Monitor
from ablation.scheduler.resources import ranks_of, threads_of
from ablation.store import Store
from ablation.store.mirror import Mirror, UnreachedError, mirror_at
from ablation.units import read_unit
from ablation.work import Context, UnitRun, cap_memory, prepare, record_failure
from ablation.work.context import GroupOptions
from ablation.work.failures import log
from skelcon.config import Json
from skelcon.plugins import load_plugins

STEP_SECONDS = 1.0
"""How long a trial works before it reports to the driver (one epoch at least)."""
NO_GPU = "torch sees no GPU on this node: the unit runs on the CPU"


def _die_with(parent: int) -> None:
    """End this process when its parent, Ray on this node, has died.

    Otherwise it would keep its unit locked.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


class Worker:
    """Runs the units that a trial is given.

    Args:
        threads: CPU threads of a trial.
        gpu: how much of a GPU a trial uses, or how many.
    """

    def __init__(self, threads: int, gpu: float) -> None:
        # A trial of several devices is a process for each of them.
        prepare(threads_of(threads, gpu))
        threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
        # The GPU where a trial asks for one and this node has one; logical GPUs train on the CPU.
        self._device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
        self._run: UnitRun | MonitoredRun | None = None

    def take(self, settings: Json) -> None:
        """Release the current unit, and take the one of ``settings`` (see `UnitTrainable`)."""
        self.release()
        self._settings = settings
        if self._device == "cuda":
            cap_memory(1.0 if settings["alone"] else settings["gpu"])

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
                self.release()
                if mirror:
                    mirror.push(key)
        except Exception as error:
            if not store.is_done(key):  # else it only did not get to the URI
                record_failure(store, key, error)
                if mirror:
                    with contextlib.suppress(UnreachedError):
                        mirror.push_failure(key)
            raise
        # (Tune itself sets "done", for a trial that is stopped as well.)
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
        if settings["gpu"] and self._device == "cpu" and not store.is_done(unit.key):
            log(store.directory(unit.key), NO_GPU)
        return run if monitor is None else MonitoredRun(run, Monitor.from_json(monitor))

    def release(self) -> None:
        """Release the unit, keeping what has been trained, and the memory that it took."""
        run, self._run = self._run, None
        if run is not None:
            run.close()
            del run
            if self._device == "cuda":
                torch.cuda.empty_cache()
