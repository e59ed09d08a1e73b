"""From the store to one tidy frame, from the frame to a table, and from the table to files.

Modules that need pandas are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from ablation.report.entries import entries_of
    from ablation.report.entry import Entry, number
    from ablation.report.frame import cells_frame, measured, printed
    from ablation.report.numbers import document
    from ablation.report.style import TableStyle
    from ablation.report.table import Table, make_table

__all__ = ["Entry", "Table", "TableStyle", "cells_frame", "document", "entries_of"]
__all__ += ["make_table", "measured", "number", "printed"]
_MODULES = {
    "entries": ("entries_of",),
    "entry": ("Entry", "number"),
    "frame": ("cells_frame", "measured", "printed"),
    "numbers": ("document",),
    "style": ("TableStyle",),
    "table": ("Table", "make_table"),
}
_PLACES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__ = lazy_exports(__name__, _PLACES)
