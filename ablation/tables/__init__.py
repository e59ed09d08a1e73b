"""From the store to one tidy frame, from the frame to a table, and from the table to files."""

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
