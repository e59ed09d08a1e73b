"""Which unit comes next, and what becomes of one that ended badly. Knows nothing of Ray."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ablation.plan import Unit
from ablation.store import Store
from ablation.store.claims import Claims
from ablation.work import OUT_OF_MEMORY

NODE_LOST = "failed: its node was lost"
"""The reason of a unit whose machine, or the Ray on it, has gone: no fault of its own."""
NODES_LOST = 5
"""How often a unit may lose its node before it counts as failed."""
LOOK_AGAIN = 2.0
"""Seconds between two looks at what other drivers have taken on."""

Verdict = Literal["again", "alone", "failed"]


@dataclass(frozen=True)
class Offer:
    """A unit to run now, with a whole device to itself if ``alone``."""

    unit: Unit
    alone: bool = False


class Queue:
    """The units of one run, each handed out after the units that it needs.

    A unit that fails is handed out again ``retries`` times; one that ran out of memory once, alone
    on its device; one whose node was lost :data:`NODES_LOST` times, whatever ``retries`` is. What
    another driver works on is left to it, and found done in the end.

    Args:
        units: what is missing, in any order.
        store: says what is done.
        claims: says what other drivers work on.
        retries: tries more of a unit that fails.
        fail_fast: hand out nothing more after the first unit that fails for good.
        elsewhere: is told of each unit that another driver has done.
    """

    def __init__(
        self,
        units: list[Unit],
        store: Store,
        claims: Claims,
        *,
        retries: int = 0,
        fail_fast: bool = False,
        elsewhere: Callable[[Unit], None] = lambda unit: None,
    ) -> None:
        self._store, self._claims, self._retries = store, claims, retries
        self._fail_fast, self._elsewhere_done = fail_fast, elsewhere
        self._place = {unit.key: at for at, unit in enumerate(units)}
        self._tries: dict[str, int] = {}
        self._alone: set[str] = set()
        self._nodes_lost: dict[str, int] = {}
        self._running: dict[str, Unit] = {}
        self._elsewhere: dict[str, Unit] = {}
        self._ready: list[tuple[bool, int, Unit]] = []
        self._missing: dict[str, set[str]] = {}
        self._dependents: dict[str, list[Unit]] = {}
        self._looked = time.monotonic()
        self.failed: dict[str, str] = {}
        """Key -> reason, of units that failed for good and of those that need one of them."""
        self.stopped = False
        for unit in units:
            missing = {key for key in unit.needs if key in self._place}  # the others are done
            for key in missing:
                self._dependents.setdefault(key, []).append(unit)
            if missing:
                self._missing[unit.key] = missing
            else:
                self._push(unit)

    def next(self) -> Offer | None:
        """What can be run now; evaluations first, so that the table fills early.

        Raises:
            OSError: if it cannot be claimed; it can be asked for again.
        """
        if self._elsewhere and time.monotonic() - self._looked > LOOK_AGAIN:
            for unit in self._elsewhere.values():
                self._push(unit)
            self._elsewhere.clear()
        while self._ready and not self.stopped:
            unit = heapq.heappop(self._ready)[-1]
            if self._store.is_done(unit.key):
                self._elsewhere_done(unit)
                self.done(unit)
            elif not self._take(unit):
                self._elsewhere[unit.key] = unit
                self._looked = time.monotonic()
            elif self._store.is_done(unit.key):  # by who had it until now
                self._claims.release(unit.key)
                self._elsewhere_done(unit)
                self.done(unit)
            else:
                self._running[unit.key] = unit
                return Offer(unit, unit.key in self._alone)
        return None

    def _take(self, unit: Unit) -> bool:
        try:
            return self._claims.take(unit.key)
        except OSError:  # of a disk that is full for a moment: nothing is lost
            self._push(unit)
            raise

    def done(self, unit: Unit) -> None:
        """``unit`` is done: what needs it may run."""
        self._let_go(unit)
        for other in self._dependents.pop(unit.key, ()):
            missing = self._missing.get(other.key, set())
            missing.discard(unit.key)
            if not missing and self._missing.pop(other.key, None) is not None:
                self._push(other)

    def fail(self, unit: Unit, reason: str) -> Verdict:
        """``unit`` failed; says whether it is tried again, alone on its device, or not."""
        self._let_go(unit)
        if reason == OUT_OF_MEMORY:
            if unit.key not in self._alone:
                self._alone.add(unit.key)
                self._push(unit)
                return "alone"
        elif reason == NODE_LOST and self._nodes_lost.get(unit.key, 0) < NODES_LOST:
            self._nodes_lost[unit.key] = self._nodes_lost.get(unit.key, 0) + 1
            self._push(unit)
            return "again"
        else:
            self._tries[unit.key] = self._tries.get(unit.key, 0) + 1
            if self._tries[unit.key] <= self._retries:
                self._push(unit)
                return "again"
        self._give_up(unit, reason)
        self.stopped = self.stopped or self._fail_fast
        return "failed"

    def interrupt(self, unit: Unit) -> None:
        """``unit`` was stopped before its end, and not for a fault of its own."""
        self._let_go(unit)
        self._push(unit)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to hand out, now or later."""
        left = self._ready or self._missing or self._elsewhere
        return not self._running and (self.stopped or not left)

    @property
    def handed_out(self) -> bool:
        """Whether a unit has been handed out and has not ended."""
        return bool(self._running)

    @property
    def waiting_for_others(self) -> bool:
        """Whether all that is left is at present another driver's."""
        return bool(self._elsewhere) and not self._running and not self._ready

    def _push(self, unit: Unit) -> None:
        heapq.heappush(self._ready, (unit.kind != "evaluate", self._place[unit.key], unit))

    def _let_go(self, unit: Unit) -> None:
        if self._running.pop(unit.key, None) is not None:
            self._claims.release(unit.key)

    def _give_up(self, unit: Unit, reason: str) -> None:
        self.failed[unit.key] = reason
        for other in self._dependents.pop(unit.key, ()):
            if self._missing.pop(other.key, None) is not None:
                self._give_up(other, f"{unit.label} {reason}")
