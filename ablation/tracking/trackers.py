"""The trackers that ``--track`` takes. For a new one add a module here, and a line below."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from ablation.tracking.mlflow_tracker import MlflowTracker
from ablation.tracking.runs import Epoch, TrackedRun
from ablation.tracking.wandb_tracker import WandbTracker
from skelcon.errors import UserError, nearest


class Tracker(Protocol):
    """Gets one run for each unit of a study when the unit is done."""

    destination: str
    """Where the runs go, in a line."""

    def log(self, run: TrackedRun, curve: list[Epoch], result: Mapping[str, float]) -> None:
        """Send the whole run of a unit."""

    def close(self) -> None:
        """Send what is left."""


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"wandb": WandbTracker, "mlflow": MlflowTracker}
"""Name -> tracker, made from a study's directory. Its Python package, which is imported then, has
the same name."""


def parse_trackers(text: str) -> tuple[str, ...]:
    """``wandb,mlflow`` -> names; :class:`UserError` for one that is unknown or not installed."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in TRACKERS:
            raise UserError(f"--track {name}: {nearest(name, TRACKERS)}")
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # (W&B leaves a directory "wandb" where it ran.)
            raise UserError(f"--track {name}: not installed; run: pip install {name}")
    return tuple(dict.fromkeys(names))
