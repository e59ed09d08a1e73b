"""A study's table: its entries with caption and notes, and how it is laid out for print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ablation.evidence.claims import Answer, answers_of
from ablation.evidence.effects import Effects, effects_of
from ablation.evidence.evidence import Evidence, Where, evidence_of
from ablation.plan import Plan
from ablation.report.caption import caption_of
from ablation.report.entries import entries_of
from ablation.report.entry import Entry, difference, number
from ablation.report.frame import measured, reported_rows
from ablation.report.layout import Head, Layout, Line, Printed, RowKind
from ablation.report.markdown import to_markdown
from ablation.report.notebook import to_html
from ablation.report.notes import Detail, Origin, notes_of
from ablation.report.style import DEFAULT, Reference, TableStyle
from ablation.report.style_notes import note_on_delta, note_on_looks, notes_on_the_paper
from ablation.store import Store
from ablation.study import Study
from ablation.study_parts import Reported
from ablation.text import plural


@dataclass(frozen=True)
class Table:
    """A study's table, ready to be printed.

    Attributes:
        plan: the cells of the study.
        entries: (row, column) -> entry.
        caption: what it shows, on which data, and what n and ± are.
        notes: what a reader must know beside it.
        answers: the claims of its study, each with its verdict.
        evidence: the samples behind the cells.
        effects: of a design, the effects of its factors.
    """

    plan: Plan
    entries: Mapping[Where, Entry]
    caption: str
    notes: tuple[str, ...]
    answers: tuple[Answer, ...]
    evidence: Evidence
    effects: tuple[Effects, ...]

    def __repr__(self) -> str:
        study, counts = self.study, [entry.n for entry in self.entries.values()]
        parts = (
            plural(len(study.all_rows), "row"),
            plural(len(study.columns), "column"),
            f"n = {plural(max(counts, default=0), 'seed')}",
            self.plan.dataset.name,
            f"{self.plan.preset} preset",
        )
        return f"Table('{study.name}': {', '.join(parts)})"

    def __str__(self) -> str:
        return to_markdown(self.layout())

    def _repr_html_(self) -> str:
        """Called by notebooks."""
        return to_html(self.layout())

    @property
    def study(self) -> Study:
        """The study that the table is of."""
        return self.plan.study

    @property
    def reported(self) -> dict[str, Reported]:
        """Other methods' rows, as the paper reports them."""
        return reported_rows(self.plan)

    @property
    def show_paper(self) -> bool:
        """Whether the paper's values may be shown beside ours; never beside synthetic data."""
        return self.plan.report is not None and not self.plan.synthetic

    def label(self, row: str) -> str:
        """The label of a row."""
        return self.study.all_rows[row].label or row

    def column_label(self, column: str) -> str:
        """The label of a column."""
        return self.study.columns[column].label or column

    def layout(self, style: TableStyle = DEFAULT) -> Layout:
        """The texts of the table in the given style."""
        cells = _Cells(self, style)
        lines = [cells.line(row) for row in self.study.all_rows]
        reported = self.reported if cells.reference != "hide" else {}
        lines += [cells.reported(other) for other in reported.values()]
        generated = [self.caption] if style.caption is not None else []
        notes = [*generated, *self.notes, *note_on_looks(self.entries.values())]
        notes += notes_on_the_paper(self.plan, style, cells.reference, reported=bool(reported))
        if style.delta is not None:
            notes.append(note_on_delta(self.label(style.delta)))
        if style.notes == "short":
            notes = [note for note in notes if not isinstance(note, Detail)]
        elif style.notes == "none":
            notes = []
        return Layout(
            caption=style.caption if style.caption is not None else self.caption,
            heads=tuple(cells.heads()),
            lines=tuple(lines),
            ticks=tuple(self.study.ticks.values()),
            footnotes=tuple(cells.footnotes),
            notes=tuple(notes),
            origin=(*generated, *(note for note in self.notes if isinstance(note, Origin))),
        )


def make_table(plan: Plan, frame: pd.DataFrame, store: Store | None = None) -> Table:
    """The table of a plan.

    Args:
        plan: the cells.
        frame: as :func:`ablation.report.cells_frame` gives it.
        store: where predictions and the curves of pre-trainings are; without it there are no
            notes on them, and intervals are over seeds alone.
    """
    ours = measured(plan, frame)
    evidence = evidence_of(plan, ours, store)
    entries = entries_of(plan, frame, evidence)
    answers, effects = answers_of(plan, evidence), effects_of(plan, evidence)
    notes = notes_of(plan, entries, ours, store, evidence.hits, answers, effects)
    return Table(plan, entries, caption_of(plan, entries), notes, answers, evidence, effects)


@dataclass
class _Cells:
    """Makes the lines of a layout, and collects the footnotes of its dashes."""

    table: Table
    style: TableStyle
    footnotes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        table = self.table
        self.reference: Reference = "hide"
        if table.show_paper:
            beside: Reference = "own-column" if table.plan.like_the_paper else "hide"
            self.reference = self.style.reference or beside
        self._with_paper = set[str]()
        if self.reference == "own-column":
            entries = table.entries.items()
            self._with_paper = {column for (_, column), each in entries if each.paper is not None}

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
                cells.append(Printed(*_of_paper(entry)))
        ticks = tuple(tick in study.all_rows[row].ticks for tick in study.ticks)
        kind: RowKind = "reference" if row in study.references else "row"
        return Line(self.table.label(row), kind, tuple(cells), ticks)

    def reported(self, other: Reported) -> Line:
        """The row of another method: its numbers are in the columns of measured values."""
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
    """The paper's value and its ±; empty where it reports none."""
    if entry.paper is None:
        return "", ""
    spread = "" if entry.paper_spread is None else f"{entry.paper_spread:.1f}"
    return number(entry.paper, entry.unit, of_paper=True), spread
