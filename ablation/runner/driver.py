"""What a command that runs units works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablation.events import Reporter
from ablation.interrupts import Interrupt
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.store.heartbeat import Heartbeat


@dataclass(frozen=True)
class Driver:
    """The command that runs units.

    Attributes:
        store: where the results go.
        data: fingerprint -> packed data set.
        resources: what a trial may take, retries, checkpoints.
        reporter: receives what happens.
        interrupt: asks the run to stop.
        heartbeat: that of the command; the run has one of its own if not given.
    """

    store: Store
    data: Mapping[str, Path]
    resources: Resources
    reporter: Reporter
    interrupt: Interrupt
    heartbeat: Heartbeat | None = None
