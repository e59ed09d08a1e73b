"""Rows that are generated: designs of experiments, and lists of values in a row.

A design names factors and which combinations of their levels are run. Its rows are ordinary rows
that know their levels; `ablation.evidence.effects` estimates the effect of each factor.
"""

from ablation.designs.config import Axis, Design, Factor, Kind, Level
from ablation.designs.rows import with_generated_rows

__all__ = ["Axis", "Design", "Factor", "Kind", "Level", "with_generated_rows"]
