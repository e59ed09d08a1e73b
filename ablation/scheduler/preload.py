"""What Ray's workers import at their start, before they have a trial: all that a trial needs."""

from __future__ import annotations

from ablation.scheduler.garbage import no_collection

with no_collection():
    from ablation.scheduler import trainables, worker

__all__ = ["trainables", "worker"]
