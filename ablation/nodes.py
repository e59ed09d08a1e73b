"""What the nodes of a cluster see of the driver's paths, looked at before anything runs.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ablation.store import Store
from skelcon.errors import UserError

ANSWER_SECONDS = 60.0
"""How long the nodes' answers are waited for: each starts a process first."""
CATCH_UP_SECONDS = 5.0
"""How long a file that has just been written may stay hidden from a node of a network's."""


def this_node() -> str:
    """The id of the node that the driver runs on."""
    return str(ray.get_runtime_context().get_node_id())


def check_results_shared(store: Store, cpus: float, gpus: float) -> None:
    """Raise :class:`UserError` if a node that could start a trial does not see the results.

    A file is written there and looked for by a task on each such node but the driver's. A node
    that dies or does not answer is left to Ray; one that joins later finds out with its first unit.

    Args:
        store: the results.
        cpus: what a trial asks of a node.
        gpus: the same, of GPUs.
    """
    here = this_node()
    others = {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != here and _can_start(node["Resources"], cpus, gpus)
    }
    if not others:
        return
    probe = store.units.resolve() / f".probe-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    probe.parent.mkdir(parents=True, exist_ok=True)
    probe.touch()
    try:
        blind = [name for node, name in others.items() if node in _blind(probe, list(others))]
    finally:
        probe.unlink(missing_ok=True)
    if blind:
        more = f" and {len(blind) - 1} other nodes do" if len(blind) > 1 else " does"
        raise UserError(
            f"--results {store.results}: node {blind[0]}{more} not see this directory as "
            f"'{store.results.resolve()}': give a path on a file system that all nodes mount in "
            "the same place"
        )


def _can_start(node: Mapping[str, float], cpus: float, gpus: float) -> bool:
    return node.get("CPU", 0.0) >= cpus and node.get("GPU", 0.0) >= gpus


def _blind(probe: Path, nodes: list[str]) -> set[str]:
    """Those of ``nodes`` that do not see the file ``probe``."""
    look = ray.remote(num_cpus=0, max_retries=0)(_sees)
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked[node] = look.options(scheduling_strategy=there).remote(str(probe))
    until = time.monotonic() + ANSWER_SECONDS
    blind = set()
    for node, answer in asked.items():
        try:
            if not ray.get(answer, timeout=max(0.0, until - time.monotonic())):
                blind.add(node)
        except (GetTimeoutError, RayError):
            continue
    return blind


def _sees(path: str) -> Any:
    """Runs on a node: whether the file is there, or is soon."""
    until = time.monotonic() + CATCH_UP_SECONDS
    while not Path(path).exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
