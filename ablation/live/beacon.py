"""Lets other shells see what a driver's live view shows: a small file that is renewed.

``running/<machine>-<process>.json`` under the results directory holds the driver's
:class:`~ablation.live.snapshot.Snapshot`. One that is not renewed is that of a driver that has
died.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter

from ablation.live.snapshot import Snapshot
from ablation.store.filetime import file_time

EVERY = 2.0
"""Seconds between two renewals."""
STALE = 20.0
"""Seconds after which a file that was not renewed tells nothing."""
OURS = re.compile(r".+-\d+\.(json|tmp)|\.now\..*")
"""How the files here are called."""
_SNAPSHOT = TypeAdapter(Snapshot)


class Beacon:
    """Writes snapshots while the run lasts. Use as a context manager around it.

    What goes wrong with it (a disk that is full) harms nobody: the next snapshot may do.

    Args:
        results: the results directory.
        look: how the study stands.
        every: seconds between two snapshots.
    """

    def __init__(self, results: Path, look: Callable[[], Snapshot], every: float = EVERY) -> None:
        self._directory, self._look, self._every = results / "running", look, every
        self._file = self._directory / f"{platform.node()}-{os.getpid()}.json"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Beacon:
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            now = file_time(self._directory)
            for file in self._directory.iterdir():
                if OURS.fullmatch(file.name) and now - file.stat().st_mtime > STALE:
                    file.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
            self._directory.rmdir()  # unless another driver is there

    def _renew(self) -> None:
        temporary = self._file.with_suffix(".tmp")
        while True:
            with contextlib.suppress(OSError):  # (Not synced: it is worth nothing after a crash.)
                temporary.write_text(json.dumps(asdict(self._look())))
                temporary.replace(self._file)
            if self._over.wait(self._every):
                return


def running_studies(results: Path) -> tuple[Snapshot, ...]:
    """What the drivers that run on a results directory show, by the names of their studies."""
    directory, found = results / "running", []
    files = sorted(directory.glob("*.json"))
    now = file_time(directory) if files else 0.0
    for file in files:
        # It may vanish while we look, or be another version's.
        with contextlib.suppress(OSError, ValueError):
            if now - file.stat().st_mtime <= STALE:
                found.append(_SNAPSHOT.validate_json(file.read_bytes()))
    return tuple(sorted(found, key=lambda each: each.study))
