"""From the store to one tidy frame, from the frame to a table, and from the table to files.

What needs pandas is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from ablation.report.entry import Entry, number
    from ablation.report.numbers import document
    from ablation.report.style import TableStyle
    from ablation.report.table import (
        Outcome,
        Table,
        cells_frame,
        entries_of,
        make_table,
        printed,
    )

__all__ = ["Entry", "Outcome", "Table", "TableStyle", "cells_frame", "document", "entries_of"]
__all__ += ["make_table", "number", "printed"]
_PLACES = dict.fromkeys(__all__, "ablation.report.table")
_PLACES |= {"Entry": "ablation.report.entry", "number": "ablation.report.entry"}
_PLACES |= {"document": "ablation.report.numbers", "TableStyle": "ablation.report.style"}
__getattr__ = lazy_exports(__name__, _PLACES)
