"""How a running study stands: what is done, what runs and how fast, and when it will be over."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.live.snapshot import Running, Snapshot
from ablation.plan import Unit
from ablation.runner.queue import Verdict

Kind = tuple[str, ...]
"""Units of one kind take about as long an epoch: what, the task, the representations."""

ETA_EVERY = 1.0
"""Seconds between two estimates of what is left: each looks at all units."""


@dataclass
class _Pace:
    """A unit that a trial works on, and how fast.

    ``first`` and ``last`` are what it reported first and last: (time, epoch).
    """

    unit: Unit
    began: float
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    loss: float | None = None
    samples_per_s: float | None = None

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.last[1] if self.last else 0

    @property
    def seconds(self) -> float:
        """Since it has begun here."""
        return time.monotonic() - self.began

    def note(self, progress: Mapping[str, Any]) -> None:
        """Take in a trial's report."""
        self.last = (time.monotonic(), int(progress.get("epoch") or 0))
        # What stood before the first report may have been resumed: it tells no speed.
        self.first = self.first or self.last
        self.loss = progress.get("loss")
        self.samples_per_s = progress.get("samples_per_s")

    def total(self) -> float | None:
        """Seconds that all its epochs take, as far as those between two reports tell."""
        if self.first is None or self.last is None or self.last[1] <= self.first[1]:
            return None
        (since, epoch), (until, reached) = self.first, self.last
        return (until - since) / (reached - epoch) * self.unit.epochs

    def left(self, total: float | None = None) -> float | None:
        """Seconds that it still takes; ``total`` is what is believed before its speed is known."""
        total = self.total() or total
        if total is None:
            return None
        if self.last is None or not self.unit.epochs:
            return max(0.0, total - self.seconds)
        share = 1 - self.epoch / self.unit.epochs
        return max(0.0, total * share - (time.monotonic() - self.last[0]))


class Standing:
    """A study's counts, its running units and its ETA. Listens to the runner, shows nothing.

    The thread that runs the study tells it what happens; any thread may take a :meth:`snapshot`.

    Args:
        study: its name.
        units: what is to run.
        cached: how many were done before.
        slots: how many trials fit at once; what has been seen to run if not known.
        seconds: key -> what a unit takes by earlier results, where they tell.
    """

    def __init__(
        self,
        study: str,
        units: list[Unit],
        cached: int,
        slots: int | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self._study, self._cached, self._total = study, cached, len(units) + cached
        self._done, self._failed, self._lost = cached, 0, 0
        self._running: dict[str, _Pace] = {}
        self._took: dict[str, float] = {}
        self._waiting = "Ray and its workers start"
        self._began = time.monotonic()
        self._left = {unit.key: unit for unit in units}
        self._slots, self._most = slots, 1
        self._believed = dict(seconds or {})
        self._taken: dict[Kind, _Taken] = {}
        self._kinds: dict[bool, set[Kind]] = {True: set(), False: set()}  # trainings, the others
        for unit in units:
            self._kinds[unit.epochs > 0].add(_kind(unit))
        self._eta: tuple[float, float | None] = (-ETA_EVERY, None)
        self._lock = threading.RLock()

    def snapshot(self) -> Snapshot:
        """How it stands now."""
        with self._lock:
            means: dict[Kind, float | None] = {}
            running = tuple(
                Running(
                    key,
                    pace.unit.label,
                    pace.epoch,
                    pace.unit.epochs,
                    pace.loss,
                    pace.samples_per_s,
                    pace.seconds,
                    pace.left(self._seconds(pace.unit, means)),
                )
                for key, pace in self._running.items()
            )
            shares = (each.epoch / each.epochs for each in running if each.epochs)
            return Snapshot(
                study=self._study,
                units=self._total,
                done=self._done,
                cached=self._cached,
                to_come=len(self._left) - len(running),
                failed=self._failed,
                cannot_run=self._lost,
                progress=self._done + sum(shares),
                seconds=time.monotonic() - self._began,
                eta_s=self._now_eta(),
                waiting="" if running else self._waiting,
                running=running,
            )

    def took(self, unit: Unit) -> float | None:
        """Seconds that ``unit`` took here; None if it was not done here."""
        return self._took.get(unit.key)

    # -- what the runner says ---------------------------------------------------------------

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""
        with self._lock:
            self._waiting = ""
            self._running[unit.key] = _Pace(unit, time.monotonic())
            self._most = max(self._most, len(self._running))

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """Note the epoch, the loss and the speed of ``unit``."""
        with self._lock:
            if unit.key in self._running:
                self._running[unit.key].note(progress)

    def finished(self, unit: Unit) -> None:
        """``unit`` is done, here or by another driver."""
        with self._lock:
            pace = self._running.pop(unit.key, None)
            self._done += self._left.pop(unit.key, None) is not None
            if pace is not None:
                self._took[unit.key] = pace.seconds
                taken = self._taken.setdefault(_kind(unit), _Taken())
                taken.add(unit, pace.total() or pace.seconds)

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed."""
        with self._lock:
            self._running.pop(unit.key, None)
            if verdict == "failed" and self._left.pop(unit.key, None) is not None:
                self._failed += 1
                self._drop_what_needs({unit.key})

    def _drop_what_needs(self, gone: set[str]) -> None:
        """Units that need one that has failed for good are never begun."""
        while lost := {k for k, u in self._left.items() if not gone.isdisjoint(u.needs)}:
            self._lost += len(lost)
            for key in lost:
                del self._left[key]
            gone = lost

    def waiting(self, why: str) -> None:
        """Nothing runs at present (what did may have gone with a Ray that died)."""
        with self._lock:
            self._running.clear()
            self._waiting = why

    # -- what it makes of that --------------------------------------------------------------

    def _now_eta(self) -> float | None:
        at, seconds = self._eta
        now = time.monotonic()
        if now - at >= ETA_EVERY:
            at, seconds = self._eta = now, self._new_eta()
        return None if seconds is None else max(0.0, seconds - (now - at))

    def _new_eta(self) -> float | None:
        work = longest = 0.0
        means: dict[Kind, float | None] = {}
        for unit in self._left.values():
            pace = self._running.get(unit.key)
            seconds = self._seconds(unit, means)
            if pace is not None:
                seconds = pace.left(seconds)
            if seconds is None:
                return None
            work += seconds
            longest = max(longest, seconds)
        return max(longest, work / max(1, self._slots or self._most))

    def _seconds(self, unit: Unit, means: dict[Kind, float | None]) -> float | None:
        """What a unit takes: by its like in this run, else by earlier results, else a guess.

        ``means`` remembers what its like takes (by epoch), for who asks for many units.
        """
        kind, trains = _kind(unit), unit.epochs > 0
        others = (str(trains),)
        if kind not in means:
            means[kind] = self._seen([kind]).by_epoch
        mean = means[kind]
        if mean is not None:
            return mean * _weight(unit)
        if unit.key in self._believed:
            return self._believed[unit.key]
        if others not in means:  # (by unit: other representations need other numbers of epochs)
            means[others] = self._seen(self._kinds[trains]).by_unit
        mean = means[others]
        return mean if mean is not None or trains else 1.0  # an evaluation is short, mostly

    def _seen(self, kinds: Collection[Kind]) -> _Taken:
        """What units of ``kinds`` took: those that have ended; those that run, if none has."""
        seen = _Taken()
        for kind in kinds:
            taken = self._taken.get(kind, _Taken())
            seen.units += taken.units
            seen.epochs += taken.epochs
            seen.seconds += taken.seconds
        if not seen.units:
            for pace in self._running.values():
                seconds = pace.total()
                if seconds is not None and _kind(pace.unit) in kinds:
                    seen.add(pace.unit, seconds)
        return seen


@dataclass
class _Taken:
    """Seconds that some units took together."""

    units: int = 0
    epochs: int = 0
    seconds: float = 0.0

    def add(self, unit: Unit, seconds: float) -> None:
        """One more."""
        self.units += 1
        self.epochs += _weight(unit)
        self.seconds += seconds

    @property
    def by_epoch(self) -> float | None:
        """Seconds an epoch."""
        return self.seconds / self.epochs if self.epochs else None

    @property
    def by_unit(self) -> float | None:
        """Seconds a unit."""
        return self.seconds / self.units if self.units else None


def _weight(unit: Unit) -> int:
    """Among units of its kind one takes as long as it has epochs."""
    return unit.epochs or 1


def _kind(unit: Unit) -> Kind:
    return (unit.kind, str(unit.config.get("task", "")), *unit.representations)
