"""The Ray cluster of one command: quiet, on loopback unless one is given, and gone at its end.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Workers keep freed memory: a training step allocates the same large blocks again and again, and
# giving them back to the system costs a page fault for each of their pages.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(4 << 30))

import ray

from ablation.resources import Resources
from skelcon.errors import UserError


@contextlib.contextmanager
def cluster(resources: Resources) -> Iterator[Mapping[str, float]]:
    """A Ray cluster: the one at ``--address``, one already joined, or one of this machine."""
    for name in ("ray", "ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ours = not ray.is_initialized()
    if ours:
        common: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.CRITICAL,
            "configure_logging": False,
        }
        if resources.address:
            try:
                ray.init(address=resources.address, **common)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"no Ray cluster answers at --address {resources.address}: "
                    f"{str(error).splitlines()[0]}"
                ) from None
        else:
            # Data goes by path, so the object store stays small.
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                include_dashboard=False,
                object_store_memory=100 << 20,
                **common,
            )
    try:
        yield ray.cluster_resources()
    finally:
        if ours:
            ray.shutdown()


def check_fits(resources: Resources, total: Mapping[str, float]) -> None:
    """Raise :class:`UserError` if no trial could ever start."""
    asked = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    for name, amount in asked.items():
        if amount > total.get(name, 0):
            raise UserError(
                f"--{name.lower()}s-per-trial {amount:g}: the cluster has "
                f"{total.get(name, 0):g} {name}s, so no trial could ever start"
            )
