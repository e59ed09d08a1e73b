"""Whether the nodes of a cluster see the driver's results; checked before anything runs.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ablation.scheduler.resources import Resources
from ablation.store import Store
from skelcon.errors import UserError

ANSWER_SECONDS = 60.0
"""How long to wait for the nodes: each starts a process first."""
CATCH_UP_SECONDS = 3.0
"""How long a new file may take to appear on a network file system."""


def run_on(node: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Start ``function`` on a node; gives Ray's reference to its result."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(num_cpus=0, scheduling_strategy=there)(function)
    return task.remote(*arguments)


def check_nodes(
    store: Store, resources: Resources, nodes: Sequence[Mapping[str, float]]
) -> str | None:
    """Check that all nodes share the results; gives the node from which data can be fetched.

    Results that have a mirror need not be shared. A node that dies or does not answer is left to
    Ray. On one that joins later without seeing the results, the first unit fails.

    Args:
        store: the results.
        resources: what a trial requires.
        nodes: the resources of each node of the cluster.

    Returns:
        The id of the driver's node; None if there is no other and none can join.

    Raises:
        UserError: if a node does not see the results, or cannot write there.
    """
    if len(nodes) == 1 and resources.address is None:
        return None
    here = str(ray.get_runtime_context().get_node_id())
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    others = [node for node in others if resources.fit_on(node["Resources"])]
    if others and resources.mirror is None:
        _check_results(store, others)
    return here


def _check_results(store: Store, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Write a file, and have a task on each of ``nodes``, as Ray describes them, look for it."""
    probe = store.units.resolve() / f".probe-{uuid.uuid4().hex[:8]}.tmp"
    probe.parent.mkdir(parents=True, exist_ok=True)
    probe.touch()
    problems = []
    try:
        until = time.monotonic() + ANSWER_SECONDS
        answers = [(node, run_on(node["NodeID"], look_at, str(probe))) for node in nodes]
        for node, answer in answers:
            with contextlib.suppress(GetTimeoutError, RayError):
                if problem := ray.get(answer, timeout=max(0.0, until - time.monotonic())):
                    problems.append((node, problem))
    finally:
        probe.unlink(missing_ok=True)
    if problems:
        node, problem = problems[0]
        others = len(problems) - 1
        more = f" (and {others} other node{'s' if others > 1 else ''})" if others else ""
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        raise UserError(
            f"--results {store.results}: node {name}{more} {problem} this directory as "
            f"'{store.results.resolve()}': give a path on a file system that all nodes mount in "
            "the same place"
        )


def look_at(path: str) -> str:
    """Runs on a node: what it cannot do with the file, which may appear late; empty if nothing."""
    until = time.monotonic() + CATCH_UP_SECONDS
    while not Path(path).exists():
        if time.monotonic() > until:
            return "does not see"
        time.sleep(0.2)
    try:
        neighbour = Path(path).with_name(f".probe-{uuid.uuid4().hex[:8]}.tmp")
        neighbour.touch()
        neighbour.unlink()
    except OSError as error:
        return f"cannot write ({error.strerror}) to"
    return ""
