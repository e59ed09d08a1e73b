"""A comparison in words, as a frame and as JSON; differences are in percentage points."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from ablation.provenance.comparison import CellPair, Comparison, TablePair
from ablation.statistics import Estimate
from ablation.text import plural

_OF_SIDES: tuple[str, ...] = ("first", "first_n", "second", "second_n")
_OF_DIFFERENCE = ("difference", "low", "high", "p", "significant", "seeds", "groups", "paired")
COLUMNS = ("table", "row", "column", *_OF_SIDES, *_OF_DIFFERENCE, "same_units")

EXPLAINED = (
    "Differences are the second less the first, in percentage points, with 95 % intervals over "
    "seeds, test groups and clips; p is corrected by Holm over the cells of the table."
)
_WORDS = {
    "seeds and clips": "paired seed by seed and clip by clip",
    "clips": "paired clip by clip, with different seeds",
    "seeds": "paired seed by seed (clips not known)",
    "unpaired": "unpaired: not the same clips or seeds",
}


def frame_of(comparison: Comparison) -> pd.DataFrame:
    """One line per cell; the columns are :data:`COLUMNS`, numbers as the tables print them."""
    lines = [
        (pair.name, *_values(cell).values()) for pair in comparison.tables for cell in pair.cells
    ]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    counts = dict.fromkeys(("first_n", "second_n", "seeds", "groups"), "Int64")
    numbers = dict.fromkeys(("first", "second", "difference", "low", "high", "p"), "float64")
    return frame.astype({**counts, **numbers})


def _values(cell: CellPair) -> dict[str, Any]:
    """The values of a cell for :data:`COLUMNS`, without the table's name."""
    scale, found = scale_of(cell), cell.difference
    within = found.interval if found is not None and cell.unit == "percent" else None
    low, high = (None, None) if within is None else (scale * end for end in within)
    sides = [side for each in (cell.first, cell.second) for side in _mean(each, scale)]
    numbers = (
        None if found is None else scale * found.value,
        *(low, high, cell.p, cell.significant),
        None if found is None else found.seeds,
        None if found is None else found.groups,
        cell.paired if found is not None else None,
    )
    values = dict(zip((*_OF_SIDES, *_OF_DIFFERENCE), (*sides, *numbers), strict=True))
    return {"row": cell.row, "column": cell.column, **values, "same_units": cell.same_units}


def scale_of(cell: CellPair) -> float:
    """The factor from a fraction or a count to the printed number."""
    return 100.0 if cell.unit == "percent" else 1e-6


def _mean(estimate: Estimate | None, scale: float) -> tuple[float | None, int]:
    return (None, 0) if estimate is None else (scale * estimate.value, estimate.seeds)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain values."""
    return {
        "first": str(comparison.first),
        "second": str(comparison.second),
        "tables": [
            {
                "name": pair.name,
                "differs": [asdict(each) for each in pair.differing],
                "cells": [_values(cell) for cell in pair.cells],
            }
            for pair in comparison.tables
        ],
        "only_first": list(comparison.only_first),
        "only_second": list(comparison.only_second),
    }


def remarks(pair: TablePair) -> list[str]:
    """How the cells of a table are paired, and whether the same units have other numbers."""
    ways = [cell.paired for cell in pair.cells if cell.difference is not None and not cell.same]
    counts = {way: ways.count(way) for way in dict.fromkeys(ways)}
    found = [f"{plural(count, 'cell')} {_WORDS[way]}." for way, count in counts.items()]
    others = sum(cell.same_units and not cell.same for cell in pair.cells)
    if others:
        found.append(
            f"{plural(others, 'cell')} with the same units but other numbers: machines, threads or "
            "versions round differently."
        )
    return found
