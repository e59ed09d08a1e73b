"""How many GPUs a trial takes: a share of one, one, several that train together, or ``auto``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ablation.cost.hardware import torch_sees_a_gpu
from ablation.cost.model import CostModel
from ablation.units import PretrainUnit, Unit
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.runner.resources import Resources


class AutoGpus(float):
    """``--gpus-per-trial auto``: one GPU, until :func:`resolve_gpus` has chosen."""


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


def gpus_of_cluster(resources: Resources) -> float:
    """How many GPUs the cluster at ``--address`` has."""
    from ablation.runner.session import cluster  # imports Ray: only where it is needed anyway

    with cluster(resources) as nodes:
        return sum(node.get("GPU", 0.0) for node in nodes)


def resolve_gpus(
    resources: Resources,
    model: CostModel,
    units: Sequence[Unit],
    say: Callable[[str], None],
    *,
    cuda: Callable[[], bool] = torch_sees_a_gpu,
    in_cluster: Callable[[Resources], float] = gpus_of_cluster,
) -> Resources:
    """``resources`` with a number in place of ``auto``, and checked for ``units``.

    ``auto`` becomes no GPU where torch (or the cluster at ``--address``) has none, else the share
    of one in which the largest peak of like finished units fits, or a whole one.

    Args:
        resources: as asked for.
        model: knows the peak memory of finished units.
        units: what is to run.
        say: receives what was chosen, and why.
        cuda: whether torch sees a GPU here.
        in_cluster: the number of GPUs of the cluster.

    Raises:
        UserError: if a pre-training's batch cannot be divided among the GPUs.
    """
    if units and isinstance(resources.gpus_per_trial, AutoGpus):
        gpus, why = _choose(resources, model, units, cuda, in_cluster)
        resources = replace(resources, gpus_per_trial=gpus)
        say(f"--gpus-per-trial auto: {why}")
    if resources.gpus_per_trial > 1:
        from skelcon.pretrain.distributed import check_world_size  # imports torch

        for unit in units:
            if isinstance(unit, PretrainUnit):
                check_world_size(int(unit.options["batch"]), int(resources.gpus_per_trial))
    return resources


def _choose(
    resources: Resources,
    model: CostModel,
    units: Sequence[Unit],
    cuda: Callable[[], bool],
    in_cluster: Callable[[Resources], float],
) -> tuple[float, str]:
    """The number for ``auto``, and the reason."""
    if resources.address is not None:
        if in_cluster(resources) <= 0:
            return 0.0, "no GPU, as the cluster has none"
    elif not cuda():
        return 0.0, "no GPU, as torch sees none here"
    share = replace(model, resources=resources).cost(units).gpu_share
    if share is None:
        return 1.0, "a whole GPU, as no finished unit shows that a part of one would do"
    return share, f"{share:g} of a GPU, by the peak memory of like units"
