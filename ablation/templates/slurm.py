"""Scripts for ``sbatch``: a study on Ray over several nodes, or as an array of jobs without Ray."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ablation.templates.render import Template

if TYPE_CHECKING:
    from ablation.units import Unit

MAX_JOBS = 1000
"""SLURM's default limit of an array is 1001 jobs."""


@dataclass(frozen=True)
class Job:
    """What both scripts request from SLURM.

    Attributes:
        name: of the job and its log.
        time: limit, as SLURM writes it.
        directory: where the command runs, visible on all nodes.
        partition: where the job is queued; None for the default.
        account: which is charged; None for the default.
        setup: a line of shell that makes the command available on a node; empty for none.
    """

    name: str
    time: str
    directory: str
    partition: str | None = None
    account: str | None = None
    setup: str = ""


@dataclass(frozen=True)
class RayScript(Template):
    """A study that runs with Ray on all nodes of one job.

    Attributes:
        job: what is requested from SLURM.
        nodes: how many.
        cpus: of a node.
        gpus: of a node.
    """

    file: ClassVar[str] = "slurm.sh.j2"
    job: Job
    nodes: int
    cpus: int
    gpus: int


@dataclass(frozen=True)
class ArrayScript(Template):
    """An array of independent jobs, none of which uses Ray.

    Attributes:
        job: what is requested from SLURM.
        groups: the units of each job: their keys, separated by commas.
        at_once: how many jobs may run at a time; None for no limit.
        cpus: of a job.
        gpus: of a job.
    """

    file: ClassVar[str] = "slurm-array.sh.j2"
    job: Job
    groups: Sequence[str]
    at_once: int | None
    cpus: int
    gpus: int


def jobs_of(missing: Iterable[Unit]) -> list[str]:
    """The units of each job of an array: evaluations that need the same, separated by commas.

    A job also runs what its units need, so a pre-training that some unit needs is not listed.

    Args:
        missing: the units that are not done.
    """
    missing = list(missing)
    needed = {key for unit in missing for key in unit.needs}
    by_needs: dict[tuple[str, ...], list[str]] = {}
    for unit in missing:
        if unit.key not in needed:
            by_needs.setdefault(unit.needs, []).append(unit.key)
    groups = [",".join(keys) for keys in by_needs.values()]
    size = max(1, math.ceil(len(groups) / MAX_JOBS))
    return [",".join(groups[start : start + size]) for start in range(0, len(groups), size)]
