"""Writes the runs of a study's units to TensorBoard and to the trackers of ``--track``.

The driver does all of it, in a thread for each, from what the units left in the store. A tracker
that fails is skipped from then on, with one warning, and never fails a unit.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from filelock import FileLock
from rich.console import Console
from rich.text import Text

from ablation.events import Event, Failed, Finished, Progressed, Pruned, Started
from ablation.store import Store
from ablation.tracking.background import TrackerThread
from ablation.tracking.runs import Run, read_curve, read_result, run_of, runs_of
from ablation.tracking.tensorboard import TensorBoard
from ablation.tracking.trackers import TRACKERS, Tracker
from ablation.units import Unit

if TYPE_CHECKING:
    from ablation.run import Job

BOARD = "TensorBoard"
FOLLOW_EVERY = 5.0
"""Seconds between two updates of a running unit's curve."""


class Tracking:
    """A reporter. Use it as a context manager around a run, or around an empty block.

    Units that are done and have not been sent yet (another study ran them, or there was no network)
    are sent first. At the end it waits until all is sent, as long as there is progress; print what
    the user waits for before.

    Args:
        job: whose units.
        store: where they are.
        names: the trackers beside TensorBoard.
        console: for warnings, and where the runs go.
    """

    def __init__(self, job: Job, store: Store, names: Sequence[str], console: Console) -> None:
        self._store, self._directory, self._console = store, job.directory, console
        self._name, self._names = job.name, tuple(names)
        self._runs = {key: run_of(unit, job.name) for key, unit in job.units.items()}
        if job.plan is not None:
            self._runs = runs_of(job.plan)
        self._board = TensorBoard(job.directory, store)
        self._trackers: dict[str, Tracker] = {}
        self._restarted: set[str] = set()
        self._followed_at: dict[str, float] = {}
        self._pending: set[str] = set()
        self._threads = {name: TrackerThread(name, console) for name in (BOARD, *self._names)}

    def __enter__(self) -> Tracking:
        for name in self._names:
            self._submit(name, self._open, name)
        for run in self._runs.values():
            if self._store.is_done(run.key):
                self._submit_finished(run)
        for thread in self._threads.values():
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.drop()
        for name, thread in self._threads.items():
            thread.shutdown(functools.partial(self._close, name))
        for thread in self._threads.values():
            thread.join()

    def drop(self) -> None:
        """Skip what is not sent yet: the next command sends it."""
        for thread in self._threads.values():
            thread.cancel()

    def report(self, event: Event) -> None:
        """Submit what ``event`` gives to write."""
        match event:
            case Started(unit):  # started or resumed: its curve is written again
                self._restarted.add(unit.key)
            case Progressed(unit):
                self._progressed(unit)
            case Finished(unit):
                self._followed_at.pop(unit.key, None)
                self._submit_finished(self._run(unit))
            case Failed(unit) | Pruned(unit):  # its curve stays as it is
                self._submit(BOARD, self._board.close, self._run(unit))

    def _progressed(self, unit: Unit) -> None:
        """Update a training's curve, unless that was done a moment ago or is about to be."""
        key, now = unit.key, time.monotonic()
        restart = key in self._restarted
        is_recent = not restart and now - self._followed_at.get(key, 0.0) < FOLLOW_EVERY
        if not unit.epochs or is_recent or key in self._pending:
            return
        # A worker cuts the log back to its checkpoint before it reports for the first time.
        self._restarted.discard(key)
        self._followed_at[key] = now
        self._pending.add(key)
        self._submit(BOARD, self._follow, self._run(unit), restart)

    def _run(self, unit: Unit) -> Run:
        """The run of a unit; one that a search has added gets its own."""
        return self._runs.setdefault(unit.key, run_of(unit, self._name))

    def _submit_finished(self, run: Run) -> None:
        restart = run.key in self._restarted
        self._restarted.discard(run.key)
        self._submit(BOARD, self._board.finish, run, restart)
        for name in self._names:
            self._submit(name, self._send, name, run)

    def _submit(self, name: str, task: Callable[..., None], *arguments: object) -> None:
        self._threads[name].submit(functools.partial(task, *arguments))

    # -- in the threads ---------------------------------------------------------------------

    def _follow(self, run: Run, restart: bool) -> None:
        self._pending.discard(run.key)
        self._board.follow(run, restart)

    def _open(self, name: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._trackers[name] = tracker = TRACKERS[name](self._directory)
        self._console.print(Text(tracker.destination), soft_wrap=True)

    def _send(self, name: str, run: Run) -> None:
        """Send a finished unit, once, also when several drivers do the same."""
        with self._sent(name) as sent:
            if run.key in sent.read_text().split():
                return
            curve, result = read_curve(self._store, run), read_result(self._store, run)
            self._trackers[name].log(run, curve, result)
            with sent.open("a") as file:
                file.write(f"{run.key}\n")

    def _close(self, name: str) -> None:
        if name == BOARD:
            self._board.close_all()
        elif name in self._trackers:
            self._trackers[name].close()

    @contextlib.contextmanager
    def _sent(self, name: str) -> Iterator[Path]:
        """The file with a line for each unit that a tracker has, locked for this driver."""
        path = self._directory / f"tracked-{name}.txt"
        with FileLock(path.with_name(f".{path.name}.lock")):
            path.touch()
            yield path
