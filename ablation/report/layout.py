"""A table as it is printed, in texts that no format has been chosen for yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ablation.report.entry import Entry, difference, number
from ablation.report.notes import Detail, Origin
from ablation.report.style import Reference, TableStyle
from ablation.report.table import Table

Kind = Literal["row", "reference", "reported"]


@dataclass(frozen=True)
class Printed:
    """A cell.

    Attributes:
        number: such as ``61.2``; a dash is printed where there is neither it nor a reason.
        spread: behind ``±``; "" for none.
        beside: further numbers, each with its ``±`` or "": the difference, the paper's value.
        reason: why there is no number.
        mark: which of the footnotes says what a dash is for; 0 for none.
    """

    number: str = ""
    spread: str = ""
    beside: tuple[tuple[str, str], ...] = ()
    best: bool = False
    second: bool = False
    reason: str = ""
    mark: int = 0

    def texts(self, plus_minus: str = " ± ") -> tuple[str, str]:
        """The number with its ``±``, and what stands beside it."""

        def whole(number: str, spread: str) -> str:
            return f"{number}{plus_minus}{spread}" if spread else number

        beside = " ".join(f"({whole(*each)})" for each in self.beside)
        return whole(self.number, self.spread), beside


@dataclass(frozen=True)
class Line:
    """A row; ``ticks`` are those of the study's tick columns."""

    label: str
    kind: Kind
    cells: tuple[Printed, ...]
    ticks: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Head:
    """A column's head; ``of_paper``: the values are the paper's."""

    label: str
    of_paper: bool = False


@dataclass(frozen=True)
class Layout:
    """All of it.

    Attributes:
        ticks: the heads of the tick columns.
        footnotes: what dashes are for; the first is number 1.
        notes: what stands beneath.
        origin: fingerprints, and the caption that was made, if another is printed; no notes.
    """

    caption: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    ticks: tuple[str, ...] = ()
    footnotes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()


def lay_out(table: Table, style: TableStyle) -> Layout:
    """``table`` as ``style`` has it."""
    cells = _Cells(table, style, _reference(table, style))
    lines = [cells.line(row) for row in table.study.all_rows]
    if cells.reference != "hide":
        lines += [cells.reported(name) for name in table.reported]
    facts = [table.caption] if style.caption is not None else []
    notes = [*facts, *table.notes, *_note_on_looks(table)]
    notes += _notes_on_the_paper(table, style, cells.reference)
    if style.delta is not None:
        label = table.label(style.delta)
        notes.append(
            f"In parentheses with a sign: the paired difference to {label} with its 95 % interval, "
            "not corrected for the number of comparisons."
        )
    kept: dict[str, type[str] | tuple[type[str], ...]] = {"full": (), "short": Detail, "none": str}
    return Layout(
        caption=style.caption if style.caption is not None else table.caption,
        heads=tuple(cells.heads()),
        lines=tuple(lines),
        ticks=tuple(table.study.ticks.values()),
        footnotes=tuple(cells.footnotes),
        notes=tuple(note for note in notes if not isinstance(note, kept[style.notes])),
        origin=(*facts, *(note for note in table.notes if isinstance(note, Origin))),
    )


def _reference(table: Table, style: TableStyle) -> Reference:
    if not table.show_paper:
        return "hide"
    return style.reference or ("own-column" if table.plan.like_the_paper else "hide")


def _note_on_looks(table: Table) -> list[str]:
    """What bold and underlined numbers are, where there are any."""
    best = [each for each in table.entries.values() if each.best]
    if not best:
        return []
    second = any(each.second and not each.best for each in table.entries.values())
    return [
        "Bold: the best of each column and all rows that are not significantly worse (one-sided, "
        f"5 %, Holm's correction){'; underlined: the second best' if second else ''}."
    ]


def _notes_on_the_paper(table: Table, style: TableStyle, reference: Reference) -> list[str]:
    report = table.plan.report
    if report is None or not table.show_paper:
        return []
    unlike = "" if table.plan.like_the_paper else "of another data set, protocol or scale"
    if reference == "hide":
        if style.reference is not None:
            return []
        return [
            f"The paper's values ({report.source}) are {unlike}: they are in table.csv only "
            "(--reference show and own-column print them)."
        ]
    how = (
        "In parentheses without a sign:" if reference == "show" else "In the columns headed paper:"
    )
    warning = f": {unlike}, so compare the order and not the numbers" if unlike else ""
    notes = [f"{how} the paper's value ({report.source}){warning}."]
    if table.reported:
        notes.append(
            "Rows marked (reported) are other methods' as the paper reports them "
            f"({report.source}); none of them was run here."
        )
    return notes


@dataclass
class _Cells:
    """Makes the cells, and collects why there are dashes."""

    table: Table
    style: TableStyle
    reference: Reference
    footnotes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        entries = self.table.entries.items()
        self._with_paper = {column for (_, column), each in entries if each.paper is not None}
        if self.reference != "own-column":
            self._with_paper = set()

    def heads(self) -> list[Head]:
        found = []
        for column in self.table.study.columns:
            found.append(Head(self.table.column_label(column)))
            if column in self._with_paper:
                found.append(Head("paper", of_paper=True))
        return found

    def line(self, row: str) -> Line:
        study = self.table.study
        cells = []
        for column in study.columns:
            entry = self.table.entries[row, column]
            cells.append(self._ours(row, column, entry))
            if column in self._with_paper:
                text, spread = _of_paper(entry)
                cells.append(Printed(text, spread))
        ticks = tuple(tick in study.all_rows[row].ticks for tick in study.ticks)
        kind: Kind = "reference" if row in study.references else "row"
        return Line(self.table.label(row), kind, tuple(cells), ticks)

    def reported(self, name: str) -> Line:
        """Another method's row: its numbers stand in the column of what was measured."""
        other = self.table.reported[name]
        cells = []
        for column, about in self.table.study.columns.items():
            value = other.values.get(column)
            if value is None:
                cells.append(Printed(mark=self._mark("not reported")))
            else:
                cells.append(Printed(number(value, about.unit, of_paper=True)))
            if column in self._with_paper:
                cells.append(Printed())
        return Line(f"{other.label} (reported)", "reported", tuple(cells))

    def _ours(self, row: str, column: str, entry: Entry) -> Printed:
        if entry.mean is None:
            if entry.reason.startswith("not applicable"):
                return Printed(mark=self._mark(entry.reason))
            return Printed(reason=entry.missing)
        digits, beside = self.style.digits, []
        if self.style.delta is not None and row != self.style.delta:
            found = self.table.evidence.difference((row, column), (self.style.delta, column))
            if found is not None:
                beside.append((difference(found, entry.unit, digits), ""))
        if self.reference == "show" and entry.paper is not None:
            beside.append(_of_paper(entry))
        return Printed(
            number(entry.mean, entry.unit, digits),
            "" if entry.plus_minus is None else f"{entry.plus_minus:.{digits}f}",
            tuple(beside),
            entry.best,
            entry.second,
        )

    def _mark(self, reason: str) -> int:
        if reason not in self.footnotes:
            self.footnotes.append(reason)
        return self.footnotes.index(reason) + 1


def _of_paper(entry: Entry) -> tuple[str, str]:
    if entry.paper is None:
        return "", ""
    spread = "" if entry.paper_spread is None else f"{entry.paper_spread:.1f}"
    return number(entry.paper, entry.unit, of_paper=True), spread
