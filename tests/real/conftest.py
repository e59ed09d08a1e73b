from __future__ import annotations

from pathlib import Path

import pytest
from real_helpers import TINY_STUDY, write_utd


@pytest.fixture(scope="session")
def utd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_utd(tmp_path_factory.mktemp("raw") / "utd")


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies") / "tiny.yaml"
    path.write_text(TINY_STUDY)
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "cache"))
