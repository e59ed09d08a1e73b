"""How a table is printed, apart from what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ablation.doors import to_latex_name
from skelcon.errors import UserError, nearest

if TYPE_CHECKING:
    from ablation.study import Study

Reference = Literal["show", "own-column", "hide"]
Notes = Literal["full", "short", "none"]


@dataclass(frozen=True)
class TableStyle:
    r"""What table.tex, table.md and the terminal show of a table; the other files have everything.

    Attributes:
        caption: in place of the one that is made, which then is the first note.
        label: LaTeX's, ``tab:<study>`` if None.
        digits: decimals of our numbers in percent, one more in millions; the paper's have its own.
        reference: where the paper's values stand: behind ours in parentheses, in columns of their
            own, or nowhere. If None, in columns of their own where they are of our data, protocol
            and scale, else nowhere, and a note says so.
        delta: the row to which each cell's paired difference is printed as well, with its interval.
        notes: all, those without which the numbers are misread, or none.
        standalone: table.tex is a whole document.
    """

    caption: str | None = None
    label: str | None = None
    digits: int = 1
    reference: Reference | None = None
    delta: str | None = None
    notes: Notes = "full"
    standalone: bool = False

    def check(self, study: Study) -> None:
        """Raise :class:`UserError` for a row that ``study`` does not have, and an odd label."""
        if self.label is not None and to_latex_name(self.label) != self.label:
            odd = f"--label {self.label}: LaTeX takes letters, digits and :._+/- here"
            raise UserError(f"{odd}, such as {to_latex_name(self.label)}")
        if self.delta is not None and self.delta not in study.all_rows:
            hint = nearest(self.delta, study.all_rows)
            raise UserError(f"--delta {self.delta}: study '{study.name}' has no such row: {hint}")


DEFAULT = TableStyle()
