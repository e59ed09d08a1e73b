"""What Ray's workers import at their start, before they have a trial: all that a trial needs."""

from __future__ import annotations

import gc

from ablation.scheduler.garbage import no_collection

with no_collection():
    from ablation.scheduler import trainables, worker

gc.freeze()  # what is imported stays; to look at all of it takes 0.2 s each time

__all__ = ["trainables", "worker"]
