"""What happens while units run, in the one form that views, logs and trackers receive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ablation.units import Unit

Verdict = Literal["retry", "retry alone", "failed"]
"""Whether a unit that failed is retried; with ``retry alone`` it gets a whole device."""


@dataclass(frozen=True)
class Started:
    """A trial has started ``unit``."""

    unit: Unit


@dataclass(frozen=True)
class Progressed:
    """A training has run further epochs, or an evaluation is in progress."""

    unit: Unit
    epoch: int = 0
    loss: float | None = None
    samples_per_s: float | None = None


@dataclass(frozen=True)
class Finished:
    """``unit`` is done, here or by another driver."""

    unit: Unit


@dataclass(frozen=True)
class Failed:
    """``unit`` has failed; ``verdict`` says whether it is retried."""

    unit: Unit
    reason: str
    log: Path
    verdict: Verdict


@dataclass(frozen=True)
class Pruned:
    """A search has stopped ``unit`` before its end, as it is unlikely to become the best."""

    unit: Unit


@dataclass(frozen=True)
class Waiting:
    """Nothing runs at present."""

    reason: str


Event = Started | Progressed | Finished | Failed | Pruned | Waiting


class Reporter(Protocol):
    """Receives the events of a run, all from one thread."""

    def report(self, event: Event) -> None:
        """``event`` has happened."""


class Reporters:
    """Passes each event to several reporters, in this order."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def report(self, event: Event) -> None:
        """``event`` has happened."""
        for reporter in self._reporters:
            reporter.report(event)
