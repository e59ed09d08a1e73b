"""What units will cost, from what finished ones did or from a few steps now: time, memory, disk."""

from ablation.cost.estimate import (
    Cost,
    check_disk,
    cost_of,
    gpu_share,
    needs_probe,
    slots_of,
    wall_seconds,
)

__all__ = ["Cost", "check_disk", "cost_of", "gpu_share", "needs_probe", "slots_of", "wall_seconds"]
