"""Writes the runs of a study's units to TensorBoard and to the trackers of ``--track``.

The driver does this, in a thread for each of them, from the units' files. A tracker that fails is
skipped from then on, with one warning, and never fails a unit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from filelock import FileLock
from rich.console import Console

from ablation.events import Event, Finished, Progressed, Started
from ablation.interrupts import Interrupt
from ablation.store import Store
from ablation.tracking.background import TrackerThread
from ablation.tracking.runs import TrackedRun, read_curve, read_result, run_of, runs_of
from ablation.tracking.tensorboard import TensorBoard
from ablation.tracking.trackers import TRACKERS, Tracker
from ablation.units import Unit
from skelcon.cli.terminal import line

if TYPE_CHECKING:
    from ablation.job import Job

BOARD = "TensorBoard"
FOLLOW_EVERY = 5.0
"""Seconds between two updates of a running unit's curve."""


class Tracking:
    """A reporter. Use it as a context manager around a run, or around an empty block.

    Units that are done and have not been sent yet (another study ran them, or there was no network)
    are sent first. At the end it waits until all is sent, as long as there is progress: print the
    results before.

    Args:
        job: its units are tracked.
        store: where they are.
        names: of the trackers; TensorBoard is always written.
        console: for warnings, and for where the runs go.
    """

    def __init__(self, job: Job, store: Store, names: Sequence[str], console: Console) -> None:
        self._job, self._store, self._names, self._console = job, store, names, console
        self._runs = {key: run_of(unit, job.name) for key, unit in job.units.items()}
        if job.plan is not None:
            self._runs = runs_of(job.plan)
        self._board = TensorBoard(job.directory, store)
        self._trackers: dict[str, Tracker] = {}
        self._interrupt = Interrupt()
        self._updated_at: dict[str, float] = {}
        self._pending: set[str] = set()
        self._threads = {
            name: TrackerThread(name, console, partial(self._close, name))
            for name in (BOARD, *names)
        }

    def __enter__(self) -> Tracking:
        for name in self._names:
            self._threads[name].submit(partial(self._open, name))
        for run in self._runs.values():
            if self._store.is_done(run.key):
                self._submit_finished(run)
        for thread in self._threads.values():
            thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self.drop(Interrupt(requested=True))
        for thread in self._threads.values():
            thread.submit(None)
        for thread in self._threads.values():
            thread.wait(0.0 if kind is KeyboardInterrupt else self._interrupt.seconds_left)

    def drop(self, interrupt: Interrupt) -> None:
        """Skip what is not sent yet: the next command sends it.

        What is being sent is waited for, as long as ``interrupt`` leaves time.
        """
        self._interrupt = interrupt
        for thread in self._threads.values():
            thread.cancel()

    def report(self, event: Event) -> None:
        """Submit what is to be written after ``event``."""
        match event:
            case Started(unit):
                self._updated_at.pop(unit.key, None)
            case Progressed(unit):
                self._update(unit)
            case Finished(unit):
                self._submit_finished(self._run(unit))

    def _update(self, unit: Unit) -> None:
        """Update a training's curve, unless that was just done, or is already submitted."""
        key, now = unit.key, time.monotonic()
        is_recent = now - self._updated_at.get(key, -math.inf) < FOLLOW_EVERY
        if unit.epochs and not is_recent and key not in self._pending:
            self._updated_at[key] = now
            self._pending.add(key)
            self._threads[BOARD].submit(partial(self._follow, self._run(unit)))

    def _run(self, unit: Unit) -> TrackedRun:
        """The run of a unit, which a search may have added."""
        return self._runs.setdefault(unit.key, run_of(unit, self._job.name))

    def _submit_finished(self, run: TrackedRun) -> None:
        self._threads[BOARD].submit(partial(self._board.write, run))
        for name in self._names:
            self._threads[name].submit(partial(self._send, name, run))

    # -- in the threads ---------------------------------------------------------------------

    def _follow(self, run: TrackedRun) -> None:
        self._pending.discard(run.key)
        self._board.write(run)

    def _open(self, name: str) -> None:
        self._job.directory.mkdir(parents=True, exist_ok=True)
        self._trackers[name] = tracker = TRACKERS[name](self._job.directory)
        line(self._console, tracker.destination)

    def _send(self, name: str, run: TrackedRun) -> None:
        """Send a finished unit, once, even if several drivers try to."""
        sent = self._job.directory / f"tracked-{name}.txt"  # a line for each unit that was sent
        with (
            FileLock(sent.with_name(f".{sent.name}.lock")),
            sent.open("a+", encoding="utf-8") as file,
        ):
            file.seek(0)
            if run.key not in file.read().split():
                curve, result = read_curve(self._store, run), read_result(self._store, run)
                self._trackers[name].log(run, curve, result)
                file.write(f"{run.key}\n")

    def _close(self, name: str) -> None:
        if name in self._trackers:
            self._trackers[name].close()
