"""A claim on a study's table: which cells are above which others.

text: Each augmentation alone is better than none       as a person says it
source: Section 4.4                                     where the paper does
rows: crop, pose, jitter > none                         in each ranked column, or
columns: inter > intra                                  in each row, references left out
within: [img, seq]                                      only in these columns (or rows)

Each name on the left of ``>`` is compared with each one on its right; ``a > b > c`` compares
neighbours; ``*`` is every other row (column) that is not named. References and other methods'
reported rows may be named.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Self

from pydantic import model_validator

from skelcon.config import Config
from skelcon.errors import nearest

EVERY_OTHER = "*"

Comparison = tuple[tuple[str, str], tuple[str, str]]
"""The cell (row, column) that is said to be higher, and the other one."""


class Claim(Config):
    """What is said of a table. The module's text describes the fields."""

    text: str
    source: str | None = None
    rows: str | None = None
    columns: str | None = None
    within: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if (self.rows is None) == (self.columns is None):
            raise ValueError("a claim orders either rows or columns: give one of them")
        sides = self._sides()
        if len(sides) < 2 or not all(map(all, sides)) or not all(sides):
            raise ValueError(f"claim '{self._order}': write 'a, b > c'")
        named = [name for side in sides for name in side]
        for name in named:
            if named.count(name) > 1:
                raise ValueError(f"claim '{self._order}': '{name}' stands there twice")
        return self

    @property
    def _order(self) -> str:
        return self.rows if self.rows is not None else self.columns or ""

    @property
    def along_rows(self) -> bool:
        """Whether rows are compared, in each of some columns."""
        return self.rows is not None

    @property
    def names(self) -> list[str]:
        """The rows (or columns) that it names."""
        return [name for side in self._sides() for name in side if name != EVERY_OTHER]

    def _sides(self) -> list[list[str]]:
        return [[name.strip() for name in side.split(",")] for side in self._order.split(">")]

    def check(self, compared: Collection[str], across: Collection[str]) -> None:
        """ValueError for a name that is not there."""
        for names, known in ((self.names, compared), (self.within or (), across)):
            for name in names:
                if name not in known:
                    raise ValueError(f"claim '{self._order}': no '{name}': {nearest(name, known)}")

    def comparisons(self, others: Sequence[str], across: Sequence[str]) -> Iterator[Comparison]:
        """The pairs of cells that it compares.

        Args:
            others: what ``*`` is taken from.
            across: the columns (or rows) of the table; ``within`` chooses some of them.
        """
        named = self.names
        rest = [name for name in others if name not in named]
        sides = [
            [name for each in side for name in (rest if each == EVERY_OTHER else [each])]
            for side in self._sides()
        ]
        for line in self.within or across:
            for left, right in itertools.pairwise(sides):
                for higher, lower in itertools.product(left, right):
                    if self.along_rows:
                        yield (higher, line), (lower, line)
                    else:
                        yield (line, higher), (line, lower)
