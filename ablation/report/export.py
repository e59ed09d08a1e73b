"""A table as files: cells.csv always, and table.csv, .tex, .md and .json as asked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.report import claims_export
from ablation.report.entry import Entry, text_of
from ablation.report.table import Table, summary
from ablation.store import write_atomically, write_json
from skelcon.errors import UserError, nearest

FORMATS = ("csv", "latex", "markdown", "json")
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"}
_LATEX |= {character: f"${character}$" for character in "<>|"}
_LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"\\": r"\textbackslash{}", "±": r"$\pm$"}


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
    texts = {"cells.csv": frame.to_csv(index=False, lineterminator="\n")}
    if "csv" in formats:
        texts["table.csv"] = to_csv(table)
    if "latex" in formats:
        texts["table.tex"] = to_latex(table)
    if "markdown" in formats:
        texts["table.md"] = to_markdown(table)
    if table.answers:
        claims = claims_export.frame_of(table.answers)
        texts["claims.csv"] = claims.to_csv(index=False, lineterminator="\n")
        if "markdown" in formats:
            texts["claims.md"] = claims_export.to_markdown(table)
    for name, text in texts.items():
        write_atomically(directory / name, text)
    written = [directory / name for name in texts]
    if "json" in formats:
        written.append(directory / "table.json")
        write_json(written[-1], summary(table, provenance))
    return written


def to_csv(table: Table) -> str:
    """The table as printed, one row a line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", *table.study.columns])
    for row in table.study.all_rows:
        writer.writerow([row, *(text_of(e) + table.paper_part(e) for e in table.line(row))])
    for name in table.reported:
        writer.writerow([f"{name} (reported)", *table.reported_texts(name)])
    return out.getvalue()


def to_json(table: Table, provenance: Sequence[dict[str, Any]]) -> str:
    """The table and its provenance as one JSON document."""
    return json.dumps(summary(table, provenance), indent=1)


def to_markdown(table: Table) -> str:
    """The table in Markdown, the best of each column in bold, caption and notes around it."""

    def cell(entry: Entry) -> str:
        text = f"**{text_of(entry)}**" if entry.best else text_of(entry)
        return text + table.paper_part(entry)

    header = ["row", *(_cell(table.column_label(column)) for column in table.study.columns)]
    lines = [header, ["---"] + ["---:"] * len(table.study.columns)]
    for row in table.study.all_rows:
        label = _cell(table.label(row))
        label = f"*{label}*" if row in table.study.references else label
        lines.append([label, *map(cell, table.line(row))])
    for name, other in table.reported.items():
        lines.append([f"*{_cell(other.label)} (reported)*", *table.reported_texts(name)])
    grid = ["| " + " | ".join(line) + " |" for line in lines]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([table.caption, "", *grid, "", *notes]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def escape_latex(text: str) -> str:
    """Plain text for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    r"""A ``table`` float for ``\input``; needs booktabs, and amssymb for the ticks."""
    study = table.study
    ticks = list(study.ticks)
    lead = len(ticks) or 1

    def cell(entry: Entry) -> str:
        plus_minus = r" $\pm$ "
        text = text_of(entry, plus_minus)
        if entry.mean is None:
            return rf"{{\scriptsize\textit{{{escape_latex(text)}}}}}"
        text = rf"\textbf{{{text}}}" if entry.best else text
        paper = table.paper_part(entry, plus_minus).strip()
        return rf"{text} {{\scriptsize{paper}}}" if paper else text

    def beside(label: str) -> list[str]:
        return [rf"\multicolumn{{{lead}}}{{l}}{{\textit{{{escape_latex(label)}}}}}"]

    def line(row: str) -> str:
        if row in table.study.references:
            first = beside(table.label(row))
        elif ticks:
            marks = study.rows[row].ticks
            first = [r"$\checkmark$" if tick in marks else "--" for tick in ticks]
        else:
            first = [escape_latex(table.label(row))]
        return " & ".join([*first, *map(cell, table.line(row))]) + r" \\"

    header = [escape_latex(study.ticks[tick]) for tick in ticks] or [""]
    header += [escape_latex(table.column_label(column)) for column in table.study.columns]
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage{amssymb}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{study.name}}}",
        r"\par\smallskip\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{{('c' * lead if ticks else 'l') + 'r' * len(table.study.columns)}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *(line(row) for row in table.study.rows),
    ]
    if table.study.references:
        lines += [r"\midrule", *(line(row) for row in table.study.references)]
    if table.reported:
        lines.append(r"\midrule")
    for name, other in table.reported.items():
        first = beside(f"{other.label} (reported)")
        lines.append(" & ".join([*first, *table.reported_texts(name)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip", r"\begin{minipage}{\linewidth}"]
    lines += [r"\footnotesize " + " ".join(map(escape_latex, table.notes))]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"
