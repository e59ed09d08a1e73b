"""How a running study stands: what is done, what runs and how fast, and when it will be over."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.plan import Unit
from ablation.queue import Verdict

Kind = tuple[str, ...]
"""Units of one kind take about as long: what, the task, the representations."""

ETA_EVERY = 1.0
"""Seconds between two estimates of what is left: each looks at all units."""


@dataclass
class Running:
    """A unit that a trial works on.

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

    ``done`` counts ``cached`` ones; ``lost`` are units that need one that has failed for good.
    It is written by the thread that runs the study and read by those that show it: read it
    :meth:`held`.

    Args:
        units: what is to run.
        cached: how many were done before.
        slots: how many trials fit at once; what has been seen to run if not known.
        seconds: key -> what a unit takes by earlier results, where they tell.
    """

    def __init__(
        self,
        units: list[Unit],
        cached: int,
        slots: int | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.cached, self.total = cached, len(units) + cached
        self.done, self.failures, self.lost = cached, 0, 0
        self.running: dict[str, Running] = {}
        self.waiting_for = "Ray and its workers start"
        self.began = time.monotonic()
        self._left = {unit.key: unit for unit in units}
        self._slots, self._most = slots, 1
        self._believed = dict(seconds or {})
        self._taken: dict[Kind, tuple[int, float]] = {}
        self._trainings = {_kind(unit) for unit in units if unit.epochs}
        self._eta: tuple[float, float | None] = (-ETA_EVERY, None)
        self._lock = threading.RLock()

    @contextmanager
    def held(self) -> Iterator[Standing]:
        """Nothing changes meanwhile."""
        with self._lock:
            yield self

    @property
    def gone(self) -> float:
        """Seconds since the study began."""
        return time.monotonic() - self.began

    @property
    def to_come(self) -> int:
        """Units that have not begun."""
        return len(self._left) - len(self.running)

    @property
    def progress(self) -> float:
        """Units that are done and the shares of those that run."""
        shares = (r.epoch / r.unit.epochs for r in self.running.values() if r.unit.epochs)
        return self.done + sum(shares)

    # -- what the runner says ---------------------------------------------------------------

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""
        with self._lock:
            self.waiting_for = ""
            self.running[unit.key] = Running(unit, time.monotonic())
            self._most = max(self._most, len(self.running))

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """Note the epoch, the loss and the speed of ``unit``."""
        with self._lock:
            if unit.key in self.running:
                self.running[unit.key].note(progress)

    def finished(self, unit: Unit) -> None:
        """``unit`` is done, here or by another driver."""
        with self._lock:
            running = self.running.pop(unit.key, None)
            self.done += self._left.pop(unit.key, None) is not None
            if running is not None:
                count, total = self._taken.get(_kind(unit), (0, 0.0))
                seconds = running.total() or running.seconds
                self._taken[_kind(unit)] = (count + 1, total + seconds)

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed."""
        with self._lock:
            self.running.pop(unit.key, None)
            if verdict == "failed" and self._left.pop(unit.key, None) is not None:
                self.failures += 1
                self._drop_what_needs({unit.key})

    def _drop_what_needs(self, gone: set[str]) -> None:
        """Units that need one that has failed for good are never begun."""
        while lost := {k for k, u in self._left.items() if not gone.isdisjoint(u.needs)}:
            self.lost += len(lost)
            for key in lost:
                del self._left[key]
            gone = lost

    def waiting(self, why: str) -> None:
        """Nothing runs at present."""
        with self._lock:
            self.waiting_for = why

    # -- what it makes of that --------------------------------------------------------------

    def left_of(self, running: Running) -> float | None:
        """Seconds that a running unit still takes; None if nothing tells."""
        return running.left(self._seconds(running.unit, {}))

    def eta(self) -> float | None:
        """Seconds until the study is over; None if nothing tells."""
        at, seconds = self._eta
        now = time.monotonic()
        if now - at >= ETA_EVERY:
            at, seconds = self._eta = now, self._new_eta()
        return None if seconds is None else max(0.0, seconds - (now - at))

    def _new_eta(self) -> float | None:
        work = longest = 0.0
        means: dict[Kind, float | None] = {}
        for unit in self._left.values():
            running = self.running.get(unit.key)
            seconds = self._seconds(unit, means)
            if running is not None:
                seconds = running.left(seconds)
            if seconds is None:
                return None
            work += seconds
            longest = max(longest, seconds)
        return max(longest, work / max(1, self._slots or self._most))

    def _seconds(self, unit: Unit, means: dict[Kind, float | None]) -> float | None:
        """What a unit takes: by its like in this run, else by earlier results, else a guess.

        ``means`` remembers what its like takes, for who asks for many units.
        """
        kind = _kind(unit)
        if kind not in means:
            means[kind] = _mean(*self._seen([kind]))
        if means[kind] is not None or unit.key in self._believed:
            return means[kind] or self._believed.get(unit.key)
        if not unit.epochs:
            return 1.0  # an evaluation is short; its first result corrects this
        anything = ("",)
        if anything not in means:
            means[anything] = _mean(*self._seen(self._trainings))
        return means[anything]

    def _seen(self, kinds: Collection[Kind]) -> tuple[int, float]:
        """How many units of ``kinds`` have told their seconds, and the sum of these."""
        count, total = 0, 0.0
        for kind in kinds:
            taken = self._taken.get(kind, (0, 0.0))
            count, total = count + taken[0], total + taken[1]
        if not count:
            for running in self.running.values():
                seconds = running.total()
                if seconds is not None and _kind(running.unit) in kinds:
                    count, total = count + 1, total + seconds
        return count, total


def _mean(count: int, total: float) -> float | None:
    return total / count if count else None


def _kind(unit: Unit) -> Kind:
    return (unit.kind, str(unit.config.get("task", "")), *unit.representations)
