"""Numbers with their intervals as small drawings: coordinates from 0 to 100."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ablation.evidence.claims import Answer
from ablation.evidence.evidence import Where
from ablation.report.table import Table
from ablation.statistics import Estimate


@dataclass(frozen=True)
class Strip:
    """A point with its interval, as coordinates from 0 to 100.

    Attributes:
        zero: coordinate of the value 0; None if it is not drawn.
    """

    low: float
    point: float
    high: float
    zero: float | None = None


def strip(table: Table, cell: Where) -> Strip | None:
    """A cell on the scale of its column; None if it has neither interval nor ±."""
    entry = table.entries[cell]
    own = _range_of(table, cell)
    if own is None or entry.mean is None or entry.unit != "percent":
        return None
    ranges = [_range_of(table, (row, cell[1])) for row in table.study.all_rows]
    ends = [end for found in ranges if found is not None for end in found]
    return _placed(own[0], entry.mean, own[1], min(ends), max(ends))


def _range_of(table: Table, cell: Where) -> tuple[float, float] | None:
    entry = table.entries[cell]
    if entry.interval is not None or entry.mean is None:
        return entry.interval
    beside = entry.plus_minus
    return None if beside is None else (entry.mean - beside, entry.mean + beside)


def reach_of(answers: Iterable[Answer]) -> float:
    """The largest distance from zero of the differences of all claims and their intervals."""
    found = [each.difference for answer in answers for each in answer.comparisons]
    ends = [abs(end) for each in found if each is not None for end in _ends(each)]
    return max(ends, default=0.0)


def effect_strip(difference: Estimate | None, reach: float) -> Strip | None:
    """A difference with its interval and zero in the middle; None if there is no difference."""
    if difference is None or reach == 0:
        return None
    low, high = _ends(difference)
    return _placed(low, difference.value, high, -reach, reach, zero=50.0)


def _ends(difference: Estimate) -> tuple[float, float]:
    return difference.interval or (difference.value, difference.value)


def _placed(
    low: float, point: float, high: float, start: float, end: float, zero: float | None = None
) -> Strip:
    """Coordinates with a margin of 4 on both sides, so that points are not cut off."""
    width = end - start

    def at(value: float) -> float:
        return round(4 + 92 * (value - start) / width, 1) if width > 0 else 50.0

    return Strip(at(low), at(point), at(high), zero)
