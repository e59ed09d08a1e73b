"""Several listeners as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.plan import Unit
from ablation.runner.queue import Verdict
from ablation.runner.resources import Listener


class Listeners:
    """Tells each of several :class:`Listener` what it is told, in their order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""
        for listener in self._listeners:
            listener.started(unit)

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """``progress``: epoch, epochs, loss, samples_per_s."""
        for listener in self._listeners:
            listener.progressed(unit, progress)

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        for listener in self._listeners:
            listener.finished(unit)

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed; ``verdict`` says whether it is tried again."""
        for listener in self._listeners:
            listener.failed(unit, reason, log, verdict)

    def waiting(self, why: str) -> None:
        """Nothing runs at present, and why."""
        for listener in self._listeners:
            listener.waiting(why)
