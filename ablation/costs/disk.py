"""Whether what units write fits on the disk of the results."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.text import readable
from ablation.units import Unit
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.costs.model import Cost, CostModel

ROOM_BYTES = 1 << 30
"""More than a unit leaves, or its checkpoint takes, unless its encoders are far larger than the
paper's."""


def has_room(model: CostModel, units: Sequence[Unit]) -> bool:
    """Whether so much is free that what ``units`` write need not be counted.

    Counting builds their encoders, and the import of torch for it takes seconds.
    """
    if model.resources.checkpoints.keep == "all":
        return False
    free = _free_bytes(model.store.results)
    # Two checkpoints of each that runs: one is replaced by renaming a whole new one.
    return free is not None and free > ROOM_BYTES * (len(units) + 2 * (model.slots or 1))


def check_disk(results: Path, cost: Cost) -> None:
    """UserError if the file system of ``results`` cannot hold what would be written."""
    free = _free_bytes(results)
    if free is not None and cost.disk_bytes > free:
        raise UserError(
            f"the disk of --results {results} has {readable(free)} free, and the units to run "
            f"write about {readable(cost.disk_bytes)}: free some (skelcon-ablate clean), or "
            "choose another disk with --results"
        )


def _free_bytes(results: Path) -> int | None:
    """What the file system of ``results`` has free; None if it does not say."""
    existing = next(path for path in (results, *results.absolute().parents) if path.exists())
    try:
        total, _, free = shutil.disk_usage(existing)
    except OSError:
        return None  # the first write that fails says so
    if not total or not os.access(existing, os.W_OK):
        return None  # it cannot be written to at all, which `Store.check_writable` reports
    return free
