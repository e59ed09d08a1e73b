"""How long the units that are left will take: estimates, corrected by what the run observes.

The one place where an ETA is computed: `plan` knows estimates only, a running study observes the
speed of its units as well, and `status` reads the epochs that a unit has logged.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
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
class _Observed:
    """The time that some units took together."""

    units: int = 0
    epochs: int = 0
    seconds: float = 0.0

    def add(self, unit: Unit, seconds: float) -> None:
        self.units += 1
        self.epochs += unit.epochs or 1
        self.seconds += seconds

    def merge(self, other: _Observed) -> None:
        self.units += other.units
        self.epochs += other.epochs
        self.seconds += other.seconds


class Forecast:
    """The time that the units of a run take. Not safe for several threads.

    What a unit takes is known, from the best on: from its own speed, from units of its kind in
    this run, from the estimate of the cost model, from all other units of this run.

    Args:
        estimates: key -> seconds, from the cost model.
        slots: how many trials run at once; the most that have been seen if it is not known.
    """

    def __init__(self, estimates: Mapping[str, float], slots: int | None) -> None:
        self._estimates, self._slots, self._most = estimates, slots, 1
        self._ended: dict[tuple[bool, Kind], _Observed] = {}

    def ended(self, pace: Pace) -> None:
        """A unit is done; what it took counts for the others of its kind."""
        unit = pace.unit
        observed = self._ended.setdefault((unit.epochs > 0, kind_of(unit)), _Observed())
        observed.add(unit, pace.total or pace.elapsed)

    def now(self, running: Mapping[str, Pace]) -> RunningForecast:
        """The forecast at this moment, while ``running`` run."""
        self._most = max(self._most, len(running))
        return RunningForecast(self, running)

    @property
    def slots(self) -> int:
        """How many trials run at once."""
        return self._slots or self._most

    @property
    def estimates(self) -> list[float]:
        """What the cost model says of single units."""
        return list(self._estimates.values())

    def estimate(self, unit: Unit) -> float | None:
        """What the cost model says."""
        return self._estimates.get(unit.key)

    def observed(self, running: Iterable[Pace], trains: bool, kind: Kind | None) -> _Observed:
        """What units of a kind took (all if None): those that ended, else those that run."""
        found = _Observed()
        for (has_epochs, each), observed in self._ended.items():
            if has_epochs == trains and kind in (None, each):
                found.merge(observed)
        if not found.units:
            for pace in running:
                same = (pace.unit.epochs > 0) == trains and kind in (None, kind_of(pace.unit))
                if same and pace.total is not None:
                    found.add(pace.unit, pace.total)
        return found


class RunningForecast:
    """A :class:`Forecast` at one moment: what units of a kind take is looked up once."""

    def __init__(self, forecast: Forecast, running: Mapping[str, Pace]) -> None:
        self._forecast, self._running = forecast, running
        self._by_epoch: dict[Kind, float | None] = {}
        self._by_unit: dict[bool, float | None] = {}

    def left(self, unit: Unit) -> float | None:
        """Seconds that ``unit`` still takes; None if nothing is known."""
        pace, whole = self._running.get(unit.key), self._whole(unit)
        return whole if pace is None else pace.left(whole)

    def remaining(self, units: Iterable[Unit], upcoming: int = 0) -> float | None:
        """Seconds until all is done; None if nothing is known of a unit.

        Args:
            units: those that run or are to run.
            upcoming: how many more units a search will ask for.
        """
        units, seconds = list(units), {}
        for unit in units:
            left = self.left(unit)
            if left is None:
                return None
            seconds[unit.key] = left
        wall = wall_seconds(units, seconds, self._forecast.slots, self._running)
        if not upcoming:
            return wall
        means = [self._mean(trains) for trains in (True, False)]
        known = [mean for mean in means if mean is not None] or self._forecast.estimates
        return wall + upcoming * statistics.fmean(known) / self._forecast.slots if known else None

    def _whole(self, unit: Unit) -> float | None:
        """What all of ``unit`` takes."""
        kind, trains = kind_of(unit), unit.epochs > 0
        if kind not in self._by_epoch:
            seen = self._forecast.observed(self._running.values(), trains, kind)
            self._by_epoch[kind] = seen.seconds / seen.epochs if seen.epochs else None
        by_epoch = self._by_epoch[kind]
        if by_epoch is not None:
            return by_epoch * (unit.epochs or 1)
        estimate = self._forecast.estimate(unit)
        if estimate is not None:
            return estimate
        mean = self._mean(trains)
        return SHORT if mean is None and not trains else mean

    def _mean(self, trains: bool) -> float | None:
        """What a training, or another unit, takes on average."""
        # By unit, as other representations need other numbers of epochs.
        if trains not in self._by_unit:
            seen = self._forecast.observed(self._running.values(), trains, None)
            self._by_unit[trains] = seen.seconds / seen.units if seen.units else None
        return self._by_unit[trains]
