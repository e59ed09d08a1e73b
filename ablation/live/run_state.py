"""The state of a run: what is done, what runs and how fast, and when all will be over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ablation.cost.forecast import Forecast, Pace
from ablation.events import Event, Failed, Finished, Progressed, Pruned, Started, Waiting
from ablation.live.snapshot import Running, Snapshot
from ablation.units import Unit

ETA_SECONDS = 1.0
"""Seconds between two estimates of what is left: each takes all units into account."""


@dataclass
class _Active:
    """A unit that a trial works on."""

    pace: Pace
    loss: float | None = None
    samples_per_s: float | None = None


class RunState:
    """The counts of a run, its running units and its ETA. A `Reporter` that shows nothing.

    One thread reports events; any thread may take a :meth:`snapshot`.

    Args:
        name: of the study.
        units: what is to run; a search reports further ones when they start.
        cached: how many units were done before.
        slots: how many trials fit at once; the most that have been seen if it is not known.
        estimates: key -> seconds that a unit takes by earlier results, where they are known.
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
        self._running: dict[str, _Active] = {}
        self._seconds: dict[str, float] = {}
        self._started = time.monotonic()
        self._forecast = Forecast(estimates or {}, slots)
        self._upcoming = upcoming
        self._eta: tuple[float, float | None] = (-ETA_SECONDS, None)
        self._lock = threading.RLock()

    def report(self, event: Event) -> None:
        """``event`` has happened."""
        with self._lock:
            if not isinstance(event, Waiting):
                self._add(event.unit)
            match event:
                case Started(unit):
                    self._waiting = ""
                    self._running[unit.key] = _Active(Pace(unit, time.monotonic()))
                case Progressed(unit):
                    self._progressed(event)
                case Finished(unit):
                    self._finished(unit)
                case Failed(unit):
                    self._running.pop(unit.key, None)
                    if event.verdict == "failed" and self._remove(unit):
                        self._failed += 1
                        self._blocked += self._drop_dependents(unit.key)
                case Pruned(unit):
                    self._running.pop(unit.key, None)
                    if self._remove(unit):
                        self._pruned += 1
                        self._total -= self._drop_dependents(unit.key)
                case Waiting(reason):
                    self._running.clear()  # if Ray has died, what ran does not run any more
                    self._waiting = reason

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            forecast = self._forecast
            forecast.update({key: active.pace for key, active in self._running.items()})
            running = tuple(
                Running(
                    unit=key,
                    label=active.pace.unit.label,
                    epoch=active.pace.epoch,
                    epochs=active.pace.unit.epochs,
                    loss=active.loss,
                    samples_per_s=active.samples_per_s,
                    seconds=active.pace.elapsed,
                    eta_s=forecast.left(active.pace.unit),
                )
                for key, active in self._running.items()
            )
            upcoming = self._upcoming()
            now = time.monotonic()
            if now - self._eta[0] >= ETA_SECONDS:
                self._eta = now, forecast.remaining(list(self._remaining.values()), upcoming)
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

    def seconds_of(self, unit: Unit) -> float | None:
        """Seconds that ``unit`` took here; None if it was not done here."""
        return self._seconds.get(unit.key)

    def _add(self, unit: Unit) -> None:
        """Take on a unit that a search has asked for."""
        if unit.key not in self._known:
            self._known.add(unit.key)
            self._remaining[unit.key] = unit
            self._total += 1

    def _remove(self, unit: Unit) -> bool:
        """Whether ``unit`` was still to be done."""
        return self._remaining.pop(unit.key, None) is not None

    def _progressed(self, event: Progressed) -> None:
        active = self._running.get(event.unit.key)
        if active is not None:
            active.pace.observe(event.epoch)
            active.loss, active.samples_per_s = event.loss, event.samples_per_s

    def _finished(self, unit: Unit) -> None:
        active = self._running.pop(unit.key, None)
        if self._remove(unit):
            self._done += 1
        if active is not None:
            self._seconds[unit.key] = active.pace.elapsed
            self._forecast.ended(active.pace)

    def _drop_dependents(self, key: str) -> int:
        """Forget the units that need ``key``, directly or not; how many they are."""
        dropped, lost = 0, {key}
        while dependents := {k for k, u in self._remaining.items() if not lost.isdisjoint(u.needs)}:
            for dependent in dependents:
                del self._remaining[dependent]
            dropped, lost = dropped + len(dependents), dependents
        return dropped
