"""A cell of a table over its seeds, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.statistics import Estimate


@dataclass(frozen=True)
class Entry:
    """A cell over its seeds as it is printed, in percent or millions.

    Attributes:
        spread: on the test side the sample standard deviation (ddof 1) over ``n`` > 1 seeds, or
            over the subsets of the labels if there are several.
        paper, paper_spread: what the paper reports.
        best: whether it is the highest of its column, or not significantly lower.
        second: whether it is the second highest of its column.
        error: in a cross-validation the standard error over clips and groups, if known.
        interval: 95 % interval of the mean, if an error is known.
    """

    mean: float | None
    spread: float | None
    n: int
    paper: float | None
    reason: str = ""
    best: bool = False
    unit: str = "percent"
    error: float | None = None
    paper_spread: float | None = None
    second: bool = False
    interval: tuple[float, float] | None = None

    @property
    def plus_minus(self) -> float | None:
        """The number behind ±: the standard error in a cross-validation, else the spread."""
        return self.spread if self.error is None else self.error

    @property
    def missing(self) -> str:
        """Why there is no number, in a word or two."""
        if self.reason.endswith("out of memory"):
            return self.reason
        return self.reason.split(":")[0] or "not run"


def number(
    value: float, unit: str, digits: int = 1, *, of_paper: bool = False, signed: bool = False
) -> str:
    """``61.2`` (percent), or ``0.52M`` (millions, with one digit more; not for the paper's)."""
    millions = unit == "millions"
    if millions and not of_paper:
        digits += 1
    return f"{value:{'+' if signed else ''}z.{digits}f}{'M' if millions else ''}"


def difference(found: Estimate, unit: str = "percent", digits: int = 1) -> str:
    """``+4.5 [0.5, 8.4]``, in points with its interval, or ``-1.20M``.

    Args:
        found: a difference of fractions, or of counts for the unit ``millions``.
        unit: ``percent`` or ``millions``.
        digits: decimals in percent.
    """
    scale = 100.0 if unit == "percent" else 1e-6
    text = number(scale * found.value, unit, digits, signed=True)
    if unit != "percent" or found.interval is None:
        return text
    within = (min(max(scale * end, -100.0), 100.0) for end in found.interval)
    low, high = (number(end, unit, digits) for end in within)
    return f"{text} [{low}, {high}]"


def p_text(p: float | None) -> str:
    """``0.013``, or ``< 0.001``; a dash for None."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
