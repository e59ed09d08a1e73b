"""``explain``: where a number of a table comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from ablation.cli.options import JsonOption, ResultsOption, TableArgument
from ablation.cli.studies import table_name
from ablation.text import duration, plural, readable
from skelcon.cli.terminal import PlainConsole, line, say, styled

if TYPE_CHECKING:
    from ablation.provenance.explanation import Explanation
    from skelcon.config import Json

MIB = 2**20


def explain(
    study: TableArgument,
    row: Annotated[str, typer.Argument(metavar="ROW", help="A row's name or label.")],
    column: Annotated[str, typer.Argument(metavar="COLUMN", help="A column's name or label.")],
    results: ResultsOption = Path("results"),
    as_json: JsonOption = False,
) -> None:
    """Show where a number of a table comes from, and how to reproduce it.

    Each seed's value with its units, the settings and what set them, data,
    versions, machine, time and memory. Needs no data, runs nothing.

    \b
    skelcon-ablate explain augmentations crop+pose seq
    """
    from ablation.provenance.explanation import explain as explain_cell

    found = explain_cell(results, table_name(study), row, column)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        print_explanation(PlainConsole(), found, results)


def print_explanation(console: Console, found: Explanation, results: Path) -> None:
    """All of it, the number first and the command last."""
    from ablation.provenance.explained import explained
    from ablation.provenance.reproducing import shell_compare

    def print_text(text: str, style: str = "") -> None:
        say(console, styled(text, style))

    texts = explained(found)
    print_text(f"{found.row} / {found.column} of {found.table}: {texts.number}", "bold")
    print_text(" ".join(texts.sentences) or "No interval is known.")
    grid = Grid(header_style="bold")
    for head in texts.heads:
        left = head in ("evaluation", "pre-training")
        grid.add_column(head, justify="left" if left else "right")
    for cells in texts.values:
        grid.add_row(*cells)
    console.print(grid)
    if any(each.value is not None for each in found.values):
        print_text(_spent(found))
    print_text("\nSettings, and what set them", "bold")
    grid = Grid.grid(padding=(0, 2))
    for key, value, source in texts.settings:
        grid.add_row(f"  {key}", value, source)
    console.print(grid)
    print_text(f"  and {texts.defaults} at the paper's defaults (--json has them)", "dim")
    print_text("\nData, code and machine", "bold")
    grid = Grid.grid(padding=(0, 2))
    for facts in found.data:
        grid.add_row("  Data", _data(facts))
    grid.add_row("  Protocol", f"{found.protocol}, evaluated on the {found.evaluated_on} side")
    for what, text in texts.facts:
        grid.add_row(f"  {what}", text)
    console.print(grid)
    print_text("\nTo reproduce it", "bold")
    # One line, whatever the width, so that it can be copied.
    line(console, f"  {texts.command}")
    if all(each.unit for each in found.values):
        line(console, f"  {shell_compare(results, found.table)}")
    for remark in texts.remarks:
        print_text(f"  {remark}", "dim")


def _data(facts: Json) -> str:
    done = [name for name, value in facts["normalisation"].items() if value]
    return (
        f"{facts['name']}, {facts['fingerprint']}, {plural(facts['clips'], 'clip')}, layout family "
        f"{facts['layout_family']}, normalised: {', '.join(done) or 'no'}"
    )


def _spent(found: Explanation) -> str:
    """The time of all, each unit counted once, and the largest memory of one."""
    seconds: dict[str | tuple[str, ...], float] = {}
    for each in found.values:
        seconds[each.unit] = each.seconds or 0.0
        seconds[each.pretrainings] = each.pretraining_seconds or 0.0
    peaks = [each.peak_memory for each in found.values]
    parts = [f"Total wall time {duration(sum(seconds.values()))}"]
    for name, words in (("process_mib", "peak memory"), ("gpu_mib", "GPU memory")):
        if most := max((peak.get(name, 0.0) for peak in peaks), default=0.0):
            parts.append(f"{words} {readable(most * MIB)}")
    return f"{', '.join(parts)}."
