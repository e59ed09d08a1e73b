"""Random generators derived from a unit's seed by name.

Every random draw comes from a generator made here. Different names give independent streams:
adding a consumer of randomness never changes the draws of another.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream ``name`` of a unit's ``seed``.

    >>> derive(0, "linear") == derive(0, "linear") != derive(1, "linear")
    True
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for the stream ``name`` (draws are made on the CPU for every device)."""
    import torch

    return torch.Generator().manual_seed(derive(seed, name))


@contextlib.contextmanager
def seeded_globally(seed: int, name: str) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them after it.

    For what has no generator argument: the initialisation of layers, and dropout.
    """
    import torch

    # Reading a GPU's generator would start CUDA, which a training on the CPU does not need.
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(derive(seed, name))
        yield
