"""What a unit's work needs that is not part of its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ablation.work.checkpoints import CheckpointPolicy
from skelcon.pretrain.distributed import TIMEOUT_SECONDS


@dataclass(frozen=True)
class GroupOptions:
    """How many processes train one model, rank 0 included, and the plugins that each loads.

    ``timeout`` is how many seconds a rank waits for the others in a collective operation.
    """

    world_size: int = 1
    plugins: tuple[str, ...] = ()
    directory: Path = field(default_factory=Path)
    timeout: float = TIMEOUT_SECONDS


@dataclass(frozen=True)
class Context:
    """What a unit's work needs that is not part of its key.

    Attributes:
        data: fingerprint -> path of a packed data set; the unit's must be among them.
        device: ``cpu`` or ``cuda``.
        weights: key of a unit, or SHA-256 of a file that no unit made -> its weights, where those
            are not in the store.
    """

    data: Mapping[str, Path]
    device: str = "cpu"
    weights: Mapping[str, Path] = field(default_factory=dict)
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    group: GroupOptions = field(default_factory=GroupOptions)
