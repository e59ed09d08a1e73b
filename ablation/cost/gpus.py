"""How many GPUs a trial takes: a share of one, one, several that train together, or ``auto``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ablation.cost.view import Costing
from ablation.plan import Plan, Unit
from ablation.runner.resources import Resources
from ablation.store import Store
from skelcon.errors import UserError
from skelcon.pretrain.distributed import check_divides


class AutoGpus(float):
    """``--gpus-per-trial auto``: one GPU, until :func:`settled` knows better."""


def parse_gpus(text: str) -> float:
    """``0.25``, ``2`` or ``auto``, as ``--gpus-per-trial`` has it.

    Raises:
        UserError: for anything else.
    """
    if text == "auto":
        return AutoGpus(1)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"--gpus-per-trial {text}: give a number such as 0.25, 1 or 2, or auto")
    return number


def settled(
    asked: Resources,
    store: Store,
    plans: Sequence[Plan],
    units: Sequence[Unit],
    say: Callable[[str], None],
    cuda: Callable[[], bool] = torch.cuda.is_available,
    in_cluster: Callable[[Resources], float] | None = None,
) -> Resources:
    """What trials of ``units`` take: ``auto`` is chosen and said, several GPUs divide each batch.

    ``auto`` is a whole GPU, or the share of one in which the largest peak of like finished units
    fits; without a GPU that torch can use (logical GPUs have no memory to share) it is none, nor
    where the cluster at ``--address`` has none, which ``in_cluster`` asks.

    Raises:
        UserError: if a pre-training's batch cannot be divided among the GPUs.
    """
    if units and isinstance(asked.gpus_per_trial, AutoGpus):
        if asked.address is not None:
            some, why = (
                (in_cluster or gpus_of_cluster)(asked) > 0,
                "no GPU, as the cluster has none",
            )
        else:
            some, why = cuda(), "no GPU, as torch sees none here"
        gpus = 0.0
        if some:
            share = Costing.of(store, plans, asked).cost(units).gpu_share
            gpus, why = 1.0, "a whole GPU, as no finished unit tells that a part of one would do"
            if share is not None:
                gpus, why = share, f"{share:g} of a GPU, by the peak memory of like units"
        asked = replace(asked, gpus_per_trial=gpus)
        say(f"--gpus-per-trial auto: {why}")
    for unit in units:
        if unit.kind == "pretrain" and asked.gpus_per_trial > 1:
            check_divides(unit.config["config"]["batch"], int(asked.gpus_per_trial))
    return asked


def gpus_of_cluster(asked: Resources) -> float:
    """How many GPUs the cluster at ``--address`` has."""
    from ablation.runner.session import cluster  # imports Ray: only where it is needed anyway

    with cluster(asked) as nodes:
        return sum(node.get("GPU", 0.0) for node in nodes)
