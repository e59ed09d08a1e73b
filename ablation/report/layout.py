"""A table as it is printed, as plain texts that are not yet in any format.

:meth:`ablation.report.table.Table.layout` makes one; `markdown.py`, `latex.py`, `notebook.py` and
`display.py` write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RowKind = Literal["row", "reference", "reported"]


@dataclass(frozen=True)
class Printed:
    """A cell.

    Attributes:
        number: such as ``61.2``; a dash is printed where there is neither a number nor a reason.
        spread: the number behind ``±``; "" for none.
        beside: further numbers, each with its spread: the difference, the paper's value.
        reason: why there is no number.
        mark: number of the footnote that explains a dash; 0 for none.
    """

    number: str = ""
    spread: str = ""
    beside: tuple[tuple[str, str], ...] = ()
    best: bool = False
    second: bool = False
    reason: str = ""
    mark: int = 0

    def texts(self, plus_minus: str = " ± ") -> tuple[str, str]:
        """The number with its ``±``, and the numbers beside it in parentheses."""

        def whole(number: str, spread: str) -> str:
            return f"{number}{plus_minus}{spread}" if spread else number

        beside = " ".join(f"({whole(*each)})" for each in self.beside)
        return whole(self.number, self.spread), beside


@dataclass(frozen=True)
class Line:
    """A row; ``ticks`` says for each tick column of the study whether it has a tick."""

    label: str
    kind: RowKind
    cells: tuple[Printed, ...]
    ticks: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Head:
    """A column's head; ``of_paper`` if its values are the paper's."""

    label: str
    of_paper: bool = False


@dataclass(frozen=True)
class Layout:
    """The whole table.

    Attributes:
        ticks: the heads of the tick columns.
        footnotes: why there are dashes; the first is number 1.
        notes: the notes below the table.
        origin: notes on where the numbers come from (fingerprints, and the generated caption if
            the user gave one), whatever notes are printed.
    """

    caption: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    ticks: tuple[str, ...] = ()
    footnotes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
