"""One heartbeat per driver: who is alive, and what others see of it."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ablation.store import Store, heartbeat
from ablation.store.heartbeat import Heartbeat, live_drivers

FAR = "far-1-00000000"


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def far_away(results: Path, silent: float) -> Path:
    """The heartbeat of a driver on another machine that was last renewed so many seconds ago."""
    file = results / "drivers" / f"{FAR}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": "far", "process": {}, "snapshot": None}))
    os.utime(file, (time.time() - silent,) * 2)
    return file


def test_others_see_a_driver_and_its_snapshot_while_it_runs(tmp_path: Path) -> None:
    numbers = iter(range(1000))
    with Heartbeat(Store(tmp_path), lambda: {"n": next(numbers)}, interval=0.01) as mine:
        assert [name for name, _ in live_drivers(tmp_path)] == [mine.driver]
        until(lambda: (live_drivers(tmp_path)[0][1] or {"n": 0})["n"] > 2)
        with Heartbeat(Store(tmp_path)) as other:
            assert dict(live_drivers(tmp_path))[other.driver] is None
    assert live_drivers(tmp_path) == []
    assert list((tmp_path / "drivers").iterdir()) == []


def test_a_driver_whose_file_was_deleted_is_seen_again(tmp_path: Path) -> None:
    with Heartbeat(Store(tmp_path), interval=0.01):
        (file,) = tmp_path.glob("drivers/*.json")
        os.utime(file, (0, 0))
        until(lambda: file.exists() and file.stat().st_mtime > 0)
        file.unlink()
        until(file.exists)


def test_a_driver_whose_view_or_disk_fails_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> dict[str, int]:
        raise RuntimeError

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with Heartbeat(Store(tmp_path), fails, interval=0.01) as mine:
        (file,) = tmp_path.glob("drivers/*.json")
        monkeypatch.setattr(Path, "write_text", full)
        os.utime(file, (0, 0))
        until(lambda: file.stat().st_mtime > 0)
        assert live_drivers(tmp_path) == [(mine.driver, None)]


def test_a_file_system_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.1)
    threads = threading.active_count()
    hangs = threading.Event()

    def look() -> dict[str, int]:
        hangs.wait(60)
        return {}

    with Heartbeat(Store(tmp_path), look):
        start_time = time.monotonic()
    assert time.monotonic() - start_time < 20
    hangs.set()
    until(lambda: threading.active_count() <= threads)
    assert list((tmp_path / "drivers").iterdir()) == []


@pytest.mark.parametrize(("silent", "alive"), [(0, True), (30, True), (90, False)])
def test_a_driver_elsewhere_is_dead_when_it_has_been_silent_for_long(
    tmp_path: Path, silent: float, alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = far_away(tmp_path, silent)
    ours = time.time
    monkeypatch.setattr(time, "time", lambda: ours() + 3600)  # machines' clocks differ
    assert [name for name, _ in live_drivers(tmp_path)] == ([FAR] if alive else [])
    with Heartbeat(Store(tmp_path)):
        assert file.exists() == alive


def test_another_process_of_the_same_number_is_another_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Heartbeat(Store(tmp_path)) as mine:
        assert mine.drivers.is_alive(mine.driver)
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: 1.0)
        assert not mine.drivers.is_alive(mine.driver)


def test_a_heartbeat_that_is_replaced_while_it_is_read_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS has no content any more for a file that another machine has replaced."""
    far_away(tmp_path, 0)
    read, stale = Path.read_bytes, [OSError(errno.ESTALE, "Stale file handle")]

    def read_bytes(path: Path) -> bytes:
        if stale:
            raise stale.pop()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert live_drivers(tmp_path) == [(FAR, None)]
    assert not stale


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_driver_of_the_same_process_number_that_started_a_moment_earlier_is_dead(
    tmp_path: Path,
) -> None:
    """A container is killed for its memory and started again; its driver is process 1 each time."""
    with Heartbeat(Store(tmp_path)) as mine:
        (file,) = tmp_path.glob("drivers/*.json")
        values = json.loads(file.read_bytes())
    process = values["process"]
    earlier = {**process, "started": process["started"] - 5, "ticks": process["ticks"] - 500}
    for written, alive in ((process, [mine.driver]), (earlier, [])):
        file.write_text(json.dumps({**values, "process": written}))
        assert [name for name, _ in live_drivers(tmp_path)] == alive


def test_a_driver_of_another_user_whose_process_is_hidden_counts_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(*_: object) -> None:
        raise psutil.AccessDenied(1)

    with Heartbeat(Store(tmp_path)) as mine:
        (file,) = tmp_path.glob("drivers/*.json")
        content = file.read_bytes()
    file.write_bytes(content)
    monkeypatch.setattr(psutil.Process, "create_time", hidden)
    assert live_drivers(tmp_path) == [(mine.driver, None)]
    os.utime(file, (0, 0))
    assert live_drivers(tmp_path) == []


def test_only_what_dead_drivers_left_is_swept(tmp_path: Path) -> None:
    """The table of a study that is called "drivers" is kept."""
    file = far_away(tmp_path, 3600)
    left = file.with_name(f".{FAR}.tmp")
    table = file.with_name("table.json")
    for path in (left, table):
        path.touch()
        os.utime(path, (0, 0))
    with Heartbeat(Store(tmp_path)):
        assert table.exists()
        assert not file.exists()
        assert not left.exists()
        far_away(tmp_path, 3600)  # of a driver that is killed in the meantime
    assert not file.exists()
    table.with_name("old-1-12345678.json").write_text("{")
    assert live_drivers(tmp_path) == []
    assert heartbeat.live_drivers(tmp_path / "nowhere") == []
