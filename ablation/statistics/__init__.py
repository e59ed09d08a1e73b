"""Intervals, tests and power: arrays in, numbers out; knows no study and no file."""

from ablation.statistics.decisions import MOST_SEEDS, POWER, adjusted, seeds_to_settle
from ablation.statistics.errors import paired_difference, standard_error
from ablation.statistics.estimate import (
    LEVEL,
    Estimate,
    difference_of,
    estimate_of,
    unpaired_difference,
)

__all__ = ["LEVEL", "MOST_SEEDS", "POWER", "Estimate", "adjusted", "difference_of", "estimate_of"]
__all__ += ["paired_difference", "seeds_to_settle", "standard_error"]
__all__ += ["unpaired_difference"]
