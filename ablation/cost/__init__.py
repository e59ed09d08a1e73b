"""What units will cost: time, memory and disk, from finished units or from a few steps now."""

from ablation.cost.gpus import AutoGpus, parse_gpus, resolve_gpus
from ablation.cost.model import Cost, CostModel, Estimate, check_disk

__all__ = [
    "AutoGpus",
    "Cost",
    "CostModel",
    "Estimate",
    "check_disk",
    "parse_gpus",
    "resolve_gpus",
]
