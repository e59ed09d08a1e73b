"""What the nodes of a cluster see of the driver's paths, looked at before anything runs.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ablation.runner.resources import Resources
from ablation.store import Store
from skelcon.errors import UserError

ANSWER_SECONDS = 60.0
"""How long the nodes' answers are waited for: each starts a process first."""
CATCH_UP_SECONDS = 3.0
"""How long a file that has just been written may stay hidden from a node of a network's."""


def check_nodes(
    store: Store, resources: Resources, nodes: Sequence[Mapping[str, float]]
) -> str | None:
    """See that all nodes share the results; gives where those without the data fetch it.

    Results that have a mirror need not be shared.

    A file is written there and looked for by a task on each node but the driver's that could start
    a trial. A node that dies or does not answer is left to Ray; one that joins later finds out with
    its first unit.

    Args:
        store: the results.
        resources: what a trial asks.
        nodes: the resources of each node of the cluster.

    Returns:
        The id of the driver's node; None where there is no other and none can join.

    Raises:
        UserError: if a node does not see the results, or cannot write there.
    """
    if len(nodes) == 1 and resources.address is None:
        return None
    here = str(ray.get_runtime_context().get_node_id())
    others = {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != here and _can_start(node["Resources"], resources)
    }
    if others and resources.mirror is None:
        _check_results(store, others)
    return here


def _check_results(store: Store, names: Mapping[str, str]) -> None:
    """``names``: id -> name of each node to ask."""
    probe = store.units.resolve() / f".probe-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    probe.parent.mkdir(parents=True, exist_ok=True)
    probe.touch()
    try:
        troubles = _troubles(probe, list(names))
    finally:
        probe.unlink(missing_ok=True)
    if troubles:
        node, trouble = next(iter(troubles.items()))
        more = f" (and {len(troubles) - 1} other nodes)" if len(troubles) > 1 else ""
        raise UserError(
            f"--results {store.results}: node {names[node]}{more} {trouble} this directory as "
            f"'{store.results.resolve()}': give a path on a file system that all nodes mount in "
            "the same place"
        )


def _can_start(node: Mapping[str, float], resources: Resources) -> bool:
    return (
        node.get("CPU", 0.0) >= resources.cpus_per_trial
        and node.get("GPU", 0.0) >= resources.gpus_per_trial
    )


def _troubles(probe: Path, nodes: list[str]) -> dict[str, str]:
    """Those of ``nodes`` that cannot use the file ``probe``, and what they cannot."""
    look = ray.remote(num_cpus=0, max_retries=0)(look_at)
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked[node] = look.options(scheduling_strategy=there).remote(str(probe))
    until = time.monotonic() + ANSWER_SECONDS
    troubles = {}
    for node, answer in asked.items():
        with contextlib.suppress(GetTimeoutError, RayError):
            trouble = ray.get(answer, timeout=max(0.0, until - time.monotonic()))
            if trouble:
                troubles[node] = trouble
    return troubles


def look_at(path: str) -> str:
    """Runs on a node: what it cannot do with the file, that is there or is soon; empty if all."""
    until = time.monotonic() + CATCH_UP_SECONDS
    while not Path(path).exists():
        if time.monotonic() > until:
            return "does not see"
        time.sleep(0.2)
    try:
        neighbour = Path(path).with_name(f"{Path(path).name}-{uuid.uuid4().hex[:8]}")
        neighbour.touch()
        neighbour.unlink()
    except OSError as error:
        return f"cannot write ({error.strerror}) to"
    return ""
