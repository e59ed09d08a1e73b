"""Tells TensorBoard, and the trackers that were asked for, what the units of a study did.

All of it is done by the driver, in a thread for each of them, from what the units left in the
store. A tracker that fails is left out from then on, with one warning, and never fails a unit.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.text import Text

from ablation.plan import Plan, Unit
from ablation.runner.queue import Verdict
from ablation.store import Store
from ablation.tracking.curves import Place, curve, places, result
from ablation.tracking.telling import Teller
from ablation.tracking.tensorboard import TensorBoard
from ablation.tracking.trackers import Tracker, make_tracker

BOARD = "TensorBoard"
EVERY = 5.0
"""Seconds between two looks at what a running unit has logged."""


class Tracking:
    """Listens to the runner. Use as a context manager around a run, or around none.

    What is done already and has not been told (of another study, or for want of a network) is told
    first. At the end it waits until all is told, as long as anything moves; show what a user waits
    for before.

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
        self._again: set[str] = set()
        self._looked: dict[str, float] = {}
        self._pending: set[str] = set()
        self._tellers = {name: Teller(name, console) for name in (BOARD, *self._names)}

    def __enter__(self) -> Tracking:
        for name in self._names:
            self._tellers[name].put(functools.partial(self._open, name))
        for place in self._places.values():
            if self._store.is_done(place.unit.key):
                self._tell(place)
        for teller in self._tellers.values():
            teller.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.drop()
        for name, teller in self._tellers.items():
            teller.end(functools.partial(self._close, name))
        for teller in self._tellers.values():
            teller.wait()

    def drop(self) -> None:
        """Leave at once: what is not told yet is told by the next command."""
        for teller in self._tellers.values():
            teller.drop()

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
        if unit.key in self._pending:  # what is to be written then is all there is then
            return
        self._again.discard(unit.key)
        self._looked[unit.key] = now
        self._pending.add(unit.key)
        self._tellers[BOARD].put(functools.partial(self._follow, self._places[unit.key], again))

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        self._looked.pop(unit.key, None)
        self._tell(self._places[unit.key])

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed: its curve stays as it is."""
        self._tellers[BOARD].put(functools.partial(self._board.close, self._places[unit.key]))

    def waiting(self, why: str) -> None:
        """Nothing runs at present."""

    # -- in the threads ---------------------------------------------------------------------

    def _tell(self, place: Place) -> None:
        again = place.unit.key in self._again
        self._again.discard(place.unit.key)
        self._tellers[BOARD].put(functools.partial(self._board.finish, place, again))
        for name in self._names:
            self._tellers[name].put(functools.partial(self._send, name, place))

    def _follow(self, place: Place, again: bool) -> None:
        self._pending.discard(place.unit.key)
        self._board.follow(place, again)

    def _open(self, name: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._trackers[name] = tracker = make_tracker(name, self._store.results, self._directory)
        self._console.print(Text(tracker.where), soft_wrap=True)

    def _send(self, name: str, place: Place) -> None:
        """Tell a tracker of a unit that is done, once, whoever else may do the same."""
        key = place.unit.key
        with self._record(name) as sent:
            if key in sent:
                return
            self._trackers[name].log(place, curve(self._store, place), result(self._store, place))
            sent.append(key)

    def _close(self, name: str) -> None:
        if name == BOARD:
            self._board.close_all()
        elif name in self._trackers:
            self._trackers[name].close()

    @contextlib.contextmanager
    def _record(self, name: str) -> Iterator[list[str]]:
        """The keys of the units that a tracker has been told of, to append to; nobody else does.

        A file of the study has a line for each.
        """
        with (self._directory / f"tracked-{name}.txt").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            sent = file.read().split()
            known = len(sent)
            yield sent
            file.writelines(f"{key}\n" for key in sent[known:])
