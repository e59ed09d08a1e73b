"""An import is cached, and made again where its source or the cache has changed."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from utd_files import TAKES, MatBytes, mat_name, values_of, write_takes

from skelcon.data import Normalisation, import_dataset, open_or_import
from skelcon.data.progress import Progress

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
UserErrorOf = Callable[..., str]


@pytest.fixture
def source(tmp_path: Path, mat_bytes: MatBytes) -> Path:
    return write_takes(tmp_path / "utd", mat_bytes)


@pytest.fixture
def reads() -> Iterator[list[str]]:
    """The names of the .mat files that have been opened for reading."""
    names: list[str] = []

    def audit(event: str, args: tuple) -> None:
        if watching and event == "open" and str(args[0]).endswith("_skeleton.mat"):
            names.append(Path(str(args[0])).name)

    watching = [True]
    sys.addaudithook(audit)
    yield names
    watching.clear()  # a hook cannot be removed


def test_the_second_time_no_file_is_read(source: Path, cache: Path, reads: list[str]):
    (source / mat_name(3, 3, 3)).write_bytes(b"")
    first, skipped = open_or_import(source)
    assert set(reads) == {mat_name(*take) for take in (*TAKES, (3, 3, 3))}
    reads.clear()
    second, again = open_or_import(source)
    assert reads == []
    assert second.fingerprint == first.fingerprint
    assert again == skipped
    assert [bad.name for bad in again] == [mat_name(3, 3, 3)]
    assert second.path.parent == cache
    assert [path.name for path in cache.iterdir()] == [second.path.name]


def test_two_commands_at_once_import_it_once(source: Path, cache: Path):
    """A SLURM array starts at once; no data set is replaced that another command reads."""
    started, waiting = threading.Event(), threading.Event()
    places: list[int] = []
    again: list[int] = []

    def run(progress: Progress) -> None:
        dataset, _ = open_or_import(source, progress)
        places.append(dataset.path.stat().st_ino)

    def hold(done: int, clips: int) -> None:
        started.set()
        waiting.wait(60)

    first = threading.Thread(target=run, args=(hold,))
    second = threading.Thread(target=run, args=(lambda done, clips: again.append(done),))
    first.start()
    assert started.wait(60)
    second.start()
    second.join(0.3)  # it waits for the first one
    waiting.set()
    for thread in (first, second):
        thread.join(60)
    assert again == []
    assert len(places) == 2
    assert len(set(places)) == 1
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("change", ["content", "time", "added", "removed", "renamed"])
def test_what_has_changed_is_imported_again(
    source: Path, mat_bytes: MatBytes, reads: list[str], change: str
):
    first, _ = open_or_import(source)
    file = source / mat_name(*TAKES[0])
    if change == "content":
        file.write_bytes(mat_bytes(values_of(*TAKES[0]) + 1 + np.eye(20, 3)[:, :, None]))
    elif change == "time":
        stat = file.stat()
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    elif change == "added":
        (source / mat_name(5, 5, 5)).write_bytes(mat_bytes(values_of(5, 5, 5)))
    elif change == "removed":
        file.unlink()
    else:
        file.rename(source / mat_name(9, 9, 9))
    reads.clear()
    second, _ = open_or_import(source)
    assert reads
    assert len(second) == len(TAKES) + {"added": 1, "removed": -1}.get(change, 0)
    assert (second.fingerprint == first.fingerprint) == (change == "time")


@pytest.mark.parametrize("name", ["meta.json", "index.npz", "frames.npy", "import-report.json"])
@pytest.mark.parametrize(
    "content",
    [None, b"", b"[]", b"null", b"{}", b'{"skipped": [1]}', b'{"skipped": 1}', b"\xff", "half"],
    ids=repr,
)
def test_a_damaged_cache_is_made_again(
    source: Path, reads: list[str], name: str, content: bytes | str | None
):
    first, _ = open_or_import(source)
    damaged = first.path / name
    if content is None:
        damaged.unlink()
    elif isinstance(content, str):
        whole = damaged.read_bytes()
        damaged.unlink()  # what is memory-mapped must not shrink
        damaged.write_bytes(whole[: len(whole) // 2])
    else:
        damaged.unlink()
        damaged.write_bytes(content)
    reads.clear()
    second, skipped = open_or_import(source)
    assert len(set(reads)) == len(TAKES)
    assert skipped == []
    assert second.fingerprint == first.fingerprint == second.content_digest()
    reads.clear()
    open_or_import(source)
    assert reads == []


def test_a_file_in_the_place_of_the_cached_set_is_replaced(source: Path):
    first, _ = open_or_import(source)
    first.path.rename(first.path.with_name("away"))
    first.path.write_text("a file")
    second, _ = open_or_import(source)
    assert second.path == first.path
    assert second.fingerprint == first.fingerprint


def test_a_cache_that_cannot_be_written_names_the_variable(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_error: UserErrorOf
):
    (tmp_path / "file").write_text("a file")
    for place in ("file", "file/below", "file/far/below"):
        monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / place))
        user_error(lambda: open_or_import(source), "SKELCON_CACHE", tmp_path / place)
    assert (tmp_path / "file").read_text() == "a file"


def test_a_packed_data_set_is_opened_where_it_is(source: Path, tmp_path: Path, cache: Path):
    packed, _ = import_dataset(source, tmp_path / "set", RAW)
    opened, skipped = open_or_import(tmp_path / "set")
    assert opened.path == tmp_path / "set"
    assert opened.fingerprint == packed.fingerprint
    assert skipped == []
    assert not cache.exists()
