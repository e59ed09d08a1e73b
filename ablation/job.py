"""Units to run, and what they are for, as the run sequence, the views and the trackers need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.plan import Plan
from ablation.units import Unit
from skelcon.data import SkeletonDataset

if TYPE_CHECKING:
    from ablation.scheduler.queue import UnitSource


@dataclass(frozen=True)
class Job:
    """Units to run, and what they are for.

    Attributes:
        name: of the study, the search or the command.
        units: key -> unit, a pre-training before the units that need it.
        datasets: all that they read.
        directory: where curves and the trackers' records go.
        plan: of the study, if there is one: its table is shown while it fills.
        source: gives further units while the others run.
        weights: key of a unit, or SHA-256 of a file -> weights that are not in the store.
    """

    name: str
    units: Mapping[str, Unit]
    datasets: tuple[SkeletonDataset, ...]
    directory: Path
    plan: Plan | None = None
    source: UnitSource | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of_plan(cls, plan: Plan, directory: Path, units: Mapping[str, Unit] | None = None) -> Job:
        """The units of a study, or some of them."""
        if units is not None:
            plan = replace(plan, units=dict(units))
        return cls(plan.study.name, plan.units, plan.datasets, directory, plan=plan)
