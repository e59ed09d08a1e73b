"""How the Ray of this machine is started, as far as Ray has no option for it. Imports no Ray."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablation.scheduler.resources import Resources

UNUSED = {"dashboard.py", "log_monitor.py", "monitor.py"}
"""Programs of Ray that nothing needs here: the server of its dashboard, which is off, what copies
logs to the driver, and what would start further nodes. Each takes a CPU for a second."""
AGENTS = {"--dashboard_agent_command": "--grpc-port=0", "--runtime_env_agent_command": "-port=0"}
"""Arguments of the raylet that start an agent -> what says that the raylet waits for its port."""
AGENT = str(Path(__file__).with_name("ray_agent.py"))
PRELOADED = "RAY_preload_python_modules"
"""The variable that names what Ray's workers import first."""
THREADS = "OMP_NUM_THREADS"


@contextlib.contextmanager
def local_ray(resources: Resources, trials: int) -> Iterator[None]:
    """Start Ray in this block.

    Args:
        resources: what a trial takes.
        trials: how many there are.
    """
    with _own_processes(), _token(), _preloading(resources, trials):
        yield


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


@contextlib.contextmanager
def _preloading(resources: Resources, trials: int) -> Iterator[None]:
    """Ray's workers import torch and the like at their start, if each of them will have a trial.

    Ray starts one for each CPU; where most would have nothing to do, they would take memory for it.
    """
    at_once = min(trials, resources.max_concurrent or trials)
    small = resources.cpus_per_trial <= 1 and not resources.gpus_per_trial
    if not small or at_once < (os.cpu_count() or 1):
        yield
        return
    # Ray sets the threads for a trial of one CPU too, but only after such an import has read them.
    asked = {PRELOADED: "ablation.scheduler.trainables,ablation.scheduler.worker", THREADS: "1"}
    added = {name: value for name, value in asked.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


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
        elif isinstance(command, list) and args:
            args = ([with_quick_agent(word) for word in command], *args[1:])
        original(self, *args, **kwargs)

    if sys.platform != "win32":
        subprocess.Popen.__init__ = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = original  # type: ignore[method-assign]


def with_quick_agent(word: str) -> str:
    """An argument of a command; one that starts an agent of Ray starts :data:`AGENT` instead."""
    name, _, line = word.partition("=")
    words = line.split(" ")
    waits = name in AGENTS and AGENTS[name] in line and "--session-dir=" in line
    # (Where a path has a space, its quotes are Ray's affair.)
    if not waits or {*'"\t '} & {*AGENT} or '"' in line or sys.platform != "linux":
        return word
    script = next(index for index, each in enumerate(words) if each.endswith(".py"))
    return f"{name}={' '.join([*words[:script], AGENT, *words[script:]])}"
