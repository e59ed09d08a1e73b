"""Ray's token where the home directory cannot be written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from ablation.scheduler.resources import Resources
from ablation.scheduler.session import cluster


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What Ray, which is not started, would have had as its token."""
    seen: list[str | None] = []

    def init(*_: Any, **__: Any) -> None:
        seen.append(os.environ.get("RAY_AUTH_TOKEN"))

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "nodes", list)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return seen


def unknown() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("home", [lambda: Path("/proc/none"), unknown])
def test_a_session_has_its_own_token_where_the_home_cannot_be_written(
    token: list[str | None], monkeypatch: pytest.MonkeyPatch, home: Callable[[], Path]
) -> None:
    monkeypatch.setattr(Path, "home", home)
    for _ in range(2):  # Ray keeps the first that it sees
        with cluster(Resources()):
            assert "RAY_AUTH_TOKEN" not in os.environ
    assert token[0] is not None
    assert len(token[0]) == 64
    assert token[0] == token[1]


def test_a_home_that_can_be_written_is_left_to_ray(
    token: list[str | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with cluster(Resources()):
        pass
    assert token == [None]
    monkeypatch.setenv("HOME", "/proc/none")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    with cluster(Resources()):
        assert os.environ["RAY_AUTH_TOKEN"] == "mine"
    assert token == [None, "mine"]
