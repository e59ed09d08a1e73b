"""What a run may use of a cluster, and how it handles failures. Does not use Ray."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ablation.scheduler.address import check_syntax
from ablation.units import Unit
from ablation.work.checkpoints import KEEP, CheckpointPolicy
from skelcon.errors import UserError


@dataclass(frozen=True)
class Resources:
    """What a trial requests, and how trials are run: how many at once, retries, checkpoints.

    ``mirror`` is the URI at which results are kept, if it is one.
    """

    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent: int | None = None
    address: str | None = None
    retries: int = 1
    fail_fast: bool = False
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    plugins: tuple[str, ...] = ()
    mirror: str | None = None

    def check(self) -> None:
        """Raise :class:`UserError` for an amount that makes no sense."""
        cpus, gpus, most = self.cpus_per_trial, self.gpus_per_trial, self.max_concurrent
        every, keep = self.checkpoints.every, self.checkpoints.keep
        if self.address is not None:
            check_syntax(self.address)
        if cpus <= 0:
            raise UserError(f"--cpus-per-trial {cpus:g}: give more than 0")
        if gpus < 0:
            raise UserError(f"--gpus-per-trial {gpus:g}: give 0 or more")
        if gpus > 1 and gpus % 1:
            wanted = "a share of one GPU (less than 1), or a whole number"
            raise UserError(f"--gpus-per-trial {gpus:g}: give {wanted}")
        if every is not None and every <= 0:
            raise UserError(f"--checkpoint-every {every:g}: give more than 0 seconds")
        if keep not in KEEP:
            raise UserError(f"--keep {keep}: give {', '.join(KEEP[:-1])} or {KEEP[-1]}")
        if keep == "all" and every is None:
            raise UserError("--keep all: give --checkpoint-every as well, or they fill the disk")
        if most is not None and most < 1:
            raise UserError(f"--max-concurrent {most}: give 1 or more")

    @property
    def in_words(self) -> str:
        """What a trial requests, such as ``1 CPU and 0.5 GPUs``."""
        cpus = _amount(self.cpus_per_trial, "CPU")
        return f"{cpus} and {_amount(self.gpus_per_trial, 'GPU')}" if self.gpus_per_trial else cpus

    def gpus_of(self, unit: Unit) -> float:
        """The GPUs of a trial of ``unit``: only a pre-training is divided among several."""
        return self.gpus_per_trial if unit.kind == "pretrain" else min(1.0, self.gpus_per_trial)

    def of_trial(
        self, gpus: float, nodes: Sequence[Mapping[str, float]], *, alone: bool
    ) -> dict[str, float]:
        """What a trial on ``gpus`` requests; if ``alone`` a whole GPU, or all CPUs of a node."""
        cpus = self.cpus_per_trial
        if alone and gpus:
            gpus = max(gpus, 1.0)
        elif alone:
            cpus = max(cpus, *(node.get("CPU", 0.0) for node in nodes))
        return {"cpu": cpus, "gpu": gpus}

    def slots_of(self, nodes: Sequence[Mapping[str, float]]) -> int | None:
        """How many trials fit on ``nodes`` at once; ``max_concurrent`` where not even one fits.

        (A plan may be made on another machine than the one that will run it.)
        """
        fit = sum(map(self.fit_on, nodes))
        return min(fit, self.max_concurrent or fit) if fit else self.max_concurrent

    def fit_on(self, node: Mapping[str, float]) -> int:
        """How many trials fit at once on a node with these resources, by Ray's names."""
        fit, share = node.get("CPU", 0.0) / self.cpus_per_trial, self.gpus_per_trial
        if share >= 1:
            fit = min(fit, node.get("GPU", 0.0) / share)
        elif share > 0:  # a share of a GPU never spans two of them
            fit = min(fit, math.floor(1 / share + 1e-9) * math.floor(node.get("GPU", 0.0)))
        return math.floor(fit + 1e-9)

    def stay_on_loopback(self) -> None:
        """To be called before Ray is imported: on one machine it opens no port beyond loopback."""
        if self.address is None:
            # Ray reads this when it is imported. (It would resolve a given 127.0.0.1 to the outer
            # address.)
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def _amount(number: float, name: str) -> str:
    """``1 CPU``, ``0.5 GPUs``."""
    return f"{number:g} {name}" if number == 1 else f"{number:g} {name}s"


def ranks_of(gpus: float) -> int:
    """How many processes share a pre-training on ``gpus``."""
    return max(1, int(gpus))


def threads_of(cpus: float, gpus: float) -> int:
    """Torch threads of each process of a trial. With as many threads a unit gives the same bits."""
    return max(1, int(cpus) // ranks_of(gpus))


def check_fits(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> None:
    """Raise :class:`UserError` if no node, by its resources in Ray's names, can start a trial."""
    asked = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    for name, amount in asked.items():
        amounts = [node.get(name, 0.0) for node in nodes]
        most = max(amounts, default=0.0)
        has = f"the cluster has {_amount(sum(amounts), name)}"
        if sum(amounts) >= amount:
            has = f"no node of the cluster has more than {_amount(most, name)}"
        if amount > most:
            option = f"--{name.lower()}s-per-trial {amount:g}"
            fix = f"give at most {most:g}" if most > 0 else "leave it out"
            raise UserError(f"{option}: {has}, so no trial could ever start: {fix}")
    if not any(map(resources.fit_on, nodes)):
        raise UserError(
            f"a trial requests {resources.in_words}, and no node of the cluster has both, so none "
            "could ever start: lower --cpus-per-trial or --gpus-per-trial"
        )
