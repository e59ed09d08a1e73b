"""The Ray cluster of one command: quiet, on loopback unless one is given, and gone at its end.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import ray

from ablation.interrupts import keeping_handlers
from ablation.scheduler.address import connect
from ablation.scheduler.resources import Resources
from skelcon.errors import MachineError

RESTARTS = 5
"""How often a Ray that has died is started again."""
GRACE_SECONDS = 5.0
"""How long the processes of a Ray that is stopped may take to end by themselves."""
VITAL = ("raylet", "gcs_server")
"""The processes that Ray cannot do without."""
UNUSED = {"dashboard.py", "log_monitor.py", "monitor.py"}
"""Programs of Ray that nothing needs here: the server of its dashboard, which is off, what copies
logs to the driver, and what would start further nodes. Each takes a CPU for a second."""
_vital: list[psutil.Process] = []
"""Those of the Ray that this process has started; none of a cluster that it connected to."""


@contextlib.contextmanager
def cluster(resources: Resources) -> Iterator[list[Mapping[str, float]]]:
    """A Ray cluster: the one at ``--address``, one already connected, or one of this machine.

    Gives the resources of each of its nodes, as Ray names them.
    """
    for name in ("ray", "ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            with keeping_handlers():  # Ray takes SIGTERM for itself
                _start(resources)
            stack.callback(_shut_down)
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _start(resources: Resources) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    quiet["logging_level"] = logging.CRITICAL
    if resources.address is not None:
        connect(resources.address, **quiet)
        return
    try:
        with _own_processes(), _token():
            # Local, whatever RAY_ADDRESS says; little memory for objects, as data goes by path.
            ray.init("local", include_dashboard=False, object_store_memory=100 << 20, **quiet)
    except Exception as error:  # of any kind: a machine that is too busy, a disk that is full
        for process in _started():
            _end(process)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SessionLostError(f"Ray did not start ({reason[:200]})") from error
    _vital[:] = _started()


def _started() -> list[psutil.Process]:
    """The vital processes of a Ray that this process has started."""
    return [child for child in psutil.Process().children() if _name_of(child) in VITAL]


def _end(process: psutil.Process) -> None:
    """Kill a process and all that it has started, which are in its process group."""
    with contextlib.suppress(psutil.Error, OSError):
        for each in process.children(recursive=True):
            each.kill()
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _token() -> Iterator[None]:
    """Where Ray cannot write the token of its session to the home directory, one of this session.

    Ray's processes inherit it. It is gone from here when they run: another cluster has another one.
    """
    home = Path.home() / ".ray"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(bytes(1 << 10))
        kept = True
    except OSError:
        kept = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not kept:
        os.environ["RAY_AUTH_TOKEN"] = _own_token()
    try:
        yield
    finally:
        if not kept:
            del os.environ["RAY_AUTH_TOKEN"]


@functools.cache  # Ray keeps the first that it sees in a process
def _own_token() -> str:
    return secrets.token_hex(32)


@contextlib.contextmanager
def _own_processes() -> Iterator[None]:
    """What Ray starts in this block has a process group of its own; :data:`UNUSED` is not started.

    A signal to the driver's group (`timeout`, systemd, a batch scheduler, Ctrl-C) would end Ray's
    processes before the driver has saved anything. Ray has no option for either.
    """
    original = subprocess.Popen.__init__

    @functools.wraps(original)
    def start(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("process_group", 0)
        command = args[0] if args else kwargs["args"]
        if isinstance(command, list) and UNUSED & {Path(str(word)).name for word in command[:3]}:
            args = (["true"], *args[1:])  # ends at once, and Ray goes on without it
        original(self, *args, **kwargs)

    if sys.platform != "win32":
        subprocess.Popen.__init__ = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = original  # type: ignore[method-assign]


def _name_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def _shut_down() -> None:
    """End Ray; none of the workers and agents of one that this process has started outlives it.

    Ray ends the raylet and leaves its workers to notice; whoever waits for the command finds them
    gone when it is over.
    """
    workers: list[psutil.Process] = []
    for process in _vital:
        with contextlib.suppress(psutil.Error):
            workers += process.children(recursive=True)
    try:
        ray.shutdown()
        until = time.monotonic() + GRACE_SECONDS
        while any(map(_is_alive, workers)) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        for process in filter(_is_alive, workers):
            with contextlib.suppress(psutil.Error):
                process.kill()
        _vital.clear()


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that only waits to be reaped, as in many containers, does not."""
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
    """What nobody uses at present, in words."""
    free, total = ray.available_resources(), ray.cluster_resources()
    names = [name for name in ("CPU", "GPU") if name in total]
    shares = [f"{free.get(name, 0):g} of {total[name]:g} {name}s" for name in names]
    return f"free at present: {' and '.join(shares)}"


class SessionLostError(Exception):
    """The Ray of this machine that the driver started has died, or did not start."""


def check_session() -> None:
    """Raise :class:`SessionLostError` if a process that Ray cannot do without has died.

    Ray itself would wait for it for ever. (Of a cluster that we connected to, Ray knows more than
    this machine does.)
    """
    if not all(map(_is_alive, _vital)):
        raise SessionLostError("Ray has died")


def restarting(session: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """What ``session`` gives, which does what is left to do, again if its Ray dies.

    Args:
        session: has a Ray of its own.
        say: receives why it is started again.

    Raises:
        MachineError: if Ray dies time and again.
    """
    reason = ""
    for _ in range(RESTARTS):
        try:
            return session()
        except SessionLostError as error:
            reason = str(error)
        say(f"{reason} and is started again")
    raise MachineError(
        f"{reason}, {RESTARTS} times: is the machine too busy? Its logs are in /tmp/ray; run the "
        "same command to resume"
    )
