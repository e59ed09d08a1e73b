"""Rows that are generated: designs of experiments, and lists of values in a row.

A design names factors and which combinations of their levels are run. Its rows are ordinary rows
that know their levels; `ablation.evidence.effects` estimates the effect of each factor.
"""

from ablation.designs.config import Axis, Design, DesignKind, Factor, Level
from ablation.designs.rows import with_generated_rows

__all__ = ["Axis", "Design", "DesignKind", "Factor", "Level", "with_generated_rows"]
