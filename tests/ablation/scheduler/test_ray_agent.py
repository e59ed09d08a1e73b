"""What is started in place of Ray's agents, so that the raylet does not wait for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import ray

from ablation.interrupts import keeping_handlers
from ablation.scheduler import ray_agent
from ablation.scheduler.local_ray import local_ray
from ablation.scheduler.ray_agent import DASHBOARD_PORTS, RUNTIME_ENV_PORT
from ablation.scheduler.resources import Resources
from ablation.scheduler.session import cluster

SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"
DASHBOARD = (
    "--dashboard_agent_command=python -u /ray/dashboard/agent.py --node-id=n --grpc-port=0 "
    "--session-dir=/s"
)
RUNTIME_ENV = (
    "--runtime_env_agent_command=python -u /ray/agent/main.py --runtime-env-agent-port=0 "
    "--session-dir=/s"
)
AGENT = """
import json, os, socket, sys
(port,) = (int(a.split("=")[1]) for a in sys.argv if a.startswith("--runtime-env-agent-port="))
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", port))
server.listen()
socket.create_connection(("127.0.0.1", port)).close()
print(json.dumps({"port": port, "rest": [a for a in sys.argv[1:] if "port" not in a]}))
"""
"""In place of Ray's agent of runtime environments: is reached at the port that it is given."""


def started(*arguments: str, stand_ins: bool = True) -> list[str]:
    """The arguments that a program gets which Ray starts with these."""
    with local_ray(Resources(), 0, stand_ins=stand_ins):
        shown = subprocess.run(
            [sys.executable, "-c", SHOW, *arguments], capture_output=True, check=True
        )
    found: list[str] = json.loads(shown.stdout)
    return found


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of the stand-in for an agent, on a node ``n`` with this session."""

    def command(agent: str, delay: float = 10.0) -> list[str]:
        program = f"""
import sys
from ablation.scheduler import ray_agent
ray_agent.DELAY_SECONDS = {delay}
ray_agent.main()
"""
        where = ["--node-id=n", f"--session-dir={tmp_path}", "--node-ip-address=127.0.0.1"]
        ports = ["--grpc-port=0", "--runtime-env-agent-port=0"]
        return [sys.executable, "-c", program, agent, *where, *ports]

    return command


def ports(session: Path) -> dict[str, int]:
    """The ports that the raylet finds."""
    return {path.name: int(path.read_text()) for path in session.glob("*_n")}


@pytest.mark.skipif(sys.platform != "linux", reason="another platform starts Ray's own agents")
def test_the_raylet_is_given_stand_ins_for_agents_that_it_waits_for() -> None:
    for own in (DASHBOARD, RUNTIME_ENV):
        (given,) = started(own)
        before, program, after = given.partition("ray_agent.py ")
        assert program
        assert before.rsplit(" ", 1)[0] + " " + after == own


@pytest.mark.parametrize(
    "argument",
    [
        "--python_worker_command=python /ray/worker.py --runtime-env-agent-port=0",
        DASHBOARD.replace("grpc-port=0", "grpc-port=4711"),  # the raylet does not wait for it
        DASHBOARD.replace("/ray/", '"/a b/ray/') + '"',
        "--dashboard_agent_command=",
        "--other",
    ],
)
def test_what_is_not_such_an_agent_stays_as_it_is(argument: str) -> None:
    assert started(argument) == [argument]
    assert started(DASHBOARD, stand_ins=False) == [DASHBOARD]


def test_the_dashboards_agent_has_no_ports_and_ends_with_the_raylet(
    tmp_path: Path, stand_in: Callable[..., list[str]]
) -> None:
    environment = {**os.environ, "RAY_RAYLET_PID": "1"}  # one that is not its parent has ended
    subprocess.run(stand_in("/ray/dashboard/agent.py"), env=environment, check=True, timeout=30)
    assert ports(tmp_path) == {f"{name}_n": -1 for name in DASHBOARD_PORTS}


def test_the_agent_of_runtime_environments_starts_later_at_the_port_that_was_announced(
    tmp_path: Path, stand_in: Callable[..., list[str]]
) -> None:
    agent = tmp_path / "main.py"
    agent.write_text(AGENT)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_RAYLET_PID"}
    done = subprocess.run(
        stand_in(str(agent), delay=0), env=environment, capture_output=True, check=True, timeout=30
    )
    found = json.loads(done.stdout)
    assert ports(tmp_path) == {f"{RUNTIME_ENV_PORT}_n": found["port"]}
    assert f"--session-dir={tmp_path}" in found["rest"]


def test_modules_beside_it_do_not_hide_the_standard_librarys(tmp_path: Path) -> None:
    """Python puts the directory of a script first on ``sys.path``."""
    script = Path(ray_agent.__file__)
    program = f"""
import runpy, sys
sys.path.insert(0, {str(script.parent)!r})
try:
    runpy.run_path({str(script)!r}, run_name="__main__")
except SystemExit:
    import queue
    print(queue.__file__)
"""
    words = [sys.executable, "-c", program, "/ray/dashboard/agent.py", "--node-id=n"]
    environment = {**os.environ, "RAY_RAYLET_PID": "1"}
    done = subprocess.run(
        [*words, f"--session-dir={tmp_path}"],
        env=environment,
        capture_output=True,
        check=True,
        timeout=30,
        text=True,
    )
    assert Path(done.stdout.strip()).parent != script.parent


@pytest.mark.skipif(sys.platform != "linux", reason="another platform starts Ray's own agents")
@pytest.mark.skipif(ray.__version__ < "2.60", reason="an older Ray starts its own agents")
def test_ray_starts_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the installed version: each agent of the raylet is a stand-in, and a task runs."""
    monkeypatch.setattr("ablation.scheduler.session._has_failed", False)
    Resources().stay_on_loopback()
    with keeping_handlers(), cluster(Resources()):
        programs = [psutil.Process(pid).cmdline() for pid in _children_of("raylet")]
        assert ray.get(ray.remote(lambda: 7).remote(), timeout=60) == 7
    own = ("/dashboard/agent.py", "/runtime_env/agent/main.py")
    agents = [words for words in programs if any(word.endswith(own) for word in words)]
    assert len(agents) == len(own)
    for words in agents:
        assert any(word.endswith("/ray_agent.py") for word in words)


def _children_of(name: str) -> list[int]:
    (parent,) = (each for each in psutil.Process().children() if each.name() == name)
    return [child.pid for child in parent.children()]
