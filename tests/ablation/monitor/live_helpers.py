"""Runs that are seen at a moment."""

from __future__ import annotations

from dataclasses import replace

from unit_helpers import progressed

from ablation.events import Started
from ablation.monitor.run_state import RunState, Snapshot
from ablation.monitor.table import TableSoFar
from ablation.plan import Plan
from ablation.store import Store, write_json
from ablation.units import Unit


def running(plan: Plan, store: Store, number: int) -> Snapshot:
    """The state of ``plan`` when so many of its units run."""
    units = list(plan.units.values())
    state = RunState("tiny", units, 0, number)
    for unit in units[:number]:
        state.report(Started(unit))
        state.report(progressed(unit, 1))
    now = state.snapshot()
    return replace(now, table=TableSoFar(plan, store).sheet(now))


def finish(store: Store, unit: Unit, top1: float) -> None:
    """As an evaluation leaves its directory."""
    store.begin(unit.key, unit.to_json())
    write_json(store.directory(unit.key) / "result.json", {"top1": top1})
    store.finish(unit.key)
