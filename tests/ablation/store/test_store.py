from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from ablation.store import Store, write_atomically, write_json
from skelcon.errors import UserError


def test_the_state_of_a_unit_follows_from_its_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.state("k") == "absent"
    directory = store.begin("k", {"a": 1}, "pretrain crop / seq / seed 0")
    assert store.state("k") == "started"
    store.fail("k", "failed: out of memory")
    assert store.state("k") == "failed"
    assert store.failure("k") == "failed: out of memory"
    store.begin("k", {"a": 1})  # as a worker does, which does not know the label
    assert store.state("k") == "started"
    assert store.files("k").label() == "pretrain crop / seq / seed 0"
    (directory / "checkpoint.pt").write_bytes(b"x")
    store.finish("k")
    assert store.state("k") == "done"
    assert not (directory / "checkpoint.pt").exists()
    assert store.files("k").label() == ""


def test_a_disk_that_becomes_read_only_as_a_unit_ends_does_not_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, unlink = Store(tmp_path), Path.unlink
    store.begin("k", {}, "a label")

    def fails(path: Path, **how: bool) -> None:
        if path.name == "label.txt":
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", fails)
    store.finish("k")
    assert store.state("k") == "done"


def test_an_atomic_write_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_result_names_its_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    directory = store.begin("k", {})
    (directory / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"result\.json"):
        store.result("k")


def test_results_that_cannot_be_written_are_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--results"):
        Store(tmp_path / "file" / "below").check_writable()


def _hold(results: Path, held: object, release: object) -> None:
    with Store(results).locked("k"):
        held.set()  # type: ignore[attr-defined]
        release.wait(20)  # type: ignore[attr-defined]


def test_a_unit_belongs_to_one_process_and_its_death_frees_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(60)
    store, got = Store(tmp_path), threading.Event()

    def wait_for_it() -> None:
        with store.locked("k") as directory:
            assert directory == store.directory("k")
            got.set()

    waiting = threading.Thread(target=wait_for_it)
    waiting.start()
    assert not got.wait(0.5)
    other.kill()
    assert got.wait(10)
    other.join(10)
    waiting.join(10)


def test_a_unit_that_is_done_has_not_failed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.fail("k", "failed: for a while")
    assert store.state("k") == "failed"
    store.finish("k")
    assert store.state("k") == "done"
    assert not (store.directory("k") / "failed.json").exists()


def test_a_damaged_unit_is_moved_once(tmp_path: Path) -> None:
    """Two drivers find the damage: the second leaves the unit, which may run again."""
    store, other = Store(tmp_path), Store(tmp_path)
    directory = store.begin("k", {})
    write_json(directory / "result.json", {"top1": 1})
    store.finish("k")
    assert store.move_damaged("k") is None
    (directory / "result.json").write_text("{}")
    assert store.damage("k") is not None
    assert store.move_damaged("k") == tmp_path / "damaged" / "k-1"
    assert other.move_damaged("k") is None
    store.begin("k", {})
    assert other.move_damaged("k") is None
    assert store.state("k") == "started"
