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
    r"""How table.tex, table.md and the terminal show a table; the other files have everything.

    Attributes:
        caption: replaces the generated caption, which then is the first note.
        label: for ``\label`` in LaTeX; ``tab:<study>`` if None.
        digits: decimals of our numbers in percent, one more in millions. The paper's keep theirs.
        reference: where the paper's values are: in parentheses behind ours (``show``), in columns
            of their own, or hidden. If None, in columns of their own if they are for our data,
            protocol and scale; else hidden, and a note says so.
        delta: a row; each cell also shows its paired difference to that row, with the interval.
        notes: all notes, only notes without which numbers are misread (``short``), or none.
        standalone: whether table.tex is a whole document.
    """

    caption: str | None = None
    label: str | None = None
    digits: int = 1
    reference: Reference | None = None
    delta: str | None = None
    notes: Notes = "full"
    standalone: bool = False

    def check(self, study: Study, whole: Study) -> None:
        """Raise :class:`UserError` for an invalid label, or a row that the table does not have.

        Args:
            study: the study with the rows of the table.
            whole: the study with all its rows.
        """
        if self.label is not None and to_latex_name(self.label) != self.label:
            raise UserError(
                f"--label {self.label}: LaTeX takes letters, digits and :._+/- here, such as "
                f"{to_latex_name(self.label)}"
            )
        if self.delta is None or self.delta in study.all_rows:
            return
        if self.delta in whole.all_rows:
            rows = [row for row in whole.all_rows if row in study.all_rows or row == self.delta]
            raise UserError(
                f"--delta {self.delta}: row '{self.delta}' is not in this table: run the study "
                f"with it (--only {','.join(rows)})"
            )
        hint = nearest(self.delta, study.all_rows)
        raise UserError(f"--delta {self.delta}: study '{study.name}' has no such row: {hint}")


DEFAULT = TableStyle()
