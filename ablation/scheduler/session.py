"""The Ray cluster of one command: quiet, on loopback unless one is given, and gone at its end.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
import ray

from ablation.interrupts import Interrupt, keeping_handlers
from ablation.scheduler.address import connect
from ablation.scheduler.garbage import no_collection
from ablation.scheduler.local_ray import local_ray
from ablation.scheduler.resources import Resources
from skelcon.cli.console import exit_at_once
from skelcon.errors import MachineError

STARTS = 5
"""How often Ray is started, if it dies or does not start."""
GRACE_SECONDS = 1.0
"""How long workers may take to end by themselves after Ray has ended."""
VITAL = ("raylet", "gcs_server")
"""The processes that Ray cannot do without."""
_has_failed = False
"""Whether Ray did not start in this process before."""
_vital: list[psutil.Process] = []
"""The vital processes that this process has started; none on a cluster that it connected to."""


@contextlib.contextmanager
def cluster(resources: Resources, trials: int = 0) -> Iterator[list[Mapping[str, float]]]:
    """A Ray cluster: the one at ``--address``, one already connected, or one of this machine.

    Gives the resources of each of its nodes, as Ray names them.

    Args:
        resources: what a trial takes.
        trials: how many there are.
    """
    for name in ("ray", "ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            with keeping_handlers():  # Ray has a handler of SIGTERM
                _start(resources, trials)
            stack.callback(_shut_down)
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _start(resources: Resources, trials: int) -> None:
    global _has_failed  # noqa: PLW0603  (Ray has one state per process too)
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    quiet["logging_level"] = logging.CRITICAL
    if resources.address is not None:
        connect(resources.address, **quiet)
        return
    try:
        # After a failed start Ray's own agents run: another version of Ray may need them.
        with local_ray(resources, trials, stand_ins=not _has_failed):
            # Local, whatever RAY_ADDRESS says; little memory for objects, as data goes by path.
            ray.init("local", include_dashboard=False, object_store_memory=100 << 20, **quiet)
    except BaseException as error:  # a machine that is too busy, a disk that is full, a signal
        for process in _started():
            _end(process)
        if not isinstance(error, Exception):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        _has_failed = True
        raise SessionLostError(f"Ray did not start ({reason[:200]})") from error
    _vital[:] = _started()


def _started() -> list[psutil.Process]:
    """The processes named in :data:`VITAL` that this process has started."""
    return [child for child in psutil.Process().children() if _name_of(child) in VITAL]


def started_here() -> bool:
    """Whether this process has started the Ray that it uses, and ends it."""
    return bool(_vital)


def _end(process: psutil.Process) -> None:
    """Kill a process and all that it has started, which are in its process group."""
    with contextlib.suppress(psutil.Error, OSError):
        for each in process.children(recursive=True):
            each.kill()
        os.killpg(process.pid, signal.SIGKILL)


def _name_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def _shut_down() -> None:
    """End Ray with all its workers and agents, or disconnect from a cluster.

    Ray itself ends the raylet and leaves the workers to notice: some would outlive the command.
    """
    workers: list[psutil.Process] = []
    for process in _vital:
        with contextlib.suppress(psutil.Error):
            workers += process.children(recursive=True)
    try:
        _disconnect()
        until = time.monotonic() + GRACE_SECONDS
        while any(map(_is_alive, workers)) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        for process in filter(_is_alive, workers):
            with contextlib.suppress(psutil.Error):
                process.kill()
        _vital.clear()


def _disconnect() -> None:
    """``ray.shutdown()`` without garbage collection, in this thread or another one.

    Ray ends a process in which an ``ObjectRef`` is released while it shuts down. It also removes
    the handler of SIGTERM: such a signal would end the process at once.
    """
    gc.collect()
    with no_collection(), keeping_handlers():
        ray.shutdown()


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie, which many containers never reap, does not."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def holds_resources() -> bool:
    """Whether the cluster has given this driver anything for a trial yet."""
    job = ray.get_runtime_context().get_job_id()
    return any(
        group["state"] == "CREATED" and name.endswith(job)  # a group's id ends with its job's
        for name, group in ray.util.placement_group_table().items()
    )


def free_resources() -> str:
    """The resources that are free at present, in words."""
    free, total = ray.available_resources(), ray.cluster_resources()
    names = [name for name in ("CPU", "GPU") if name in total]
    shares = [f"{free.get(name, 0):g} of {total[name]:g} {name}s" for name in names]
    return f"free at present: {' and '.join(shares)}"


@contextlib.contextmanager
def leaving_quickly(interrupt: Interrupt) -> Iterator[None]:
    """After a signal in this block the process exits without unloading its libraries.

    Python needs seconds to unload Ray and torch. If Ray was initialised before, the process exits
    as usual.
    """
    before = ray.is_initialized()
    try:
        yield
    except KeyboardInterrupt:
        interrupt.set()
        raise
    finally:
        if interrupt.requested and not before:
            exit_at_once.set()


class SessionLostError(Exception):
    """The Ray of this machine that the driver started has died, or did not start."""


def check_session() -> None:
    """Raise :class:`SessionLostError` if a process that Ray cannot do without has died.

    Ray itself would wait for it without an end. A cluster that this process connected to is left to
    Ray, which knows more of it.
    """
    if not all(map(_is_alive, _vital)):
        raise SessionLostError("Ray has died")


def restarting(session: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """Call ``session`` again if its Ray dies; gives what it returns.

    Args:
        session: starts Ray and does what is left to do.
        say: receives why Ray is started again.

    Raises:
        MachineError: if Ray has died, or did not start, :data:`STARTS` times.
    """
    reason = ""
    for number in range(STARTS):
        if number > 0:
            say(f"{reason} and is started again")
        try:
            return session()
        except SessionLostError as error:
            reason = str(error)
    raise MachineError(
        f"{reason}, {STARTS} times: is the machine too busy? Its logs are in /tmp/ray; run the "
        "same command to resume"
    )
