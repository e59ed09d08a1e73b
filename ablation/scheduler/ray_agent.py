"""The raylet starts this in place of one of Ray's agents.

It writes the agent's ports at once, for which the raylet waits.

    python ray_agent.py AGENT.py --node-id=... --session-dir=... ...

AGENT.py and its arguments are Ray's own. The raylet starts no worker before each agent has written
its ports to files, and Ray's agents import Ray first (half a second of CPU time each).

The dashboard's agent is not started at all: its ports are -1, as in Ray without its dashboard. The
agent of runtime environments, of which skelcon needs none, starts some seconds later, on a port
that is chosen now; until then the raylet tries again to connect.

A program of its own that imports no package.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    sys.path.pop(0)  # this directory, whose queue.py would hide the standard library's

import os
import socket
import time
from pathlib import Path

DASHBOARD_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
RUNTIME_ENV_PORT = "runtime_env_agent_port"
DELAY_SECONDS = 10.0
"""When the agent of runtime environments starts; the raylet tries to connect for 30 seconds."""
POLL_SECONDS = 0.5


def write_port(values: dict[str, str], name: str, port: int) -> None:
    """Write a port where the raylet looks for it, whole or not at all."""
    path = Path(values["session-dir"], f"{name}_{values['node-id']}")
    unfinished = path.with_suffix(".new")
    unfinished.write_text(str(port), encoding="utf-8")
    unfinished.replace(path)


def wait(raylet: int, seconds: float) -> None:
    """Wait; end this process if the raylet has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.getppid() != raylet:
            sys.exit()
        time.sleep(POLL_SECONDS)


def main() -> None:
    """The command line."""
    raylet = int(os.environ.get("RAY_RAYLET_PID") or os.getppid())
    agent, *arguments = sys.argv[1:]
    values = dict(each[2:].split("=", 1) for each in arguments if "=" in each)
    if Path(agent).parts[-2:] == ("dashboard", "agent.py"):
        for name in DASHBOARD_PORTS:
            write_port(values, name, -1)
        wait(raylet, float("inf"))
    host = socket.getaddrinfo(values["node-ip-address"], 0, type=socket.SOCK_STREAM)[0]
    # The port stays reserved: the agent inherits this socket, which never listens, and binds its
    # own to the same port.
    reserved = socket.socket(*host[:3])
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(host[4])
    reserved.set_inheritable(True)
    port = reserved.getsockname()[1]
    write_port(values, RUNTIME_ENV_PORT, port)
    wait(raylet, DELAY_SECONDS)
    asked = "--runtime-env-agent-port="
    arguments = [f"{asked}{port}" if each.startswith(asked) else each for each in arguments]
    os.execv(sys.executable, [sys.executable, "-u", agent, *arguments])


if __name__ == "__main__":
    main()
