"""How long the remaining units will take: estimates, corrected by the observed speed of the run.

Every ETA is computed here: `plan` has estimates only, a running study observes its units as well.
"""

from __future__ import annotations

import heapq
import statistics
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablation.events import Progressed
from ablation.units import Unit

UnitKind = tuple[str, ...]
"""Task and representations: the epochs of such units take about equally long."""

SHORT = 1.0
"""Expected seconds of an evaluation about which nothing is known."""


def wall_seconds(
    units: Iterable[Unit], seconds: Mapping[str, float], slots: int, running: Collection[str] = ()
) -> float:
    """Seconds until the last of ``units`` ends, if ``slots`` trials run at once.

    As in the queue, units that are ready start in their order, evaluations first.

    Args:
        units: the remaining units; needed units that are not among them are done.
        seconds: key -> the seconds (or remaining seconds) of a unit; 0 if it is missing.
        slots: how many trials run at once.
        running: the keys of units that run already.
    """
    by_key = {unit.key: unit for unit in units}
    order = {
        key: (key not in running, unit.kind != "evaluate", place)
        for place, (key, unit) in enumerate(by_key.items())
    }
    unmet = {key: {need for need in unit.needs if need in by_key} for key, unit in by_key.items()}
    dependents = defaultdict(list)
    for key, needs in unmet.items():
        for need in needs:
            dependents[need].append(key)
    ready = [(order[key], key) for key, needs in unmet.items() if not needs]
    heapq.heapify(ready)
    slots = max(1, slots, len(running))
    busy: list[tuple[float, str]] = []
    now = 0.0
    while ready or busy:
        while ready and len(busy) < slots:
            _, key = heapq.heappop(ready)
            heapq.heappush(busy, (now + seconds.get(key, 0.0), key))
        now, ended = heapq.heappop(busy)
        for key in dependents[ended]:
            unmet[key].discard(ended)
            if not unmet[key]:
                heapq.heappush(ready, (order[key], key))
    return now


@dataclass
class Pace:
    """The progress and the speed of a running unit.

    Attributes:
        unit: the unit.
        started: when it started in this run, by `time.monotonic`.
        first, last: (time, epoch) of the first and of the last report.
    """

    unit: Unit
    started: float
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    loss: float | None = None
    samples_per_s: float | None = None

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return self.last[1] if self.last else 0

    @property
    def elapsed(self) -> float:
        """Seconds since it started in this run."""
        return time.monotonic() - self.started

    def observe(self, event: Progressed) -> None:
        """Take note of a report."""
        self.last = time.monotonic(), event.epoch
        # An earlier run may have trained the epochs before the first report.
        self.first = self.first or self.last
        self.loss, self.samples_per_s = event.loss, event.samples_per_s

    @property
    def epoch_seconds(self) -> float | None:
        """Seconds per epoch, between the first and the last report; None if not known yet."""
        if self.first is None or self.last is None or self.last[1] <= self.first[1]:
            return None
        return (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])

    @property
    def total(self) -> float | None:
        """Seconds of all its epochs at this speed; None if not known yet."""
        each = self.epoch_seconds
        return None if each is None else each * self.unit.epochs

    def left(self, estimate: float | None) -> float | None:
        """Remaining seconds; ``estimate``, for the whole unit, is used until its speed is known."""
        each, epochs = self.epoch_seconds, self.unit.epochs
        if each is None and estimate is not None and epochs:
            each = estimate / epochs
        if self.last is None or each is None:
            return None if estimate is None else max(0.0, estimate - self.elapsed)
        left = each * max(0, epochs - self.epoch)
        return max(0.0, left - (time.monotonic() - self.last[0]))


class _Means:
    """Mean seconds of an epoch for each kind of unit, and of a whole unit that trains or does not.

    For other kinds the mean is over whole units, as they differ in their numbers of epochs.
    """

    def __init__(self) -> None:
        self._sums: dict[UnitKind | bool, tuple[float, int]] = {}

    def add(self, unit: Unit, seconds: float) -> None:
        for what, number in ((_kind(unit), unit.epochs or 1), (unit.trains, 1)):
            total, count = self._sums.get(what, (0.0, 0))
            self._sums[what] = total + seconds, count + number

    def of(self, what: UnitKind | bool) -> float | None:
        """Mean seconds of an epoch of a kind, or of a unit that trains or not; None without any."""
        total, count = self._sums.get(what, (0.0, 0))
        return total / count if count else None


def _kind(unit: Unit) -> UnitKind:
    return (unit.task_name, *unit.representations)


class Forecast:
    """The time that the units of a run take. Not thread-safe.

    The time of a unit is taken from the first of these that is known: its own speed, units of its
    kind in this run (finished, else running ones), the estimate of the cost model, all other units
    of this run.

    Args:
        estimates: key -> seconds, from the cost model.
        slots: how many trials run at once; None: as many as have been seen at once.
    """

    def __init__(self, estimates: Mapping[str, float], slots: int | None) -> None:
        self._estimates, self._slots, self._most = estimates, slots, 1
        self._ended, self._running = _Means(), _Means()
        self._paces: Mapping[str, Pace] = {}

    def ended(self, pace: Pace) -> None:
        """A unit is done; its time counts for other units of its kind."""
        self._ended.add(pace.unit, pace.total or pace.elapsed)

    def update(self, paces: Mapping[str, Pace]) -> None:
        """The units that run now; has to be called before the remaining time is read."""
        self._paces, self._running = paces, _Means()
        self._most = max(self._most, len(paces))
        for pace in paces.values():
            if pace.total is not None:
                self._running.add(pace.unit, pace.total)

    def left(self, unit: Unit) -> float | None:
        """Remaining seconds of ``unit``; None if nothing is known."""
        pace, whole = self._paces.get(unit.key), self._whole(unit)
        return whole if pace is None else pace.left(whole)

    def remaining(self, units: Sequence[Unit], upcoming: int = 0) -> float | None:
        """Seconds until ``units``, which run or wait, are done; None if one of them is unknown.

        ``upcoming`` is how many more units a search will ask for.
        """
        seconds = {unit.key: left for unit in units if (left := self.left(unit)) is not None}
        slots = self._slots or self._most
        if len(seconds) < len(units):
            return None
        wall = wall_seconds(units, seconds, slots, self._paces)
        if not upcoming:
            return wall
        means = [mean for trains in (True, False) if (mean := self._mean(trains)) is not None]
        known = means or list(self._estimates.values())
        return wall + upcoming * statistics.fmean(known) / slots if known else None

    def _whole(self, unit: Unit) -> float | None:
        """Seconds of the whole ``unit``."""
        each = self._mean(_kind(unit))
        if each is not None:
            return each * (unit.epochs or 1)
        if unit.key in self._estimates:
            return self._estimates[unit.key]
        mean = self._mean(unit.trains)
        return SHORT if mean is None and not unit.trains else mean

    def _mean(self, what: UnitKind | bool) -> float | None:
        """The mean over the units that have ended, or else over the units that run."""
        mean = self._ended.of(what)
        return self._running.of(what) if mean is None else mean
