"""A unit as a Ray Tune trainable: the worker's side of scheduling."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ray import tune

from ablation.runner.delivery import data_at
from ablation.runner.resources import ranks_of, threads_of
from ablation.store import Store
from ablation.store.mirror import UnreachedError, mirror_at
from ablation.work import UnitRun, cap_memory, prepare, record_failure
from ablation.work.worker_group import GroupOptions
from skelcon.plugins import load_plugins

UNSHARED = "the results directory is not seen here"
"""The error of a worker to which the unit's directory, that the driver made, is not there."""
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
    ``mirror`` (the URI that is in its place, or None),
    ``data`` (fingerprint -> path) and the ``node`` to fetch it from where that is not seen,
    ``plugins`` (and the ``directory`` to look for them), ``gpu`` (how much of one to use, or how
    many), whether the unit is ``alone`` on it, ``threads`` and ``checkpoints`` (a policy).
    """

    _run: UnitRun | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Called once per worker; the unit itself begins with the first step."""
        # A trial of several devices is a process for each of them.
        prepare(threads_of(config["threads"], config["gpu"]))
        threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
        # The GPU where a trial asks for one and this node has one; logical GPUs train on the CPU.
        self._device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another unit in this process."""
        self.cleanup()
        self._settings = new_config
        if self._device == "cuda":
            cap_memory(1.0 if new_config["alone"] else new_config["gpu"])
        return True

    def step(self) -> dict[str, Any]:
        """Work for about a second; what fails is recorded in the unit's directory."""
        settings = self._settings
        mirror = mirror_at(settings["mirror"]) if settings["mirror"] else None
        store = mirror.store if mirror else Store(Path(settings["results"]))
        if not mirror and not store.directory(settings["key"]).is_dir():
            raise RuntimeError(UNSHARED)
        try:
            if self._run is None:
                if mirror:
                    mirror.bring(settings["key"])
                load_plugins(settings["plugins"], Path(settings["directory"]))
                config = store.config(settings["key"])
                wanted = config["data"]
                path = data_at(wanted, Path(settings["data"][wanted]), settings["node"])
                self._run = UnitRun(
                    config,
                    store,
                    {wanted: path},
                    self._device,
                    checkpoints=settings["checkpoints"],
                    group=GroupOptions(
                        ranks_of(settings["gpu"]),
                        tuple(settings["plugins"]),
                        Path(settings["directory"]),
                    ),
                )
            progress = self._run.step(STEP_SECONDS)
            if progress.done:
                self.cleanup()
                if mirror:
                    mirror.push(settings["key"])
        except Exception as error:
            if not store.is_done(settings["key"]):  # else it only did not get to the URI
                record_failure(store, settings["key"], error)
                if mirror:
                    with contextlib.suppress(UnreachedError):
                        mirror.push_failure(settings["key"])
            raise
        return asdict(progress)

    def cleanup(self) -> None:
        """Let go of the unit, keeping what has been trained, and of the memory that it took."""
        if self._run is not None:
            run, self._run = self._run, None
            run.close()
            del run
            if self._device == "cuda":
                torch.cuda.empty_cache()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the unit's directory holds its checkpoint."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: a unit goes on from what its directory holds."""
