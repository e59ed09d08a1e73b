"""Tells TensorBoard, and the trackers that were asked for, what the units of a study did.

All of it is done by the driver, in a thread of its own, from what the units left in the store. A
tracker that fails is left out from then on, with one warning, and never fails a unit.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.text import Text

from ablation.curves import Place, curve, places, result
from ablation.plan import Plan, Unit
from ablation.queue import Verdict
from ablation.store import Store
from ablation.tensorboard import TensorBoard
from ablation.trackers import Tracker, make_tracker

EVERY = 5.0
"""Seconds between two looks at what a running unit has logged."""


class Tracking:
    """Listens to the runner. Use as a context manager around a run, or around none.

    What is done already and has not been told (of another study, or for want of a network) is told
    first. At the end it waits until all is told.

    Args:
        plan: the study.
        store: where its units are.
        directory: the study's.
        names: the trackers beside TensorBoard.
        console: for warnings, and where the runs go.
    """

    def __init__(
        self, plan: Plan, store: Store, directory: Path, names: Sequence[str], console: Console
    ) -> None:
        self._store, self._directory, self._console = store, directory, console
        self._places, self._names = places(plan), tuple(names)
        self._board = TensorBoard(directory, store)
        self._trackers: dict[str, Tracker] = {}
        self._sent: dict[str, set[str]] = {}
        self._broken: set[str] = set()
        self._again: set[str] = set()
        self._looked: dict[str, float] = {}
        self._tasks: queue.SimpleQueue[tuple[str, Callable[[], None]] | None] = queue.SimpleQueue()
        self._dropped = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Tracking:
        for name in self._names:
            self._put(name, functools.partial(self._open, name))
        for place in self._places.values():
            if self._store.is_done(place.unit.key):
                self._tell(place)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.drop()
        self._tasks.put(None)
        self._thread.join()

    def drop(self) -> None:
        """Leave at once: what is not told yet is told by the next command."""
        self._dropped = True

    # -- what the runner says ---------------------------------------------------------------

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""
        self._again.add(unit.key)

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """Have a training's curve written, unless that was done a moment ago."""
        now = time.monotonic()
        # By its first report a worker has put the log in order.
        again = unit.key in self._again
        if not unit.epochs or (not again and now - self._looked.get(unit.key, 0.0) < EVERY):
            return
        self._again.discard(unit.key)
        self._looked[unit.key] = now
        place = self._places[unit.key]
        self._put("TensorBoard", functools.partial(self._board.follow, place, again))

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        self._looked.pop(unit.key, None)
        self._tell(self._places[unit.key])

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed: its curve stays as it is."""
        self._put("TensorBoard", functools.partial(self._board.close, self._places[unit.key]))

    def waiting(self, why: str) -> None:
        """Nothing runs at present."""

    # -- its thread -------------------------------------------------------------------------

    def _tell(self, place: Place) -> None:
        again = place.unit.key in self._again
        self._again.discard(place.unit.key)
        self._put("TensorBoard", functools.partial(self._board.finish, place, again))
        for name in self._names:
            self._put(name, functools.partial(self._send, name, place))

    def _put(self, name: str, task: Callable[[], None]) -> None:
        self._tasks.put((name, task))

    def _work(self) -> None:
        while (item := self._tasks.get()) is not None:
            name, task = item
            if not self._dropped:
                self._try(name, task)
        self._try("TensorBoard", self._board.close_all)
        for name, tracker in self._trackers.items():
            self._try(name, tracker.close)

    def _try(self, name: str, task: Callable[[], None]) -> None:
        if name in self._broken:
            return
        try:
            task()
        except Exception as error:  # whatever it is: the study goes on without it
            self._broken.add(name)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            text = f"warning: {name} is left out from here on: {type(error).__name__}: {reason}"
            self._console.print(Text(text, style="yellow"), soft_wrap=True)

    def _open(self, name: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._trackers[name] = tracker = make_tracker(name, self._store.results, self._directory)
        file = self._record(name)
        self._sent[name] = set(file.read_text().split()) if file.exists() else set()
        self._console.print(Text(tracker.where), soft_wrap=True)

    def _send(self, name: str, place: Place) -> None:
        """Tell a tracker of a unit that is done, once."""
        key = place.unit.key
        if key in self._sent[name]:
            return
        self._trackers[name].log(place, curve(self._store, place), result(self._store, place))
        self._sent[name].add(key)
        with self._record(name).open("a") as file:
            file.write(f"{key}\n")

    def _record(self, name: str) -> Path:
        """The keys of the units that a tracker has been told of, a line each."""
        return self._directory / f"tracked-{name}.txt"
