from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import TINY_STUDY, write_utd

from skelcon.data import SkeletonDataset, import_dataset


@pytest.fixture(scope="session")
def utd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_utd(tmp_path_factory.mktemp("raw") / "utd")


@pytest.fixture(scope="session")
def dataset(utd: Path, tmp_path_factory: pytest.TempPathFactory) -> SkeletonDataset:
    return import_dataset(utd, tmp_path_factory.mktemp("packed") / "tiny")[0]


@pytest.fixture(scope="session")
def eight(tmp_path_factory: pytest.TempPathFactory) -> SkeletonDataset:
    """Eight subjects of nine clips each; the four with odd numbers train."""
    folder = write_utd(tmp_path_factory.mktemp("eight") / "utd", subjects=8)
    return import_dataset(folder, tmp_path_factory.mktemp("packed") / "eight")[0]


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies") / "tiny.yaml"
    path.write_text(TINY_STUDY)
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
