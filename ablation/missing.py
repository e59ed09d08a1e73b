"""What of a plan is not done yet, and its running: by Ray or here, shown and tracked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console

from ablation.cost import Cost
from ablation.live.audience import Audience
from ablation.plan import Plan, Unit
from ablation.runner.listeners import Listeners
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.tracking import Tracking


def missing_units(
    units: Mapping[str, Unit], store: Store, console: Console, *, mend: bool
) -> list[Unit]:
    """Those of ``units`` that are not done, or whose files are damaged: said, and set aside.

    What a unit that is not done needs is looked at thoroughly.
    """
    done = {key for key in units if store.is_done(key)}
    needed = {key for key, unit in units.items() if key not in done for key in unit.needs}
    for key in sorted(done):
        damage = store.damage(key, thorough=key in needed)
        if damage is None:
            continue
        done.remove(key)
        aside = store.move_damaged(key, thorough=key in needed) if mend else None
        place = f", it is now {aside}" if aside else ""
        console.print(
            f"warning: unit {key} is damaged ({damage}) and runs again{place}",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    return [unit for key, unit in units.items() if key not in done]


def run_missing(
    plan: Plan,
    missing: list[Unit],
    store: Store,
    asked: Resources,
    seen_by: Audience,
    cost: Cost,
    tracking: Tracking,
    here: bool = False,
) -> bool:
    """Run the units of ``plan`` that are missing, and show and track how it goes.

    Args:
        plan: what is asked.
        missing: its units that are to run.
        store: where they go.
        asked: what a trial may take.
        seen_by: who looks on.
        cost: of ``missing``, for the first ETA.
        tracking: is told of what ends, and drops what it has left if this is interrupted.
        here: in this process, one after another, without Ray.

    Returns:
        False if it was interrupted (Ctrl-C) before all units had been tried.

    Raises:
        UserError: if the cluster can never give what a trial asks.
    """
    if here:
        cost = replace(cost, slots=1)
    else:
        asked.stay_on_loopback()
    data = {each.fingerprint: each.path for each in (plan.dataset, plan.source) if each}
    with seen_by.watching(plan, missing, store, cost) as view:
        listener = Listeners(view, tracking)
        if here:
            from ablation.runner.here import run_here

            whole = run_here(missing, store, data, asked, listener)
        else:
            from ablation.runner.with_ray import run_units  # imports Ray

            whole = run_units(missing, store, data, asked, listener)
    if not whole:
        tracking.drop()
    return whole
