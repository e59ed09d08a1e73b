"""A table as files: cells.csv always, and table.csv, .tex, .md and .json as asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.report import claims_export, effects_export
from ablation.report.latex import to_latex
from ablation.report.markdown import to_markdown
from ablation.report.numbers import document, to_csv
from ablation.report.style import DEFAULT, TableStyle
from ablation.report.table import Table
from ablation.store import write_atomically, write_json
from skelcon.errors import UserError, nearest

FORMATS = ("csv", "latex", "markdown", "json")


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in a comma-separated list.

    Raises:
        UserError: for an unknown format.
    """
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
    style: TableStyle = DEFAULT,
) -> list[Path]:
    """Write the files of a table, each one atomically.

    Args:
        table: the table.
        frame: as :func:`ablation.report.cells_frame` gives it.
        provenance: the provenance of its finished units, for table.json.
        directory: where the files go; it is created if needed.
        formats: some of :data:`FORMATS`; cells.csv is always written.
        style: how table.tex and table.md look.

    Returns:
        The paths of the files, cells.csv first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    layout = table.layout(style)
    texts = {"cells.csv": frame.to_csv(index=False, lineterminator="\n")}
    if "csv" in formats:
        texts["table.csv"] = to_csv(table, frame)
    if "latex" in formats:
        name = style.label if style.label is not None else f"tab:{table.study.name}"
        texts["table.tex"] = to_latex(layout, name, standalone=style.standalone)
    if "markdown" in formats:
        texts["table.md"] = to_markdown(layout)
    if table.answers:
        claims = claims_export.frame_of(table.answers)
        texts["claims.csv"] = claims.to_csv(index=False, lineterminator="\n")
        if "markdown" in formats:
            texts["claims.md"] = claims_export.to_markdown(table)
    if table.effects:
        effects = effects_export.frame_of(table.effects)
        texts["effects.csv"] = effects.to_csv(index=False, lineterminator="\n")
        if "markdown" in formats:
            texts["effects.md"] = effects_export.to_markdown(table.plan, table.effects)
        if "latex" in formats:
            texts["effects.tex"] = effects_export.to_latex(table.plan, table.effects)
    for name, text in texts.items():
        write_atomically(directory / name, text)
    written = [directory / name for name in texts]
    if "json" in formats:
        written.append(directory / "table.json")
        write_json(written[-1], document(table, frame, provenance))
    return written


def to_json(table: Table, frame: pd.DataFrame, provenance: Sequence[dict[str, Any]]) -> str:
    """The table and its provenance as one JSON document."""
    return json.dumps(document(table, frame, provenance), indent=1)
