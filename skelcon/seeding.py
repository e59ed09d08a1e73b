"""Random generators derived from a unit's seed by name.

Every random draw of the project comes from a generator made here. Two names give independent
streams, so that adding a consumer of randomness never shifts the draws of another.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream ``name`` of a unit's ``seed``."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for the stream ``name`` (draws are made on the CPU on every device)."""
    import torch

    return torch.Generator().manual_seed(derive(seed, name))


@contextlib.contextmanager
def seeded_globally(seed: int, name: str) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them after it.

    For what has no generator argument: the initialisation of layers, and dropout.
    """
    import torch

    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        torch.manual_seed(derive(seed, name))
        yield
