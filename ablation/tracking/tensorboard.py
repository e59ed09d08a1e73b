"""Event files for TensorBoard, written by the driver from what the units log.

``<study>/tensorboard/<row>/<column>/seed<n>/<job>/`` holds one file for one unit, so that
``tensorboard --logdir results`` lists runs by study, row, column and seed. A file is written again
from the unit's metrics.jsonl whenever a worker resumes the unit: no epoch stands in it twice.

tensorboardX's records are used, and not its SummaryWriter: that one writes from a thread whose
queue ``flush`` does not wait for, under a name of its own, so no file could be replaced atomically.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ablation.store import Store
from ablation.tracking.runs import Epoch, Run, read_curve, read_result

PREFIX = "events.out.tfevents."
"""TensorBoard recognises an event file by it."""


class EventFile:
    """One event file. It appears at the first :meth:`flush`, in place of older ones.

    Args:
        directory: of the run.
        run: whose configuration is written as text.
        start: when the unit started, in seconds since 1970.
    """

    def __init__(self, directory: Path, run: Run, start: float) -> None:
        # Imported here: it takes a moment, and a study with nothing new does not need it.
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import text

        self._event, self._summary = Event, Summary
        self._written = 0
        self._directory, self._key = directory, run.key
        directory.mkdir(parents=True, exist_ok=True)
        self._temporary: Path | None = directory / f".{run.key}.{os.getpid()}.tmp"
        self._writer = RecordWriter(str(self._temporary))
        self._add(wall_time=start, file_version="brain.Event:2")
        # An open TensorBoard forgets what it has read of the run so far.
        self._add(wall_time=start, session_log=SessionLog(status=SessionLog.START))
        config = json.dumps(run.unit.to_json(), indent=1)
        self._add(wall_time=start, summary=text("config", f"```\n{config}\n```"))

    def append(self, curve: list[Epoch], now: float) -> None:
        """Write the epochs of ``curve``, the whole of it, that are not in the file yet."""
        new = curve[self._written :]
        wall_time = now - sum(epoch.seconds for epoch in new)
        for epoch in new:
            wall_time += epoch.seconds
            self.add_scalars(epoch.values, epoch.number, wall_time)
        self._written = max(self._written, len(curve))

    def add_scalars(self, values: Mapping[str, float], step: int, wall_time: float) -> None:
        """Write numbers of one step."""
        scalars = [self._summary.Value(tag=tag, simple_value=x) for tag, x in values.items()]
        self._add(wall_time=wall_time, step=step, summary=self._summary(value=scalars))

    def flush(self) -> None:
        """Write to disk; the first time, replace older files."""
        self._writer.flush()
        if self._temporary is None:
            return
        # Names ascend with time: an open TensorBoard continues with the later file.
        path = self._directory / f"{PREFIX}{time.time_ns()}.{self._key}"
        self._temporary.replace(path)
        self._temporary = None
        for other in self._directory.glob(f"{PREFIX}*"):
            if other != path:
                other.unlink(missing_ok=True)

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._writer.close()

    def _add(self, **fields: Any) -> None:
        self._writer.write(self._event(**fields).SerializeToString())


class TensorBoard:
    """The event files of a study's units.

    Args:
        directory: the study's.
        store: where the units are.
    """

    def __init__(self, directory: Path, store: Store) -> None:
        self._directory, self._store = directory / "tensorboard", store
        self._open: dict[str, EventFile] = {}

    def directory(self, run: Run) -> Path:
        """The directory that TensorBoard shows as the unit's run."""
        parts = (run.row, run.column, f"seed{run.seed}", run.job)
        return self._directory.joinpath(*map(_file_name, parts))

    def follow(self, run: Run, restart: bool) -> None:
        """Write what a running training has logged; from the beginning with ``restart``."""
        if restart:
            self.close(run)
        if self._store.is_done(run.key):  # left to finish(): it writes the result as well
            return
        curve, now = read_curve(self._store, run), time.time()
        if curve and run.key not in self._open:
            self._open[run.key] = self._new_file(run, curve, now)
        if run.key in self._open:
            self._open[run.key].append(curve, now)
            self._open[run.key].flush()

    def finish(self, run: Run, restart: bool) -> None:
        """Write the rest of a finished unit; from the beginning with ``restart``."""
        if restart:
            self.close(run)
        file, now = self._open.pop(run.key, None), time.time()
        done = self._finished_at(run)
        if file is None and self._written_since(run, done):
            return
        curve = read_curve(self._store, run)
        if file is None:
            file, now = self._new_file(run, curve, done), done
        file.append(curve, now)
        if values := read_result(self._store, run):
            file.add_scalars(values, len(curve), now)
        file.close()

    def close(self, run: Run) -> None:
        """Close a unit's file as it is."""
        file = self._open.pop(run.key, None)
        if file is not None:
            file.close()

    def close_all(self) -> None:
        """Close all files as they are."""
        while self._open:
            self._open.popitem()[1].close()

    def _new_file(self, run: Run, curve: list[Epoch], now: float) -> EventFile:
        start = now - sum(epoch.seconds for epoch in curve)
        return EventFile(self.directory(run), run, start)

    def _finished_at(self, run: Run) -> float:
        return (self._store.directory(run.key) / "DONE").stat().st_mtime

    def _written_since(self, run: Run, done: float) -> bool:
        """Whether the file was written after the unit was ``done``: then it is complete."""
        files = self.directory(run).glob(f"{PREFIX}*.{run.key}")
        return any(file.stat().st_mtime >= done for file in files)


def _file_name(name: str) -> str:
    """``name`` as a directory: different names have different ones, whatever their characters."""
    plain = re.sub(r"^\.|[^\w.+=-]+", "-", name)
    return plain if plain == name else f"{plain}.{sha256(name.encode()).hexdigest()[:6]}"
