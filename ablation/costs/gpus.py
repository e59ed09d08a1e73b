"""How many GPUs a trial takes: a share of one, one, several that train one model, or ``auto``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ablation.costs.model import CostModel, nodes_of_cluster
from ablation.units import PretrainUnit, Unit
from skelcon.errors import UserError


class AutoGpus(float):
    """``--gpus-per-trial auto``: one GPU, until :func:`resolve_gpus` has chosen."""


def parse_gpus(text: str) -> float:
    """The value of ``--gpus-per-trial``, such as ``0.25``, ``2`` or ``auto``; else UserError."""
    if text == "auto":
        return AutoGpus(1)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"--gpus-per-trial {text}: give a number such as 0.25, 1 or 2, or auto")
    return number


def resolve_gpus(model: CostModel, units: Sequence[Unit], say: Callable[[str], None]) -> CostModel:
    """``model`` with a number of GPUs in place of ``auto``, and checked for ``units``.

    ``auto`` becomes 0 if torch (or the cluster at ``--address``) has no GPU; else the share of a
    GPU that has room for the largest peak of similar finished units, or 1 if there are none.
    ``say`` receives the choice and its reason.

    Raises:
        UserError: if a pre-training's batch cannot be divided among the GPUs.
    """
    if units and isinstance(model.resources.gpus_per_trial, AutoGpus):
        gpus, why = _choose(model, units)
        model = replace(model, resources=replace(model.resources, gpus_per_trial=gpus))
        say(f"--gpus-per-trial auto: {why}")
    gpus = model.resources.gpus_per_trial
    if gpus > 1:
        from skelcon.pretrain.distributed import check_world_size  # imports torch

        for unit in units:
            if isinstance(unit, PretrainUnit):
                check_world_size(int(unit.options["batch"]), int(gpus))
    return model


def _choose(model: CostModel, units: Sequence[Unit]) -> tuple[float, str]:
    """The number for ``auto``, and the reason."""
    if model.resources.address is not None:
        nodes = model.nodes or nodes_of_cluster(model.resources) or ()
        if not any(node.get("GPU", 0.0) > 0 for node in nodes):
            return 0.0, "no GPU, as the cluster has none"
    elif model.hardware.name is None:
        return 0.0, "no GPU, as torch sees none here"
    share = model.cost(units).suggested_gpus_per_trial
    if share is None:
        return 1.0, "a whole GPU, as no finished unit shows that a part of one is enough"
    return share, f"{share:g} of a GPU, by the peak memory of similar units"
