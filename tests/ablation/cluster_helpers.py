"""A Ray cluster of several nodes on this machine, on loopback alone, for the tests."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

CLUSTER = """
import sys
from ray.cluster_utils import Cluster
common = dict(node_ip_address="127.0.0.1", include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, **common))
for _ in range(int(sys.argv[1])):
    cluster.add_node(num_cpus=1, **common)
print(cluster.address, flush=True)
sys.stdin.read()
"""
"""A head without CPUs, and nodes with one each."""
NODE = """
import sys, time
from ray._private.node import Node
from ray._private.parameter import RayParams
parameters = RayParams(
    gcs_address=sys.argv[1], node_ip_address="127.0.0.1", num_cpus=1, num_gpus=0,
    object_store_memory=150 << 20, min_worker_port=0, max_worker_port=0, node_manager_port=0,
    include_log_monitor=False, redis_address=sys.argv[1])
node = Node(parameters, head=False, shutdown_at_exit=True, spawn_reaper=True)
print("up", flush=True)
time.sleep(600)
"""
"""One more node, which sees the file system as its process does."""


def environment() -> dict[str, str]:
    """For every process of a test's cluster: loopback means loopback, and a token of its own."""
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": uuid.uuid4().hex,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _unshare(*command: str) -> list[str]:
    """A command that sees mounts of its own, by root's right or by that of a user's name space."""
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *rights, "--mount", *command]


def can_hide() -> bool:
    """Whether a process of ours may see a file system of its own."""
    words = _unshare("mount", "-t", "tmpfs", "none", "/mnt")
    return (
        shutil.which("unshare") is not None
        and subprocess.run(words, capture_output=True, check=False).returncode == 0
    )


Child = subprocess.Popen[str]


@contextlib.contextmanager
def process(log: Path, *arguments: object, hidden: tuple[Path, ...] = ()) -> Iterator[Child]:
    """A Python program with its children in a session of its own, which ends with the block."""
    words = [sys.executable, "-c", *map(str, arguments)]
    if hidden:
        mounts = " && ".join(f"mount -t tmpfs none '{path}'" for path in hidden)
        words = _unshare("sh", "-c", f'{mounts} && exec "$@"', "sh", *words)
    with log.open("w") as errors:
        child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    with child:
        try:
            yield child
        finally:
            for each in _session(child):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)


def answer(child: Child, log: Path) -> str:
    """The next line that ``child`` prints."""
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line, log.read_text()
    return line


def lose_a_node(cluster: Child) -> None:
    """Kill the Ray of a node that is at work; its workers end with it."""
    for each in _session(cluster):
        with contextlib.suppress(OSError):
            process = Path(f"/proc/{each}")
            if re.match(rb"ray::\w+\.train\b", (process / "cmdline").read_bytes()):
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                os.kill(int(parent), signal.SIGKILL)
                return
    raise AssertionError("no node is at work")


def _session(leader: Child) -> list[int]:
    """The processes of a session."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(each.name)) == leader.pid:
                found.append(int(each.name))
    return found
