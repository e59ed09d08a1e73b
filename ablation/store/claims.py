"""Who works on what, when several drivers share one results directory.

A driver that runs has a file ``drivers/<id>.json`` which it touches every few seconds. A unit that
it has taken on has a file ``claim`` with its id. A claim is worth as much as its driver: when that
has left, has died, or has not touched its file for a minute, another driver may take the unit.
Two drivers never wait for each other as long as there is anything else to do.

Claims save work, they do not protect it: :meth:`ablation.store.Store.locked` does, and a unit that
two workers did one after the other has the same bits.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ablation.store.files import write_json
from ablation.store.filetime import file_time
from ablation.store.store import Store

BEAT = 5.0
"""Seconds between two signs of life."""
LAPSE = 60.0
"""Seconds without one after which a driver on another machine counts as dead."""


class Claims:
    """The units that this driver has taken on. Use as a context manager around a run.

    Args:
        store: where the units are.
        lapse: seconds after which the claims of a silent driver are worth nothing.
    """

    def __init__(self, store: Store, lapse: float = LAPSE) -> None:
        self._store, self._lapse = store, lapse
        self._drivers = store.results / "drivers"
        self.driver = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._held: set[str] = set()
        self._ahead: float | None = None
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Claims:
        self._drivers.mkdir(parents=True, exist_ok=True)
        for file in self._drivers.glob("*.json"):
            if not self._alive(file.stem):
                file.unlink(missing_ok=True)
        write_json(self._file(self.driver), {"machine": _machine(), "process": _process()})
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._heart.join()
        for key in tuple(self._held):
            self.release(key)
        with contextlib.suppress(OSError):  # of a disk that is full, or gone
            self._file(self.driver).unlink(missing_ok=True)

    def take(self, key: str) -> bool:
        """Take on the unit ``key``; False if another driver that is alive has it."""
        if key in self._held:
            return True
        directory = self._store.directory(key)
        directory.mkdir(parents=True, exist_ok=True)
        claim, mine = directory / "claim", directory / f".claim.{self.driver}"
        mine.write_text(self.driver)
        try:
            with self._one_at_a_time():
                with contextlib.suppress(FileNotFoundError):
                    owner = claim.read_text()
                    if owner != self.driver and self._alive(owner):
                        return False
                mine.replace(claim)
        finally:
            mine.unlink(missing_ok=True)
        self._held.add(key)
        return True

    def release(self, key: str) -> None:
        """Let go of the unit ``key``."""
        self._held.discard(key)
        with contextlib.suppress(OSError):  # of a disk that is read-only: it lapses with its driver
            (self._store.directory(key) / "claim").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Between looking at a claim and replacing it no other driver may do the same."""
        with (self._drivers / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with contextlib.suppress(OSError):
                file = self._file(self.driver)
                if file.exists():
                    os.utime(file)
                else:  # somebody took us for dead
                    write_json(file, {"machine": _machine(), "process": _process()})

    def _file(self, driver: str) -> Path:
        return self._drivers / f"{driver}.json"

    def _alive(self, driver: str) -> bool:
        """Whether a driver may still be at work; its own machine knows at once."""
        file = self._file(driver)
        try:
            values: dict[str, Any] = json.loads(file.read_text())
            if values["machine"] == _machine():
                return bool(_process(values["process"]["pid"]) == values["process"])
            silent = self._clock() - file.stat().st_mtime
        except (OSError, ValueError, LookupError, TypeError):
            return False
        return silent < self._lapse

    def _clock(self) -> float:
        """The file system's clock, against which its times count: machines' clocks differ."""
        if self._ahead is None:
            self._ahead = file_time(self._drivers) - time.monotonic()
        return self._ahead + time.monotonic()


def _machine() -> str:
    """This machine since it was booted, and this container of it: where process numbers hold."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode()}"


def _process(pid: int | None = None) -> dict[str, Any] | None:
    """A process (this one, if not told) and when it began, so that its number is not enough."""
    number = os.getpid() if pid is None else pid
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else {"pid": number, "began": fields[19]}
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return {"pid": number, "began": ""}
