"""The Ray cluster of one command: quiet, on loopback unless one is given, and gone at its end.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")  # print nothing of a node that is lost
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")  # Tune's own record is never read
# A unit that is handed out is this driver's: no more of them than are about to start.
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "2")

import psutil
import ray

from ablation.runner.joining import join
from ablation.runner.resources import Resources
from skelcon.errors import UserError

SESSIONS = 5
"""How often a Ray that has died is started again."""
GRACE_SECONDS = 5.0
"""How long the processes of a Ray that is stopped may take to end by themselves."""
Outcome = TypeVar("Outcome")


@contextlib.contextmanager
def cluster(resources: Resources) -> Iterator[list[Mapping[str, float]]]:
    """A Ray cluster: the one at ``--address``, one already joined, or one of this machine.

    Gives the resources of each of its nodes, as Ray names them.
    """
    for name in ("ray", "ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ours = not ray.is_initialized()
    with _terminated_like_interrupted() as take_over:
        if ours:
            try:
                _connect(resources)
            except SystemExit:  # Ray's own answer to SIGTERM
                raise KeyboardInterrupt from None
        try:
            take_over()
            yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
        finally:
            if ours:
                with _ending(_started_here()):
                    ray.shutdown()


def _started_here() -> list[psutil.Process]:
    """The workers and agents of the Ray that this process has started; none of one it joined."""
    node = ray._private.worker._global_node
    if node is None:
        return []
    found = []
    for kind, process in node.live_processes():
        if kind == "raylet":
            with contextlib.suppress(psutil.NoSuchProcess):
                found += psutil.Process(process.pid).children(recursive=True)
    return found


@contextlib.contextmanager
def _ending(processes: list[psutil.Process]) -> Iterator[None]:
    """None of ``processes`` outlives this block.

    Ray ends the raylet and leaves its workers to notice; whoever waits for the command finds them
    gone when it is over.
    """
    try:
        yield
        until = time.monotonic() + GRACE_SECONDS
        while any(map(_is_alive, processes)) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        for process in filter(_is_alive, processes):
            with contextlib.suppress(psutil.Error):
                process.kill()


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that only waits to be reaped, as in many containers, does not."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _connect(resources: Resources) -> None:
    common: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
        "configure_logging": False,
    }
    if resources.address is not None:
        join(resources.address, common)
        return
    # Data goes by path, so the object store stays small.
    ray.init(
        address="local",  # whatever RAY_ADDRESS says
        include_dashboard=False,
        object_store_memory=100 << 20,
        **common,
    )


def holds_resources() -> bool:
    """Whether the cluster has given this driver anything for a trial yet."""
    job = ray.get_runtime_context().get_job_id()
    return any(
        group["state"] == "CREATED" and name.endswith(job)  # a group's id ends with its job's
        for name, group in ray.util.placement_group_table().items()
    )


def free_resources() -> str:
    """What nobody uses at present, in words."""
    free, total = ray.available_resources(), ray.cluster_resources()
    shares = [
        f"{free.get(name, 0):g} of {total[name]:g} {name}s"
        for name in ("CPU", "GPU")
        if name in total
    ]
    return f"free at present: {' and '.join(shares)}"


class SessionLostError(Exception):
    """The Ray of this machine that the driver started has died under it."""


def check_session() -> None:
    """Raise :class:`SessionLostError` if a process that Ray cannot do without has died.

    Ray itself would wait for it for ever. (Of a cluster that was joined Ray knows more than this
    machine does.)
    """
    node = ray._private.worker._global_node
    if node is not None and any(
        kind in ("raylet", "gcs_server") for kind, _ in node.dead_processes()
    ):
        raise SessionLostError


def restarting(session: Callable[[], Outcome], say: Callable[[str], None]) -> Outcome:
    """What ``session`` gives, which is begun anew if Ray dies under it.

    Args:
        session: does what is left to do, with a Ray of its own.
        say: is told why it is begun anew.

    Raises:
        UserError: if Ray dies time and again.
    """
    for _ in range(SESSIONS):
        with contextlib.suppress(SessionLostError):
            return session()
        say("Ray has died and is started again")
    raise UserError(
        f"Ray has died {SESSIONS} times, the last as the first: look at its logs in /tmp/ray; "
        "the same command goes on from here"
    )


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[Callable[[], None]]:
    """SIGTERM does in this block what Ctrl-C does: leave, so that the same command can go on.

    Gives what makes it so once more: Ray, when it starts, takes the signal for itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def take_over() -> None:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))

    before = signal.getsignal(signal.SIGTERM)
    take_over()
    try:
        yield take_over
    finally:
        signal.signal(signal.SIGTERM, before)
