"""What this machine cannot give is refused before Ray starts, which takes seconds."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablation.runner.resources import Resources

DEVICES = ("nvidia[0-9]*", "nvidiactl", "dxg", "kfd", "mxcd", "dri/renderD*")
"""Files in /dev of every kind of GPU that Ray knows."""


def check_machine(resources: Resources) -> None:
    """Raise :class:`UserError` if no trial could ever start on this machine.

    Where Ray may have more than is seen here (a cluster, variables of the environment, a device
    whose driver only Ray asks), it is Ray that answers.
    """
    from ablation.cost.gpus import AutoGpus
    from ablation.runner.resources import check_fits

    ray = sys.modules.get("ray")
    if resources.address is not None or "RAY_OVERRIDE_RESOURCES" in os.environ:
        return
    if ray is not None and ray.is_initialized():
        return
    any_number = isinstance(resources.gpus_per_trial, AutoGpus) or may_have_gpus()
    cpus = float(os.cpu_count() or math.inf)
    check_fits(resources, [{"CPU": cpus, "GPU": math.inf if any_number else 0.0}])


def may_have_gpus() -> bool:
    """Whether Ray could find a GPU; without importing what would ask the driver."""
    if sys.platform != "linux" or os.environ.get("CUDA_VISIBLE_DEVICES"):
        return True
    return any(any(Path("/dev").glob(pattern)) for pattern in DEVICES)
