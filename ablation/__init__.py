"""The ablation engine: study -> plan -> Ray Tune trials -> store -> tables -> export.

What a notebook uses stands here (`ablation.api`): :func:`run`, :func:`load_table`,
:func:`load_cells`, :func:`figure` and :func:`compare`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from ablation.api import compare, figure, load_cells, load_table, run

__all__ = ["compare", "figure", "load_cells", "load_table", "run"]

__getattr__ = lazy_exports(__name__, dict.fromkeys(__all__, "ablation.api"))
