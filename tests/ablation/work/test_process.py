"""What a process that trains sets up."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from ablation.work import prepare

if sys.argv[1] == "prepared":
    prepare(1)
size = 64 << 20

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(size // 4).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(min(faults() for _ in range(10)) * resource.getpagesize() / size)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_freed_memory_is_used_again() -> None:
    """Once the heap has settled a block of 64 MiB costs next to no page faults."""
    shares = {
        word: float(
            subprocess.run(
                [sys.executable, "-c", SCRIPT, word], capture_output=True, text=True, check=True
            ).stdout
        )
        for word in ("as it is", "prepared")
    }
    assert shares["prepared"] < 0.1 < shares["as it is"]
