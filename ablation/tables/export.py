"""A table as files: cells.csv always, and table.csv, .tex, .md and .json as asked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.store import write_atomically, write_json
from ablation.tables.table import Entry, Table, number, summary, text_of
from skelcon.errors import UserError, nearest

FORMATS = ("csv", "latex", "markdown", "json")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
}


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in a comma-separated list; :class:`UserError` for an unknown one."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in FORMATS:
            raise UserError(f"unknown format '{name}': {nearest(name, FORMATS)}")
    return names


def export(
    table: Table,
    frame: pd.DataFrame,
    provenance: Sequence[dict[str, Any]],
    directory: Path,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Write the table under ``directory``, each file whole or not at all.

    Returns:
        What was written, cells.csv first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    cells = directory / "cells.csv"
    write_atomically(cells, frame.to_csv(index=False, lineterminator="\n"))
    written = [cells]
    for name, suffix, render in (
        ("csv", "csv", to_csv),
        ("latex", "tex", to_latex),
        ("markdown", "md", to_markdown),
    ):
        if name in formats:
            path = directory / f"table.{suffix}"
            write_atomically(path, render(table))
            written.append(path)
    if "json" in formats:
        path = directory / "table.json"
        write_json(path, summary(table, provenance))
        written.append(path)
    return written


def caption_in(directory: Path) -> str | None:
    """The caption of the table that ``directory`` holds, if it holds one."""
    try:
        caption = json.loads((directory / "table.json").read_text())["caption"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(caption)


def to_csv(table: Table) -> str:
    """The table as printed, one row a line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", *table.columns])
    for row in [*table.rows, *table.references]:
        texts = [text_of(table.entries[row, column], table.show_paper) for column in table.columns]
        writer.writerow([row, *texts])
    for name in table.reported:
        texts = [table.reported_text(name, column) for column in table.columns]
        writer.writerow([f"{name} (reported)", *texts])
    return out.getvalue()


def to_json(table: Table, provenance: Sequence[dict[str, Any]]) -> str:
    """The table and its provenance as one JSON document."""
    return json.dumps(summary(table, provenance), indent=1)


def to_markdown(table: Table) -> str:
    """The table in Markdown, the best of each column in bold, caption and notes around it."""

    def cell(entry: Entry) -> str:
        text = text_of(entry, paper=False)
        text = f"**{text}**" if entry.best else text
        return text + paper_part(table, entry)

    lines = [
        table.caption,
        "",
        "| " + " | ".join(["row", *(_cell(table.column_label(c)) for c in table.columns)]) + " |",
        "| " + " | ".join(["---"] + ["---:"] * len(table.columns)) + " |",
    ]
    for row in [*table.rows, *table.references]:
        label = _cell(table.label(row))
        if row in table.references:
            label = f"*{label}*"
        values = [cell(table.entries[row, column]) for column in table.columns]
        lines.append("| " + " | ".join([label, *values]) + " |")
    for name, other in table.reported.items():
        label = f"*{_cell(other.label)} (reported)*"
        values = [table.reported_text(name, column) for column in table.columns]
        lines.append("| " + " | ".join([label, *values]) + " |")
    lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def paper_part(table: Table, entry: Entry) -> str:
    """`` (82.5)``: the paper's value behind ours, where it is shown and there is one."""
    if not table.show_paper or entry.paper is None or entry.mean is None:
        return ""
    return f" ({number(entry.paper, entry.unit, of_paper=True)})"


def escape_latex(text: str) -> str:
    """Plain text for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    r"""A ``table`` float for ``\input``; needs booktabs, and amssymb for the ticks."""
    study = table.plan.study
    ticks = list(study.ticks)
    lead = len(ticks) or 1

    def cell(entry: Entry) -> str:
        text = text_of(entry, paper=False, plus_minus=r" $\pm$ ")
        if entry.mean is None:
            return rf"{{\scriptsize\textit{{{escape_latex(text)}}}}}"
        text = rf"\textbf{{{text}}}" if entry.best else text
        paper = paper_part(table, entry).strip()
        return rf"{text} {{\scriptsize{paper}}}" if paper else text

    def beside(label: str) -> list[str]:
        return [rf"\multicolumn{{{lead}}}{{l}}{{\textit{{{escape_latex(label)}}}}}"]

    def line(row: str) -> str:
        if row in table.references:
            first = beside(table.label(row))
        elif ticks:
            marks = study.rows[row].ticks
            first = [r"$\checkmark$" if tick in marks else "--" for tick in ticks]
        else:
            first = [escape_latex(table.label(row))]
        values = [cell(table.entries[row, column]) for column in table.columns]
        return " & ".join([*first, *values]) + r" \\"

    header = [escape_latex(study.ticks[tick]) for tick in ticks] or [""]
    header += [escape_latex(table.column_label(column)) for column in table.columns]
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage{amssymb}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{study.name}}}",
        r"\par\smallskip\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{{('c' * lead if ticks else 'l') + 'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *(line(row) for row in table.rows),
    ]
    if table.references:
        lines += [r"\midrule", *(line(row) for row in table.references)]
    if table.reported:
        lines.append(r"\midrule")
    for name, other in table.reported.items():
        values = [table.reported_text(name, column) for column in table.columns]
        lines.append(" & ".join([*beside(f"{other.label} (reported)"), *values]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip", r"\begin{minipage}{\linewidth}"]
    lines += [r"\footnotesize " + " ".join(map(escape_latex, table.notes))]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"
