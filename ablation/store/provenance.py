"""Where a number comes from: versions, revision, hardware.

torch is imported only when a unit's provenance is written: reading it needs no torch.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
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

    hardware: Json = {"cpu": cpu_name(), "cores": os.cpu_count(), "gpu": None}
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        hardware |= {"gpu": torch.cuda.get_device_name(), "gpu_mib": total / 2**20}
        hardware["driver"] = _line_of(
            "/proc/driver/nvidia/version", r"NVRM version:.*?(\d+\.[\d.]+)"
        )
    hardware["system"] = f"{platform.system()} {platform.machine()}"
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        versions[name] = "unknown"
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    cudnn = torch.backends.cudnn.version()
    of_gpus = {"cuda": torch.version.cuda, "cudnn": None if cudnn is None else str(cudnn)}
    versions |= {name: text for name, text in of_gpus.items() if text is not None}
    return {"versions": versions, "revision": _revision(), "hardware": hardware}


def arithmetic(precision: str) -> Json:
    """The options that decide how the numbers of a unit of this precision are rounded."""
    import torch

    return {
        "precision": precision,
        "tf32_products": precision == "tf32",
        "tf32_convolutions": precision == "tf32",
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


def reset_peak_memory() -> None:
    """Forget the peaks of units that this process ran before."""
    import torch

    with contextlib.suppress(OSError):  # Linux only; elsewhere the peak is of the whole process
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, float]:
    """The peak memory of this process, and of its GPU, since the last reset, in MiB."""
    import torch

    kib = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    if found := _line_of("/proc/self/status", r"VmHWM:\s*(\d+)"):
        kib = float(found)
    peak = {"process_mib": kib / 1024}
    if torch.cuda.is_available():
        peak["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


def _line_of(file: str, pattern: str) -> str | None:
    """What the group of ``pattern`` matches in the first line that starts with it."""
    with contextlib.suppress(OSError):
        if found := re.search(
            f"^{pattern}", Path(file).read_text(encoding="utf-8", errors="replace"), re.MULTILINE
        ):
            return found[1].strip()
    return None


def _revision() -> str | None:
    """The git revision of the source, with a "+" if it was changed; None outside a checkout."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    # Full hashes, never the names of tags.
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        described = subprocess.run(
            [*command, "--dirty=+"], capture_output=True, encoding="utf-8", timeout=10, check=True
        )
        return described.stdout.strip()
    return None


def cpu_name() -> str:
    """The processor's name, or its architecture if the system gives no name."""
    found = _line_of("/proc/cpuinfo", r"model name[ \t]*:(.*)")
    return platform.processor() or platform.machine() if found is None else found
