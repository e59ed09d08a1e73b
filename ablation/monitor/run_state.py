"""The state of a run: what is done, what runs and how fast, and how long the rest will take.

The driver's live view, its events and ``status`` in another shell all show a :class:`Snapshot`. It
is frozen, so that any thread may read it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ablation.costs.forecast import Forecast, Pace
from ablation.events import Event, Failed, Finished, Progressed, Pruned, Started, Waiting
from ablation.units import Unit

ETA_SECONDS = 1.0
"""Seconds between two estimates of the remaining time, each of which goes through all units."""

CellState = Literal["done", "best", "running", "failed", "to come", "not applicable"]


@dataclass(frozen=True)
class Running:
    """A unit that a trial works on.

    Attributes:
        unit: its key.
        epoch, epochs: its progress; 0 of 0 for an evaluation without epochs.
        seconds: since it started here.
        eta_s: seconds that are left; None if that is not known.
    """

    unit: str
    label: str
    epoch: int
    epochs: int
    loss: float | None
    samples_per_s: float | None
    seconds: float
    eta_s: float | None


@dataclass(frozen=True)
class SheetCell:
    """A cell of the table so far; ``text`` is its number, empty where there is none."""

    state: CellState
    text: str = ""


@dataclass(frozen=True)
class Sheet:
    """The table so far: the columns' names, and each row's name with its cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[SheetCell, ...]], ...]


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at a moment.

    Attributes:
        units: all of the study, or all that a search is expected to run.
        done: how many of them are done.
        cached: how many of these were done when the command started.
        failed: units that have failed and are not retried.
        cannot_run: units that need one of these.
        progress: units that are done or pruned, with the shares of the running ones.
        eta_s: seconds until the end; None if that is not known.
        waiting: why nothing runs, if nothing does.
        pruned: units that a search has stopped early.
        summary: of a search, further lines: (label, value).
    """

    study: str
    units: int
    done: int
    cached: int
    to_come: int
    failed: int
    cannot_run: int
    progress: float
    seconds: float
    eta_s: float | None
    waiting: str
    running: tuple[Running, ...]
    table: Sheet | None = None
    pruned: int = 0
    summary: tuple[tuple[str, str], ...] = ()


class RunState:
    """The counts of a run, its running units and its ETA. A `Reporter` that shows nothing.

    One thread reports events; any thread may take a :meth:`snapshot`.

    Args:
        name: of the study.
        units: what is to run; further ones of a search are known when they start.
        cached: how many units were done before.
        slots, estimates: of a `Forecast`.
        waiting: why nothing runs yet.
        upcoming: how many more units a search will ask for.
    """

    def __init__(
        self,
        name: str,
        units: Iterable[Unit],
        cached: int = 0,
        slots: int | None = None,
        estimates: Mapping[str, float] | None = None,
        *,
        waiting: str = "",
        upcoming: Callable[[], int] = lambda: 0,
    ) -> None:
        self._name, self._cached, self._waiting = name, cached, waiting
        self._remaining = {unit.key: unit for unit in units}
        self._known = set(self._remaining)
        self._total = len(self._remaining) + cached
        self._done, self._failed, self._blocked, self._pruned = cached, 0, 0, 0
        self._running: dict[str, Pace] = {}
        self._seconds: dict[str, float] = {}
        self._started = time.monotonic()
        self._forecast = Forecast(estimates or {}, slots)
        self._upcoming = upcoming
        self._eta: tuple[float, float | None] = (-ETA_SECONDS, None)
        self._lock = threading.RLock()

    def report(self, event: Event) -> None:
        """``event`` has happened."""
        with self._lock:
            if isinstance(event, Waiting):
                self._running.clear()  # Ray may have died with them
                self._waiting = event.reason
                return
            key = event.unit.key
            if key not in self._known:  # a search has asked for it
                self._known.add(key)
                self._remaining[key] = event.unit
                self._total += 1
            if isinstance(event, Started):
                self._waiting = ""
                self._running[key] = Pace(event.unit, time.monotonic())
            elif not isinstance(event, Progressed):
                self._ended(event, self._running.pop(key, None))
            elif key in self._running:
                self._running[key].observe(event)

    def _ended(self, event: Finished | Failed | Pruned, pace: Pace | None) -> None:
        """A unit has ended, perhaps without having run here."""
        key = event.unit.key
        if isinstance(event, Finished) and pace is not None:
            self._seconds[key] = pace.elapsed
            self._forecast.ended(pace)
        retried = isinstance(event, Failed) and event.verdict != "failed"
        if retried or self._remaining.pop(key, None) is None:
            return
        match event:
            case Finished():
                self._done += 1
            case Failed():
                self._failed += 1
                self._blocked += self._drop_dependents(key)
            case Pruned():
                self._pruned += 1
                self._total -= self._drop_dependents(key)

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            self._forecast.update(self._running)
            running = tuple(map(self._shown, self._running.values()))
            upcoming, now = self._upcoming(), time.monotonic()
            if now - self._eta[0] >= ETA_SECONDS:
                left = self._forecast.remaining(list(self._remaining.values()), upcoming)
                self._eta = now, left
            at, left = self._eta
            shares = sum(each.epoch / each.epochs for each in running if each.epochs)
            return Snapshot(
                study=self._name,
                units=self._total + upcoming,
                done=self._done,
                cached=self._cached,
                to_come=len(self._remaining) - len(running) + upcoming,
                failed=self._failed,
                cannot_run=self._blocked,
                progress=self._done + self._pruned + shares,
                seconds=now - self._started,
                eta_s=None if left is None else max(0.0, left - (now - at)),
                waiting="" if running else self._waiting,
                running=running,
                pruned=self._pruned,
            )

    def _shown(self, pace: Pace) -> Running:
        unit, left = pace.unit, self._forecast.left(pace.unit)
        progress = (pace.epoch, unit.epochs, pace.loss, pace.samples_per_s)
        return Running(unit.key, unit.label, *progress, pace.elapsed, left)

    def seconds_of(self, unit: Unit) -> float | None:
        """Seconds that ``unit`` took here; None if it was not done here."""
        return self._seconds.get(unit.key)

    def _drop_dependents(self, key: str) -> int:
        """Remove the units that need ``key``, directly or not; gives how many they are."""
        dropped, lost = 0, {key}
        while dependents := {k for k, u in self._remaining.items() if not lost.isdisjoint(u.needs)}:
            for dependent in dependents:
                del self._remaining[dependent]
            dropped, lost = dropped + len(dependents), dependents
        return dropped
