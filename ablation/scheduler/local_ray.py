"""How the Ray of this machine is started, as far as Ray has no option for it. Imports no Ray."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablation.scheduler.resources import Resources

UNUSED = {"dashboard.py", "log_monitor.py", "monitor.py"}
"""Programs of Ray that nothing needs here: the server of its dashboard, which is off, what copies
logs to the driver, and what would start further nodes. Each takes a CPU for a second."""
AGENTS = ("--dashboard_agent_command=", "--runtime_env_agent_command=")
"""Arguments of the raylet: what starts an agent."""
WAITED_FOR = ("--grpc-port=0", "--runtime-env-agent-port=0")
"""Arguments with which an agent chooses its own port; the raylet then waits until the port is in a
file."""
STAND_IN = str(Path(__file__).with_name("ray_agent.py"))
"""What is started in place of such an agent."""
PRELOADED = "RAY_preload_python_modules"
"""The variable that names what Ray's workers import first."""
THREADS = "OMP_NUM_THREADS"
RETRIES = {
    "RAY_raylet_client_connect_timeout_milliseconds": "20",
    "RAY_raylet_client_num_connect_attempts": "500",
}
"""A process that connects to one of Ray's sockets too early retries after 20 ms (default: 1 s), for
10 s in all."""


@contextlib.contextmanager
def local_ray(resources: Resources, trials: int, *, stand_ins: bool = True) -> Iterator[None]:
    """Start Ray in this block.

    Args:
        resources: what a trial takes.
        trials: how many there are.
        stand_ins: whether :data:`STAND_IN` is started in place of Ray's agents.
    """
    variables = {**RETRIES, **_preloading(resources, trials)}
    with _own_processes(stand_ins), _token(), _environment(variables):
        yield


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the ``variables`` that the user has not set."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextlib.contextmanager
def _token() -> Iterator[None]:
    """Give Ray a token by environment variable if it cannot write one to the home directory.

    Its processes inherit it; it is removed here afterwards, as another cluster requires its own.
    """
    try:
        home = Path.home() / ".ray"
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(bytes(1 << 10))
        kept = True
    except (OSError, RuntimeError):  # it is read-only, or unknown
        kept = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not kept:
        os.environ["RAY_AUTH_TOKEN"] = _own_token()
    try:
        yield
    finally:
        if not kept:
            del os.environ["RAY_AUTH_TOKEN"]


def _preloading(resources: Resources, trials: int) -> dict[str, str]:
    """Have Ray's workers import what a trial needs before they get one, if each will get one.

    Ray starts a worker for each CPU. Workers without a trial would only use memory for the imports.

    Returns:
        The environment variables for it.
    """
    at_once = min(trials, resources.max_concurrent or trials)
    small = resources.cpus_per_trial <= 1 and not resources.gpus_per_trial
    if not small or at_once < (os.cpu_count() or 1):
        return {}
    # Ray sets the threads for a trial of one CPU too, but only after such an import has read them.
    return {PRELOADED: "ablation.scheduler.preload", THREADS: "1"}


@functools.cache  # Ray keeps the first that it sees in a process
def _own_token() -> str:
    return secrets.token_hex(32)


@contextlib.contextmanager
def _own_processes(stand_ins: bool) -> Iterator[None]:
    """What Ray starts in this block has a process group of its own; :data:`UNUSED` is not started.

    A signal to the driver's group (`timeout`, systemd, a batch scheduler, Ctrl-C) would end Ray's
    processes before the driver has saved anything. Ray has no option for this, for
    :data:`UNUSED` or for ``stand_ins``.
    """
    original = subprocess.Popen.__init__

    @functools.wraps(original)
    def start(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("process_group", 0)
        command = args[0] if args else kwargs.pop("args")
        unused = False
        if isinstance(command, list):
            unused = bool(UNUSED & {Path(str(word)).name for word in command[:3]})
            if unused:
                command = ["true"]
            elif stand_ins and sys.platform == "linux":
                command = [with_stand_in(str(word)) for word in command]
        original(self, command, *args[1:], **kwargs)
        if unused:
            self.wait()  # Ray looks at once whether it has ended, and again after 0.1 s

    if sys.platform != "win32":
        subprocess.Popen.__init__ = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = original  # type: ignore[method-assign]


def with_stand_in(argument: str) -> str:
    """An argument of the raylet that starts :data:`STAND_IN` where it started an agent.

    It stays as it is if it is of another kind, or not as Ray 2.60 has it.
    """
    words = argument.split(" ")
    known = argument.startswith(AGENTS) and any(each in words for each in WAITED_FOR)
    script = next((index for index, each in enumerate(words) if each.endswith(".py")), None)
    # A path with a space is quoted.
    if not known or script is None or '"' in argument or " " in STAND_IN:
        return argument
    return " ".join([*words[:script], STAND_IN, *words[script:]])
