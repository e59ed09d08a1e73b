"""A Ray that does not start, such as on a machine that is too busy."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import ray
import typer

from ablation.scheduler.resources import Resources
from ablation.scheduler.session import STARTS, cluster, restarting
from skelcon.cli.console import run_app

AGENT = "--runtime_env_agent_command=python agent/main.py --runtime-env-agent-port=0"
"""How the raylet is to start an agent of Ray's own."""


class Starts:
    """In place of ``ray.init``: fails so often."""

    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0
        self.own_agents: list[bool] = []

    def __call__(self, *_: Any, **__: Any) -> None:
        self.calls += 1
        given = subprocess.run(["echo", AGENT], capture_output=True, check=True, text=True).stdout
        self.own_agents.append(given.strip() == AGENT)
        if self.calls <= self.failures:
            raise Exception("The current node\ntimed out.")  # what Ray itself raises


def session() -> bool:
    with cluster(Resources()):
        return True


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "nodes", list)
    monkeypatch.setattr("ablation.scheduler.session._has_failed", False)
    return []


def test_it_is_started_again(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(1)
    monkeypatch.setattr(ray, "init", starts)
    assert restarting(session, said.append)
    assert starts.calls == 2
    assert starts.own_agents == [False, True]  # another version may wait for more of them
    assert said == ["Ray did not start (The current node timed out.) and is started again"]


def test_one_that_never_starts_is_reported_in_a_line(
    said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1: this is not the user's mistake."""
    starts = Starts(STARTS)
    monkeypatch.setattr(ray, "init", starts)
    app = typer.Typer()
    app.command()(lambda: restarting(session, said.append))
    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(SystemExit) as end:
        run_app(app)
    assert end.value.code == 1
    line = capsys.readouterr().err.strip()
    assert line.startswith(f"error: Ray did not start (The current node timed out.), {STARTS} ")
    assert "\n" not in line
    assert starts.calls == STARTS
    assert len(said) == STARTS - 1  # after the last there is no further start to announce
