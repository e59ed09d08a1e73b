"""One heartbeat per driver: which commands work on a results directory, and what they show.

A driver (a command that runs units) has a file ``drivers/<id>.json``, which it renews every few
seconds: its machine, its process, and the latest snapshot of its live view, if it has one. A claim
is valid as long as its driver is alive, and ``status`` shows the snapshots.

For all readers a driver of this machine is dead when its process has ended, and a driver of another
machine when its file has not been renewed for a minute.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil

from ablation.store.store import Store
from skelcon.config import Json

INTERVAL = 2.0
"""Seconds between two renewals."""
STALE_SECONDS = 60.0
"""Seconds without one after which a driver on another machine counts as dead."""
SAME_START_SECONDS = 60.0
"""How far apart two readings of when a process started may be: the system derives it from the
clock, which may be set or slewed in between."""
DRIVER = re.compile(r".+-\d+-[0-9a-f]{8}")
"""The name of a driver. (A study called "drivers" would have other files in the directory.)"""


class Heartbeat:
    """The heartbeat of this driver. Use as a context manager around a run.

    An error, such as a full disk, is ignored: the next renewal may succeed. At worst another driver
    runs the same units, with the same results.

    Args:
        store: where the units are.
        look: gives a snapshot for other commands, as JSON values; called in another thread.
        interval: seconds between two renewals.
    """

    def __init__(
        self, store: Store, look: Callable[[], Json] | None = None, interval: float = INTERVAL
    ) -> None:
        self.driver = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.drivers = Drivers(store.results)
        self._look, self._interval = look, interval
        self._file = self.drivers.file(self.driver)
        self._temporary = self._file.with_name(f".{self.driver}.tmp")
        # With its start time, as process numbers are reused.
        process: Json = {"pid": os.getpid(), "started": psutil.Process().create_time()}
        process["ticks"] = _ticks(os.getpid())
        self._values: Json = {"machine": _machine(), "process": process, "snapshot": None}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Heartbeat:
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self.drivers.sweep()
        self._renew()  # before anything is claimed
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(INTERVAL)  # longer only if the file system hangs
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
            self.drivers.sweep()  # of those that were killed in the meantime

    def _run(self) -> None:
        while True:
            if self._look is not None:
                with contextlib.suppress(Exception):  # without a view it is alive all the same
                    self._values["snapshot"] = self._look()
            self._renew()
            if self._over.wait(self._interval):
                return

    def _renew(self) -> None:
        """Write the whole file, as another driver may have deleted it; without a sync."""
        try:
            self._temporary.write_text(json.dumps(self._values), encoding="utf-8")
            if self._over.is_set():  # a slow snapshot or disk: the file has been deleted by now
                self._temporary.unlink()
            else:
                self._temporary.replace(self._file)
        except (OSError, ValueError, TypeError):
            with contextlib.suppress(OSError):  # possible even on a full disk
                os.utime(self._file)


class Drivers:
    """The drivers of a results directory, dead or alive.

    Attributes:
        lock: the file that they lock while they look at a claim and replace it.
    """

    def __init__(self, results: Path) -> None:
        self._directory = results / "drivers"
        self.lock = self._directory / "lock"

    def file(self, driver: str) -> Path:
        """The heartbeat's file of a driver."""
        return self._directory / f"{driver}.json"

    def is_alive(self, driver: str) -> bool:
        """Whether a driver may still be running; on its own machine that is known at once."""
        return self._read(driver) is not None

    def alive(self) -> list[tuple[str, Json | None]]:
        """The drivers that are alive, by their names, and the latest snapshot of each."""
        return [
            (driver, values.get("snapshot"))
            for driver in self._known()
            if (values := self._read(driver)) is not None
        ]

    def sweep(self) -> None:
        """Delete what dead drivers have left."""
        for driver in self._known():
            if not self.is_alive(driver):
                self.file(driver).unlink(missing_ok=True)
        for path in self._directory.glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if self._seconds_since(path) > STALE_SECONDS:
                    path.unlink()

    def _known(self) -> list[str]:
        names = (path.stem for path in self._directory.glob("*.json"))
        return sorted(name for name in names if DRIVER.fullmatch(name))

    def _read(self, driver: str) -> Json | None:
        """What a driver's file holds; None if the driver is dead."""
        file = self.file(driver)
        try:  # the file may be deleted at this moment, or be of another version
            values: Json = json.loads(_content(file))
            here = values["machine"] == _machine()
            alive = _is_running(values["process"]) if here else None
            if alive is None:
                alive = self._seconds_since(file) < STALE_SECONDS
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return values if alive else None

    def _seconds_since(self, file: Path) -> float:
        """Seconds since ``file`` was written, by its file system's clock, not this machine's."""
        return self._ahead + time.monotonic() - file.stat().st_mtime

    @functools.cached_property
    def _ahead(self) -> float:
        """How far the file system's clock is ahead of this process's monotonic one."""
        probe = self._directory / f".clock-{platform.node()}-{os.getpid()}.tmp"
        now = time.time()  # for a disk on which no file can be written
        with contextlib.suppress(OSError):
            probe.touch()
            now = probe.stat().st_mtime
            probe.unlink(missing_ok=True)
        return now - time.monotonic()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return file.read_bytes()  # on NFS, as its driver has just replaced it


def live_drivers(results: Path) -> list[tuple[str, Json | None]]:
    """The drivers that run on a results directory, and the latest snapshot of each."""
    return Drivers(results).alive()


def _machine() -> str:
    """This machine since its last boot, and this container: where process numbers are valid."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode()}"


def _is_running(process: Json) -> bool | None:
    """Whether the process that wrote this still runs; a zombie does not. None if that is hidden."""
    try:
        found = psutil.Process(process["pid"])
        same = abs(found.create_time() - process["started"]) < SAME_START_SECONDS
        # In a container that is started again at once, the process may have the same number.
        if process.get("ticks") is not None:
            same = same and _ticks(found.pid) == process["ticks"]
        return same and found.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # of another user, where /proc is mounted with hidepid
        return None


def _ticks(process: int) -> int | None:
    """When a process started, as its system counts it from the boot; None if that is not known."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        # After the program's name in brackets, which may hold any characters: field 22 of proc(5).
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    return None
