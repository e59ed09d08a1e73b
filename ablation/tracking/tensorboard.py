"""Event files for TensorBoard, written by the driver from what the units log.

``<study>/tensorboard/<row>/<column>/seed<n>/<what>/`` holds one file for one unit, so that
``tensorboard --logdir results`` lists runs by study, row, column and seed. A file is rewritten
from the unit's metrics.jsonl whenever a worker takes the unit up (again): no epoch stands twice.
"""

from __future__ import annotations

import json
import os
import re
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from ablation.store import Store
from ablation.tracking.curves import Place, Point, curve, result

NAME = "events.out.tfevents."
"""What TensorBoard knows an event file by."""


class EventFile:
    """One event file, from its beginning. :meth:`flush` lets it be seen.

    Args:
        run: the directory; older files in it are deleted.
        place: the unit, whose configuration is its text.
        points: its curve so far.
        now: when that was so, in seconds of the epoch.
    """

    def __init__(self, run: Path, place: Place, points: list[Point], now: float) -> None:
        # (Imported here: it takes a moment, and a study that has nothing new needs it not.)
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import text

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._epochs = 0
        run.mkdir(parents=True, exist_ok=True)
        self._run, self._key = run, place.unit.key
        self._temporary: Path | None = run / f".{self._key}.{os.getpid()}.tmp"
        self._writer = RecordWriter(str(self._temporary))
        began = now - sum(point.seconds for point in points)
        self._put(self._event(wall_time=began, file_version="brain.Event:2"))
        # A TensorBoard that is open forgets what it has read of the run so far.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._put(self._event(wall_time=began, session_log=start))
        config = json.dumps(place.unit.config, indent=1)
        self._put(self._event(wall_time=began, summary=text("config", f"```\n{config}\n```")))
        self.append(points, now)

    def append(self, points: list[Point], now: float) -> None:
        """Write the ``points`` that it does not hold yet; ``points`` are all there are."""
        wall = now - sum(point.seconds for point in points[self._epochs :])
        for point in points[self._epochs :]:
            wall += point.seconds
            self._scalars(point.epoch, wall, dict(point.values))
        self._epochs = max(self._epochs, len(points))

    def finish(self, values: dict[str, float], now: float) -> None:
        """Write the result and close."""
        if values:
            self._scalars(self._epochs, now, values)
        self.close()

    def flush(self) -> None:
        """Have the disk hold what has been written; the first time the file takes its name."""
        self._writer.flush()
        if self._temporary is None:
            return
        # A later file's name comes later: an open TensorBoard goes on to it.
        path = self._run / f"{NAME}{time.time_ns()}.{self._key}"
        self._temporary.replace(path)
        self._temporary = None
        for other in self._run.glob(f"{NAME}*"):
            if other != path:
                other.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it, as it is."""
        self.flush()
        self._writer.close()

    def _scalars(self, step: int, wall: float, values: dict[str, float]) -> None:
        found = [self._summary.Value(tag=name, simple_value=x) for name, x in values.items()]
        self._put(self._event(wall_time=wall, step=step, summary=self._summary(value=found)))

    def _put(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())


class TensorBoard:
    """The event files of a study's units.

    Args:
        directory: the study's.
        store: where the units are.
    """

    def __init__(self, directory: Path, store: Store) -> None:
        self._directory, self._store = directory / "tensorboard", store
        self._open: dict[str, EventFile] = {}

    def run(self, place: Place) -> Path:
        """The directory that TensorBoard shows as the unit's run."""
        parts = (place.row, place.column, f"seed{place.seed}", place.what)
        return self._directory.joinpath(*map(_file_name, parts))

    def is_whole(self, place: Place) -> bool:
        """Whether all that a finished unit has to tell was written after it was done."""
        done = (self._store.directory(place.unit.key) / "DONE").stat().st_mtime
        files = self.run(place).glob(f"{NAME}*.{place.unit.key}")
        return any(file.stat().st_mtime >= done for file in files)

    def follow(self, place: Place, again: bool) -> None:
        """Write what a running training has logged; all anew if it was taken up ``again``."""
        key, points = place.unit.key, curve(self._store, place)
        if again:
            self.close(place)
        if key in self._open:
            self._open[key].append(points, time.time())
        elif points:
            self._open[key] = EventFile(self.run(place), place, points, time.time())
        if key in self._open:
            self._open[key].flush()

    def finish(self, place: Place, again: bool) -> None:
        """Write the rest of a unit that is done; all anew if it was taken up ``again``."""
        key = place.unit.key
        if again:
            self.close(place)
        file = self._open.pop(key, None)
        if file is None and self.is_whole(place):
            return
        points, now = curve(self._store, place), time.time()
        if file is None:
            now = (self._store.directory(key) / "DONE").stat().st_mtime
            file = EventFile(self.run(place), place, points, now)
        else:
            file.append(points, now)
        file.finish(result(self._store, place), now)

    def close(self, place: Place) -> None:
        """Let go of a unit's file, as it is."""
        file = self._open.pop(place.unit.key, None)
        if file is not None:
            file.close()

    def close_all(self) -> None:
        """Let go of all files."""
        while self._open:
            self._open.popitem()[1].close()


def _file_name(name: str) -> str:
    """``name`` as a directory: no two share one, whatever characters they have."""
    plain = re.sub(r"^\.|[^\w.+=-]+", "-", name)
    return plain if plain == name else f"{plain}.{sha256(name.encode()).hexdigest()[:6]}"
