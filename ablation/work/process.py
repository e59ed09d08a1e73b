"""A process that trains: what it sets up once, before its first unit."""

from __future__ import annotations

import contextlib
import ctypes
import os

import torch

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""What mallopt(3) calls ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD``."""


def prepare(threads: int) -> None:
    """Set up this process so that a unit gives the same bits in all processes set up like this."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # (torch.use_deterministic_algorithms would import torch's compiler.)
    torch.set_deterministic_debug_mode("warn")
    # Filling new memory finds reads of what was never written; here it only costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Do not return freed memory to the system.

    Each training step allocates the same large blocks, and each page of a block that was returned
    costs a page fault: a third of the time of a step of the full graph encoder.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_THRESHOLD, 1 << 30)
        mallopt(TRIM_THRESHOLD, -1)


def cap_memory(gpus: float) -> None:
    """Limit this process to its share of a GPU's memory."""
    torch.cuda.set_per_process_memory_fraction(min(1.0, gpus))
