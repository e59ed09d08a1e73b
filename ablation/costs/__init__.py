"""What units will cost: time, memory and disk, from finished units or from a few measured steps."""

from ablation.costs.disk import check_disk, has_room
from ablation.costs.gpus import AutoGpus, parse_gpus, resolve_gpus
from ablation.costs.model import Cost, CostModel, nodes_of_cluster

__all__ = [
    "AutoGpus",
    "Cost",
    "CostModel",
    "check_disk",
    "has_room",
    "nodes_of_cluster",
    "parse_gpus",
    "resolve_gpus",
]
