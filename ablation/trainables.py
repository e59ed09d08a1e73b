"""A unit as a Ray Tune trainable: the worker's side of scheduling."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ray import tune

from ablation.store import Store
from ablation.work import UnitRun, prepare, record_failure
from skelcon.plugins import load_plugins

STEP_SECONDS = 1.0
"""How long a trial works before it reports to the driver (one epoch at least)."""


class UnitTrainable(tune.Trainable):  # type: ignore[misc]
    """Runs one unit after another in the same process; the store is the only checkpoint.

    ``config``: ``unit`` (its configuration as JSON), ``results`` (a path), ``data`` (fingerprint ->
    path), ``plugins`` (and the ``directory`` to look for them), ``gpu`` (whether to use one) and
    ``threads``.
    """

    _run: UnitRun | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Called once per worker; the unit itself begins with the first step."""
        prepare(config["threads"])
        # The GPU where a trial asks for one and this node has one; logical GPUs train on the CPU.
        self._device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another unit in this process."""
        self.cleanup()
        self._settings = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Work for about a second; what fails is recorded in the unit's directory."""
        settings = self._settings
        store = Store(Path(settings["results"]))
        unit = json.loads(settings["unit"])
        try:
            if self._run is None:
                load_plugins(settings["plugins"], Path(settings["directory"]))
                data = {key: Path(path) for key, path in settings["data"].items()}
                self._run = UnitRun(unit, store, data, self._device)
            progress = self._run.step(STEP_SECONDS)
        except Exception as error:
            record_failure(store, settings["key"], error)
            raise
        if progress.done:
            self.cleanup()
        return asdict(progress)

    def cleanup(self) -> None:
        """Let go of the unit."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the unit's directory holds its checkpoint."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: a unit goes on from what its directory holds."""
