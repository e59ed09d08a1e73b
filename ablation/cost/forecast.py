"""How long the units that are left will take: estimates, corrected by what the run observes.

The one place where an ETA is computed: `plan` knows estimates only, a running study observes the
speed of its units as well, and `status` reads the epochs that a unit has logged.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablation.cost.schedule import wall_seconds
from ablation.units import Unit

Kind = tuple[str, ...]
"""Units of one kind take about as long an epoch: task and representations."""

SHORT = 1.0
"""Seconds that an evaluation of which nothing is known is expected to take."""


def kind_of(unit: Unit) -> Kind:
    """The kind of ``unit``."""
    return (unit.task_name, *unit.representations)


def seconds_left(epoch_seconds: Sequence[float], epochs: int) -> float | None:
    """What ``epochs`` more epochs take, from the seconds of earlier ones; None without any."""
    return statistics.fmean(epoch_seconds) * max(0, epochs) if epoch_seconds else None


@dataclass
class Pace:
    """How fast a running unit is.

    Attributes:
        started: when it started here, by `time.monotonic`.
        first, last: the first and the last report of its epoch: (time, epoch).
    """

    unit: Unit
    started: float
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.last[1] if self.last else 0

    @property
    def elapsed(self) -> float:
        """Seconds since it started here."""
        return time.monotonic() - self.started

    def observe(self, epoch: int) -> None:
        """``epoch`` epochs are done."""
        self.last = (time.monotonic(), epoch)
        # Epochs before the first report may have been trained by an earlier run.
        self.first = self.first or self.last

    @property
    def epoch_seconds(self) -> float | None:
        """Seconds an epoch, between the first and the last report."""
        if self.first is None or self.last is None or self.last[1] <= self.first[1]:
            return None
        return (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])

    @property
    def total(self) -> float | None:
        """Seconds that all its epochs take at this speed."""
        each = self.epoch_seconds
        return None if each is None else each * self.unit.epochs

    def left(self, estimate: float | None) -> float | None:
        """Seconds that are left; ``estimate`` is of the whole unit, for as long as nothing else is
        known."""
        each, epochs = self.epoch_seconds, self.unit.epochs
        if each is None and estimate is not None and epochs:
            each = estimate / epochs
        if self.last is None or each is None:
            return None if estimate is None else max(0.0, estimate - self.elapsed)
        left = seconds_left([each], epochs - self.epoch) or 0.0
        return max(0.0, left - (time.monotonic() - self.last[0]))


@dataclass
class _Mean:
    """The mean seconds of something that was observed several times."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float, count: int) -> None:
        self.seconds += seconds
        self.count += count


class _Observed:
    """What units took: seconds an epoch of each kind, and seconds of a training or other unit.

    (Of all trainings by unit, as other representations need other numbers of epochs.)
    """

    def __init__(self) -> None:
        self.epoch: dict[Kind, _Mean] = defaultdict(_Mean)
        self.unit: dict[bool, _Mean] = defaultdict(_Mean)

    def add(self, unit: Unit, seconds: float) -> None:
        self.epoch[kind_of(unit)].add(seconds, unit.epochs or 1)
        self.unit[unit.epochs > 0].add(seconds, 1)


class Forecast:
    """The time that the units of a run take. Not safe for several threads.

    What a unit takes is known, from the best on: from its own speed, from units of its kind in
    this run (finished ones, or else running ones), from the estimate of the cost model, from all
    other units of this run.

    Args:
        estimates: key -> seconds, from the cost model.
        slots: how many trials run at once; the most that have been seen if it is not known.
    """

    def __init__(self, estimates: Mapping[str, float], slots: int | None) -> None:
        self._estimates, self._slots, self._most = estimates, slots, 1
        self._ended, self._running = _Observed(), _Observed()
        self._paces: Mapping[str, Pace] = {}

    def ended(self, pace: Pace) -> None:
        """A unit is done; what it took counts for the others of its kind."""
        self._ended.add(pace.unit, pace.total or pace.elapsed)

    def update(self, paces: Mapping[str, Pace]) -> None:
        """These units run now: to be called before anything is asked."""
        self._paces, self._running = paces, _Observed()
        self._most = max(self._most, len(paces))
        for pace in paces.values():
            if pace.total is not None:
                self._running.add(pace.unit, pace.total)

    def left(self, unit: Unit) -> float | None:
        """Seconds that ``unit`` still takes; None if nothing is known."""
        pace, whole = self._paces.get(unit.key), self._whole(unit)
        return whole if pace is None else pace.left(whole)

    def remaining(self, units: Sequence[Unit], upcoming: int = 0) -> float | None:
        """Seconds until all is done; None if nothing is known of a unit.

        Args:
            units: those that run or are to run.
            upcoming: how many more units a search will ask for.
        """
        seconds = {unit.key: left for unit in units if (left := self.left(unit)) is not None}
        slots = self._slots or self._most
        if len(seconds) < len(units):
            return None
        wall = wall_seconds(units, seconds, slots, self._paces)
        if not upcoming:
            return wall
        means = [self._unit_mean(trains) for trains in (True, False)]
        known = [mean for mean in means if mean is not None] or list(self._estimates.values())
        return wall + upcoming * statistics.fmean(known) / slots if known else None

    def _whole(self, unit: Unit) -> float | None:
        """What all of ``unit`` takes."""
        each = self._epoch_mean(kind_of(unit))
        if each is not None:
            return each * (unit.epochs or 1)
        if unit.key in self._estimates:
            return self._estimates[unit.key]
        mean = self._unit_mean(unit.epochs > 0)
        return SHORT if mean is None and not unit.epochs else mean

    def _epoch_mean(self, kind: Kind) -> float | None:
        """Seconds an epoch of this kind of unit."""
        return _first_mean(self._ended.epoch.get(kind), self._running.epoch.get(kind))

    def _unit_mean(self, trains: bool) -> float | None:
        """Seconds of a training, or of another unit."""
        return _first_mean(self._ended.unit.get(trains), self._running.unit.get(trains))


def _first_mean(*observed: _Mean | None) -> float | None:
    return next((each.seconds / each.count for each in observed if each is not None), None)
