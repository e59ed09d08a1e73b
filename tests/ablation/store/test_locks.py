"""The lock of a unit's directory."""

from __future__ import annotations

import threading
from pathlib import Path

from ablation.store import Store
from ablation.store.locks import hold, is_held


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert not is_held(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_one_at_a_time(tmp_path: Path) -> None:
    with hold(tmp_path, wait=False) as first:
        assert first
        assert is_held(tmp_path)
        with hold(tmp_path, wait=False) as second:
            assert not second
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_a_process_that_waits_for_a_moved_unit_locks_the_new_directory(tmp_path: Path) -> None:
    """It does not take the lock of the directory that has been moved away."""
    store, got = Store(tmp_path), threading.Event()

    def wait() -> None:
        with store.locked("k") as directory:
            assert is_held(directory)
            (directory / "mine").touch()
            got.set()

    waiting = threading.Thread(target=wait)
    with store.locked("k") as directory:
        waiting.start()
        assert not got.wait(0.3)
        directory.rename(tmp_path / "aside")
    assert got.wait(10)
    waiting.join(10)
    assert (store.directory("k") / "mine").exists()
    assert not (tmp_path / "aside" / "mine").exists()
