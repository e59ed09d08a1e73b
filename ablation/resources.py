"""What a run may take of a cluster, and who is told how it goes. Knows nothing of Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ablation.plan import Unit
from skelcon.errors import UserError


@dataclass(frozen=True)
class Resources:
    """What a trial asks of the cluster, how many may run at once, and which plugins they load."""

    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent: int | None = None
    address: str | None = None
    retries: int = 1
    plugins: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise :class:`UserError` for an amount that makes no sense."""
        if self.cpus_per_trial <= 0:
            raise UserError(f"--cpus-per-trial {self.cpus_per_trial:g}: give more than 0")
        if self.gpus_per_trial < 0:
            raise UserError(f"--gpus-per-trial {self.gpus_per_trial:g}: give 0 or more")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise UserError(f"--max-concurrent {self.max_concurrent}: give 1 or more")

    def stay_on_loopback(self) -> None:
        """Before Ray is imported: a cluster of this machine alone opens no port beyond loopback."""
        if self.address is None:
            # Ray's switch for a cluster of this machine alone, read when it is imported: every port
            # then listens on loopback only. (It would resolve a given 127.0.0.1 to the outer
            # address.)
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


class Listener(Protocol):
    """Who is told how the units fare."""

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """``progress``: epoch, epochs, loss, samples_per_s."""

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""

    def failed(self, unit: Unit, reason: str, log: Path) -> None:
        """``unit`` has failed for good."""
