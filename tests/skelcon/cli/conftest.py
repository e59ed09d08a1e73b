import sys
from pathlib import Path

import pytest
from data_commands import CLIPS, Run, name_of, write_mat

from skelcon.cli.program import main


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory and a cache of the test's own."""
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Twelve UTD-MHAD files."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for at, clip in enumerate(CLIPS):
        write_mat(folder, name_of(*clip), 5 + at, at)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``skelcon data`` as its user runs it: exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["skelcon", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return (int(caught.value.code or 0), *capsys.readouterr())

    return run
