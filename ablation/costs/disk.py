"""Whether the disk of the results has room for what units write."""

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
"""More than the files of a unit, or its checkpoint, take, unless its encoders are far larger than
the paper's."""


def has_room(model: CostModel, units: Sequence[Unit]) -> bool:
    """Whether so much is free that the files of ``units`` need not be counted.

    Counting builds their encoders, for which torch is imported (seconds).
    """
    if model.resources.checkpoints.keep == "all":
        return False
    free = _free_bytes(model.store.results)
    # Two checkpoints of each running unit, as a new one is whole before it replaces the old one.
    return free is not None and free > ROOM_BYTES * (len(units) + 2 * (model.slots or 1))


def check_disk(results: Path, cost: Cost) -> None:
    """UserError if the file system of ``results`` cannot hold what would be written."""
    free = _free_bytes(results)
    if free is not None and cost.disk_bytes > free:
        raise UserError(
            f"the disk of --results {results} has {readable(free)} free, but the units to run "
            f"write about {readable(cost.disk_bytes)}: free some space (skelcon-ablate clean), or "
            "choose another disk with --results"
        )


def _free_bytes(results: Path) -> int | None:
    """The free bytes of the file system of ``results``; None if they are not known."""
    existing = next(path for path in (results, *results.absolute().parents) if path.exists())
    try:
        total, _, free = shutil.disk_usage(existing)
    except OSError:
        return None  # then the first write that fails is reported
    if not total or not os.access(existing, os.W_OK):
        return None  # not writable, which `Store.check_writable` reports
    return free
