"""From the store to one tidy frame, from the frame to a table, and from the table to files.

What needs pandas is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from ablation.tables.table import (
        COLUMNS,
        Entry,
        Outcome,
        Table,
        cells_frame,
        entries_of,
        make_table,
        number,
        summary,
    )

__all__ = [
    "COLUMNS",
    "Entry",
    "Outcome",
    "Table",
    "cells_frame",
    "entries_of",
    "make_table",
    "number",
    "summary",
]

__getattr__ = lazy_exports(__name__, dict.fromkeys(__all__, "ablation.tables.table"))
