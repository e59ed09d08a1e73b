"""A disk that is full, read-only or too small is one line with the cure, and nothing is left."""

import contextlib
import errno
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import typer

from skelcon.cli.console import run_app
from skelcon.cli.program import main
from skelcon.data import import_dataset
from skelcon.errors import disk_error
from skelcon.wholefile import whole_file

Run = Callable[..., tuple[int, str]]


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may become larger: as on a disk that is full, a write of a part fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen UTD-MHAD files."""
    folder = tmp_path_factory.mktemp("raw") / "utd"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for subject in range(1, 5):
        for trial in range(1, 5):
            values = {"d_skel": rng.normal(2, 0.4, (20, 3, 40))}
            scipy.io.savemat(folder / f"a1_s{subject}_t{trial}_skeleton.mat", values)
    return folder


@pytest.fixture(scope="module")
def packed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_dataset(raw, tmp_path_factory.mktemp("packed") / "set")[0].path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """``skelcon`` as its user runs it: exit code and stderr."""
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "cache"))

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["skelcon", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return run


COMMANDS = {
    "import": "data import {raw} {here}/out",
    "import to the cache": "data info {raw}",
    "synthesize": "data synthesize {here}/out --subjects 2",
    "export npz": "data export {packed} {here}/out.npz --format ctrgcn-npz --protocol xsub",
    "export pickle": "data export {packed} {here}/out.pkl --format pyskl-pkl",
    "export npy": "data export {packed} {here}/out --format agcn-npy --protocol xsub",
    "draw": "data show 0 --data {packed} --out {here}/out.png",
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_disk_that_takes_no_more(what: str, run: Run, raw: Path, packed: Path, tmp_path: Path):
    here = tmp_path / "here"
    here.mkdir()
    words = COMMANDS[what].format(raw=raw, packed=packed, here=here).split()
    with largest_file(3000):
        code, printed = run(*words)
    assert code == 2, printed
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert "File too large" in printed
    assert os.listdir(here) == []  # noqa: PTH208
    code, printed = run(*words)
    assert code == 0, printed


@pytest.mark.parametrize("place", ["/proc/none", "/dev/null/x"])
def test_a_home_that_cannot_be_written(
    place: str, run: Run, raw: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SKELCON_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", place)
    for words in (["data", "info", raw], ["data", "show", "0"]):
        code, printed = run(*words)
        assert code == 2
        assert f"'{place}/.cache/skelcon'" in printed
        assert "set SKELCON_CACHE" in printed
        assert printed.count("\n") == 1


def ended(error: Exception, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """How a command ends in which ``error`` is raised."""
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command"])
        with pytest.raises(SystemExit) as end:
            run_app(app)
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "SKELCON_CACHE"),
        (errno.EIO, "check the disk"),
        (errno.ESTALE, "check the connection"),
    ],
)
def test_an_error_of_a_disk_anywhere_is_one_line(
    number: int, cure: str, capsys: pytest.CaptureFixture[str]
):
    for where in ([], ["some/file"]):
        code, printed = ended(OSError(number, os.strerror(number), *where), capsys)
        assert code == 2
        assert printed.count("\n") == 1
        assert os.strerror(number) in printed
        assert cure in printed
        assert all(f"'{name}'" in printed for name in where)


def test_no_directory_for_temporary_files_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    with pytest.raises(FileNotFoundError) as found:
        tempfile.gettempdir()
    code, printed = ended(found.value, capsys)
    assert code == 2
    assert printed.count("\n") == 1
    assert "['/proc/none']: set TMPDIR" in printed


def test_a_user_without_a_home_is_one_line(run: Run, raw: Path, monkeypatch: pytest.MonkeyPatch):
    """As in a container whose user has no entry in /etc/passwd."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("SKELCON_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    code, printed = run("data", "info", raw)
    assert code == 2
    assert "set SKELCON_CACHE" in printed
    assert printed.count("\n") == 1


def test_another_error_keeps_its_traceback(capsys: pytest.CaptureFixture[str]):
    assert disk_error(OSError(errno.ECONNREFUSED, "refused")) is None
    with pytest.raises(ConnectionRefusedError):
        ended(OSError(errno.ECONNREFUSED, "refused"), capsys)


def test_a_name_that_the_locale_lacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    error = UnicodeEncodeError("utf-8", "a\udcc3", 1, 2, "surrogates not allowed")
    with pytest.raises(UnicodeEncodeError):  # of a program, where any name can be printed
        ended(error, capsys)
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    code, printed = ended(error, capsys)
    assert code == 2
    assert "PYTHONUTF8=1" in printed
    assert "udcc3" in printed


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "x"
    path.write_text("before")
    with pytest.raises(OSError, match="too large"), largest_file(100), whole_file(path) as file:
        file.write(bytes(1000))
    assert path.read_text() == "before"
    with whole_file(path) as file:
        file.write(b"after")
    assert path.read_text() == "after"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("taken", [True, False])
def test_an_error_names_the_file_and_not_its_draft(tmp_path: Path, taken: bool):
    path = tmp_path / "x" if taken else tmp_path / "nowhere" / "x"
    if taken:
        path.mkdir()
    with pytest.raises(OSError, match="directory") as caught, whole_file(path) as file:
        file.write(b"x")
    assert caught.value.filename == str(path)


def test_two_writers_of_a_file_do_not_disturb_each_other(tmp_path: Path):
    """Two drivers write one table, in containers in which both are process 1."""
    path = tmp_path / "x"
    with whole_file(path) as first:
        with whole_file(path) as second:
            second.write(b"second")
        first.write(b"first")
    assert path.read_text() == "first"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]
