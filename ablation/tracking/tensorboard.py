"""Event files for TensorBoard, written by the driver from what the units log.

``<study>/tensorboard/<row>/<column>/seed<n>/<job>/`` holds one file for one unit, so that
``tensorboard --logdir results`` lists runs by study, row, column and seed. While a unit trains, its
file is replaced every few seconds by one with all that the unit has logged so far. So no epoch is
in it twice, even if a worker has resumed the unit.

tensorboardX's records are used, and not its SummaryWriter: that one chooses its file's name, and
writes from a thread whose queue ``flush`` does not wait for, so no file could be replaced.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ablation.store import Store
from ablation.store.unit_files import DONE
from ablation.tracking.runs import Epoch, TrackedRun, read_curve, read_result

PREFIX = "events.out.tfevents."
"""TensorBoard recognises an event file by it."""


class TensorBoard:
    """The event files of a study's units.

    Args:
        directory: the study's.
        store: where the units are.
    """

    def __init__(self, directory: Path, store: Store) -> None:
        self._directory, self._store = directory / "tensorboard", store

    def directory(self, run: TrackedRun) -> Path:
        """The directory that TensorBoard shows as the unit's run."""
        fold = [f"fold{run.fold.index}"] if run.fold is not None else []
        parts = (run.row, run.column, f"seed{run.seed}", *fold, run.job)
        return self._directory.joinpath(*map(_file_name, parts))

    def write(self, run: TrackedRun) -> None:
        """Replace a unit's file by one with all that it has logged, and its result if it is done.

        The file of a unit that is done is not written again.
        """
        files, directory = self._store.files(run.key), self.directory(run)
        done = files.path(DONE).stat().st_mtime if files.is_done else None
        if done is not None and any(
            file.stat().st_mtime >= done for file in directory.glob(f"{PREFIX}*.{run.key}")
        ):
            return
        curve = read_curve(self._store, run)
        if done is None and not curve:
            return
        result = read_result(self._store, run) if done is not None else {}
        events = _events(run, curve, result, time.time() if done is None else done)
        # An open TensorBoard continues with the file whose name sorts last.
        end = run.key if done is not None else f"{run.key}.running"
        _write(directory / f"{PREFIX}{time.time_ns()}.{end}", events)


def _events(
    run: TrackedRun, curve: list[Epoch], result: Mapping[str, float], end: float
) -> Iterator[dict[str, Any]]:
    """The fields of each event of a file; ``end`` is when the last epoch ended."""
    # Imported here: it takes a moment, and a study with nothing new does not need it.
    from tensorboardX.proto.event_pb2 import SessionLog
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.summary import text

    def scalars(values: Mapping[str, float]) -> Any:
        return Summary(value=[Summary.Value(tag=tag, simple_value=x) for tag, x in values.items()])

    now = end - sum(epoch.seconds for epoch in curve)
    yield {"wall_time": now, "file_version": "brain.Event:2"}
    # At this an open TensorBoard drops what it has read of the run so far.
    yield {"wall_time": now, "session_log": SessionLog(status=SessionLog.START)}
    config = json.dumps(run.unit.to_json(), indent=1)
    yield {"wall_time": now, "summary": text("config", f"```\n{config}\n```")}
    for epoch in curve:
        now += epoch.seconds
        yield {"wall_time": now, "step": epoch.number, "summary": scalars(epoch.values)}
    if result:
        yield {"wall_time": end, "step": len(curve), "summary": scalars(result)}


def _write(path: Path, events: Iterator[dict[str, Any]]) -> None:
    """Write an event file, which replaces all others of its directory."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    # Without PREFIX in its name: TensorBoard would read what a killed process leaves of it.
    temporary = path.with_name(f".{time.time_ns()}.{os.getpid()}.tmp")
    try:
        writer = RecordWriter(str(temporary))
        for fields in events:
            writer.write(Event(**fields).SerializeToString())
        writer.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for other in path.parent.glob(f"{PREFIX}*"):
        if other != path:
            other.unlink(missing_ok=True)


def _file_name(name: str) -> str:
    """``name`` as the name of a directory; different names give different ones."""
    plain = re.sub(r"^\.|[^\w.+=-]+", "-", name)
    return plain if plain == name else f"{plain}.{sha256(name.encode()).hexdigest()[:6]}"
