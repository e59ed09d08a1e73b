"""From the store to one tidy frame, from the frame to a table, and from the table to files.

What needs pandas is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from ablation.report.entry import Entry, number
    from ablation.report.table import (
        Outcome,
        Table,
        cells_frame,
        entries_of,
        make_table,
        printed,
        summary,
    )

__all__ = ["Entry", "Outcome", "Table", "cells_frame", "entries_of"]
__all__ += ["make_table", "number", "printed", "summary"]
__getattr__ = lazy_exports(__name__, dict.fromkeys(__all__, "ablation.report.table"))
