"""Whether the nodes of a cluster see the driver's results; checked before anything runs.

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
"""How long to wait for the nodes: each starts a process first."""
CATCH_UP_SECONDS = 3.0
"""How long a new file may take to appear on a network file system."""


def check_nodes(
    store: Store, resources: Resources, nodes: Sequence[Mapping[str, float]]
) -> str | None:
    """Check that all nodes share the results; gives the node from which data can be fetched.

    Results that have a mirror need not be shared.

    A file is written there, and a task on each other node that could start a trial looks for it. A
    node that dies or does not answer is left to Ray; for one that joins later its first unit fails.

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
    others = {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != here and _can_start(node["Resources"], resources)
    }
    if others and resources.mirror is None:
        _check_results(store, others)
    return here


def _check_results(store: Store, names: Mapping[str, str]) -> None:
    """``names``: id -> name of each node to check."""
    probe = store.units.resolve() / f".probe-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    probe.parent.mkdir(parents=True, exist_ok=True)
    probe.touch()
    try:
        problems = _problems(probe, list(names))
    finally:
        probe.unlink(missing_ok=True)
    if problems:
        node, problem = next(iter(problems.items()))
        more = f" (and {len(problems) - 1} other nodes)" if len(problems) > 1 else ""
        raise UserError(
            f"--results {store.results}: node {names[node]}{more} {problem} this directory as "
            f"'{store.results.resolve()}': give a path on a file system that all nodes mount in "
            "the same place"
        )


def _can_start(node: Mapping[str, float], resources: Resources) -> bool:
    return (
        node.get("CPU", 0.0) >= resources.cpus_per_trial
        and node.get("GPU", 0.0) >= resources.gpus_per_trial
    )


def _problems(probe: Path, nodes: list[str]) -> dict[str, str]:
    """The nodes that cannot use the file ``probe``, and what they cannot do."""
    look = ray.remote(num_cpus=0, max_retries=0)(look_at)
    answers = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        answers[node] = look.options(scheduling_strategy=there).remote(str(probe))
    until = time.monotonic() + ANSWER_SECONDS
    problems = {}
    for node, answer in answers.items():
        with contextlib.suppress(GetTimeoutError, RayError):
            problem = ray.get(answer, timeout=max(0.0, until - time.monotonic()))
            if problem:
                problems[node] = problem
    return problems


def look_at(path: str) -> str:
    """Runs on a node: what it cannot do with the file, which may appear late; empty if nothing."""
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
