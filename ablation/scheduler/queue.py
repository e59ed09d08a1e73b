"""Which unit runs next, and whether one that failed is retried. Does not use Ray."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ablation.events import Event, Failed, Finished, Pruned, Reporter, Started, Verdict
from ablation.interrupts import Interrupt
from ablation.scheduler.resources import Resources
from ablation.store import Store
from ablation.store.heartbeat import Heartbeat
from ablation.store.unit_claims import Claims
from ablation.store.unit_files import LOG
from ablation.units import EvaluateUnit, Unit, read_unit
from ablation.work import OUT_OF_MEMORY
from skelcon.config import Json

OTHERS = "the remaining units are claimed by another driver"
NODE_LOST = "failed: its node was lost"
"""The reason of a unit whose machine, or the Ray on it, was lost: not its own fault."""
NODE_RETRIES = 5
"""How often a unit may lose its node before that counts as a failure."""
POLL_SECONDS = 2.0
"""Seconds between two checks of units that other drivers have claimed."""


def unwritable(error: OSError) -> str:
    """Why nothing is handed out at present, if a unit could not be claimed or started."""
    return f"the results directory cannot be written to ({error.strerror or error})"


@dataclass(frozen=True)
class Assignment:
    """A unit to run now; ``alone`` has a whole device to itself."""

    unit: Unit
    alone: bool = False


@dataclass(frozen=True)
class Monitor:
    """Have a pre-training evaluated while it trains.

    Attributes:
        evaluation: what is computed with the encoders as they are.
        metric: which of its metrics counts.
        every: epochs between two evaluations.
        reported: the last epoch whose value is known already.
    """

    evaluation: EvaluateUnit
    metric: str
    every: int
    reported: int = 0

    def to_json(self) -> Json:
        """As a trial's configuration has it: Tune copies it, so it is plain values."""
        return {**asdict(self), "evaluation": self.evaluation.to_json()}

    @staticmethod
    def from_json(values: Json) -> Monitor:
        """The inverse of :meth:`to_json`."""
        evaluation = read_unit(values["evaluation"])
        assert isinstance(evaluation, EvaluateUnit)
        return Monitor(**{**values, "evaluation": evaluation})


@dataclass(frozen=True)
class Driver:
    """The command that runs units.

    Attributes:
        store: where the results go.
        data: fingerprint -> packed data set.
        resources: what a trial may take, retries, checkpoints.
        reporter: receives what happens.
        interrupt: asks the run to stop.
        heartbeat: of the command; if not given, the run starts one.
    """

    store: Store
    data: Mapping[str, Path]
    resources: Resources
    reporter: Reporter
    interrupt: Interrupt
    heartbeat: Heartbeat | None = None


class UnitSource(Protocol):
    """Gives a run further units while it goes on: a search, whose sampler suggests trials."""

    def start(self) -> None:
        """A new queue takes units from here: units that have not ended are handed out again."""

    @property
    def exhausted(self) -> bool:
        """Whether no more units will come."""

    @property
    def expected(self) -> Sequence[Unit]:
        """Units like the ones to come, for an estimate of time and disk."""

    @property
    def upcoming(self) -> int:
        """About how many more units will come; read often, and from another thread."""

    def summary(self) -> Sequence[tuple[str, str]]:
        """What has been found so far: (label, value); called as often."""

    def ask(self) -> Sequence[Unit]:
        """The units of one more trial; none if there is none at present."""

    def monitor(self, unit: Unit) -> Monitor | None:
        """How ``unit`` is to be evaluated while it trains, if it is."""

    def tell(self, unit: Unit, epoch: int, value: float) -> bool:
        """A monitored unit has a value; whether to prune it."""

    def report(self, event: Event) -> None:
        """``event`` of one of its units has happened (`ablation.events.Reporter`)."""


class Queue:
    """The units of one run, each handed out after the units that it needs.

    A unit that fails is retried ``--retries`` times, unless the same would happen again. One that
    ran out of memory is retried once, alone on its device, and one whose node was lost
    :data:`NODE_RETRIES` times, whatever ``--retries`` is. With ``--fail-fast`` nothing more is
    handed out after the first unit that fails for good.
    A unit that another driver has claimed is left to it.

    Args:
        units: what is missing, in any order.
        driver: the command that runs them.
        claims: what other drivers work on.
        source: gives further units when all of ``units`` have been handed out.
    """

    def __init__(
        self, units: list[Unit], driver: Driver, claims: Claims, source: UnitSource | None = None
    ) -> None:
        self._driver, self._claims, self._source = driver, claims, source
        self._store = driver.store
        self._place: dict[str, int] = {}
        self._attempts: Counter[str] = Counter()
        self._nodes_lost: Counter[str] = Counter()
        self._alone: set[str] = set()
        self._pruned: set[str] = set()
        self._running: dict[str, Unit] = {}
        self._elsewhere: dict[str, Unit] = {}
        self._ready: list[tuple[bool, int, Unit]] = []
        self._unmet: dict[str, set[str]] = {}
        self._dependents: dict[str, list[Unit]] = {}
        self._polled = time.monotonic()
        self.units: dict[str, Unit] = {}
        self.finished: set[str] = set()
        self.failed: dict[str, str] = {}
        """Key -> reason, of units that failed for good and of units that need one of them."""
        self.stopped = False
        if source is not None:
            source.start()
        self.add(units)

    def add(self, units: Sequence[Unit]) -> None:
        """Add ``units``; what they need is among them, or was added before, or is done."""
        fresh = [u for u in units if u.key not in self.units or u.key in self._pruned]
        for unit in fresh:
            self._pruned.discard(unit.key)  # another trial needs it
            self._place.setdefault(unit.key, len(self._place))
            self.units[unit.key] = unit
        for unit in fresh:
            if failed := [key for key in unit.needs if key in self.failed]:
                reason = f"{self.units[failed[0]].label} {self.failed[failed[0]]}"
                self.failed[unit.key] = reason
                self._report(Failed(unit, reason, self._log(failed[0]), "failed"))
            elif unmet := {k for k in unit.needs if k in self.units and not self._is_over(k)}:
                self._unmet[unit.key] = unmet
                for key in unmet:
                    self._dependents.setdefault(key, []).append(unit)
            else:
                self._push(unit)

    def ask(self) -> Assignment | None:
        """What can run now; evaluations first, so that the table fills early.

        Raises:
            OSError: if the results directory cannot be read or written to; ask again later.
        """
        if self._elsewhere and time.monotonic() - self._polled > POLL_SECONDS:
            for unit in self._elsewhere.values():
                self._push(unit)
            self._elsewhere.clear()
        while not self.stopped:
            if not self._ready and not self._ask_source():
                return None
            unit = heapq.heappop(self._ready)[-1]
            try:
                claimed = not self._store.is_done(unit.key) and self._claims.take(unit.key)
                is_done = self._store.is_done(unit.key)  # by another driver, until just now
            except OSError:  # of a disk that is full, or does not answer, for a moment
                self._push(unit)
                raise
            if is_done:
                if claimed:
                    self._claims.release(unit.key)
                self.done(unit)
            elif claimed:
                self._running[unit.key] = unit
                return Assignment(unit, unit.key in self._alone)
            else:
                self._elsewhere[unit.key] = unit
                self._polled = time.monotonic()
        return None

    def started(self, unit: Unit) -> None:
        """A worker has ``unit``."""
        self._report(Started(unit))

    def monitor(self, unit: Unit) -> Monitor | None:
        """How ``unit`` is to be evaluated while it trains, if it is."""
        return self._source.monitor(unit) if self._source else None

    def tell(self, unit: Unit, epoch: int, value: float) -> bool:
        """A monitored unit has a value; whether it is to stop."""
        source, pruned = self._source, self._pruned
        if source is not None and unit.key not in pruned and source.tell(unit, epoch, value):
            pruned.add(unit.key)
        return unit.key in pruned

    def done(self, unit: Unit) -> None:
        """``unit`` is done: what needs it may run."""
        self._release(unit)
        self.finished.add(unit.key)
        for other in self._dependents.pop(unit.key, ()):
            unmet = self._unmet.get(other.key)
            if unmet == {unit.key}:
                del self._unmet[other.key]
                self._push(other)
            elif unmet is not None:
                unmet.discard(unit.key)
        self._report(Finished(unit))

    def fail(self, unit: Unit, reason: str, *, deterministic: bool = False) -> Verdict:
        """``unit`` failed; gives whether it is retried, and whether alone on its device."""
        self._release(unit)
        verdict = self._verdict(unit, reason, deterministic)
        if verdict == "failed":
            self._give_up(unit, reason)
            self.stopped = self.stopped or self._driver.resources.fail_fast
        else:
            self._push(unit)
        self._report(Failed(unit, reason, self._log(unit.key), verdict))
        return verdict

    def _log(self, key: str) -> Path:
        return self._store.files(key).path(LOG)

    def _verdict(self, unit: Unit, reason: str, deterministic: bool) -> Verdict:
        key = unit.key
        if reason == OUT_OF_MEMORY:
            if key in self._alone:
                return "failed"
            self._alone.add(key)
            return "retry alone"
        if reason == NODE_LOST and self._nodes_lost[key] < NODE_RETRIES:
            self._nodes_lost[key] += 1
            return "retry"
        self._attempts[key] += 1
        retries = self._driver.resources.retries
        return "failed" if deterministic or self._attempts[key] > retries else "retry"

    def stop(self, unit: Unit) -> None:
        """``unit`` stopped before its end: a search has pruned it, or the run is interrupted."""
        self._release(unit)
        if unit.key not in self._pruned:
            self._push(unit)
            return
        for other in self._dependents.pop(unit.key, ()):
            self._unmet.pop(other.key, None)
        self._report(Pruned(unit))

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to hand out, now or later."""
        more = self._source is not None and not self._source.exhausted
        left = self._ready or self._unmet or self._elsewhere or more
        return not self._running and (self.stopped or not left)

    @property
    def running(self) -> int:
        """How many units have been handed out and have not ended."""
        return len(self._running)

    @property
    def waiting_for_others(self) -> bool:
        """Whether all that is left is claimed by other drivers."""
        return bool(self._elsewhere) and not self._running and not self._ready

    def _ask_source(self) -> bool:
        if self._source is not None and not self._source.exhausted:
            self.add(self._source.ask())
        return bool(self._ready)

    def _is_over(self, key: str) -> bool:
        """Whether a unit that was added before is done."""
        waiting = key in self._unmet or key in self._running or key in self._elsewhere
        return not waiting and self._store.is_done(key)

    def _push(self, unit: Unit) -> None:
        heapq.heappush(self._ready, (unit.kind != "evaluate", self._place[unit.key], unit))

    def _release(self, unit: Unit) -> None:
        if self._running.pop(unit.key, None) is not None:
            self._claims.release(unit.key)

    def _give_up(self, unit: Unit, reason: str) -> None:
        self.failed[unit.key] = reason
        for other in self._dependents.pop(unit.key, ()):
            if self._unmet.pop(other.key, None) is not None:
                self._give_up(other, f"{unit.label} {reason}")

    def _report(self, event: Event) -> None:
        if self._source is not None:
            self._source.report(event)
        self._driver.reporter.report(event)
