"""Where a number comes from: versions, revision, hardware.

torch is imported when it is first asked: what reads finished units does without.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path

from skelcon.config import Json

PACKAGES = ("skelcon", "torch", "numpy", "scipy", "pandas", "ray")


@functools.cache
def environment() -> Json:
    """Package versions, git revision and hardware of this process."""
    import torch

    gpu: Json = {"gpu": None}
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        gpu = {"gpu": torch.cuda.get_device_name(), "gpu_mib": total / 2**20}
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "revision": _revision(),
        "hardware": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            **gpu,
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def reset_peak_memory() -> None:
    """Forget earlier peaks, of units that this process did before."""
    import torch

    with contextlib.suppress(OSError):  # Linux only; elsewhere the process's whole life counts
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, float]:
    """The largest memory of this process, and of its GPU, since the last reset, in MiB."""
    import torch

    kib = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                kib = float(line.split()[1])
    peak = {"process_mib": kib / 1024}
    if torch.cuda.is_available():
        peak["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def _revision() -> str | None:
    """The git revision of the source, with a "+" if it was changed; None outside a checkout."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        revision, changes = (
            subprocess.run(
                ["git", "-C", str(here), *command],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for command in (
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision + ("+" if changes else "")


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
