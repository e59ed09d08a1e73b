"""``explain``: how a number of a table came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from ablation.catalogue import known_studies
from ablation.cli.figures import TABLE
from ablation.cli.options import JsonOption, ResultsOption, completes
from ablation.cli.studies import table_name
from ablation.text import duration, fine_duration, plural, readable, short_key
from skelcon.cli.terminal import PlainConsole, line, say, styled

if TYPE_CHECKING:
    from ablation.report.explanation import Explanation, Value

MIB = 2**20


def explain(
    study: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=TABLE,
            autocompletion=completes(known_studies),
        ),
    ],
    row: Annotated[str, typer.Argument(metavar="ROW", help="A row's name or label.")],
    column: Annotated[str, typer.Argument(metavar="COLUMN", help="A column's name or label.")],
    results: ResultsOption = Path("results"),
    as_json: JsonOption = False,
) -> None:
    """How a number of a table came about, and the command that reproduces it.

    Each seed's value with its units, the settings and who set them, data,
    versions, machine, time and memory. Needs no data, runs nothing.

    \b
    skelcon-ablate explain augmentations crop+pose seq
    """
    from ablation.report.explanation import explain as explain_cell

    found = explain_cell(results, table_name(study), row, column)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        print_explanation(PlainConsole(), found, results)


def print_explanation(console: Console, found: Explanation, results: Path) -> None:
    """All of it, the number first and the command last."""
    from ablation.report.reproducing import shell_compare

    def tell(text: str, style: str = "") -> None:
        say(console, styled(text, style))

    tell(f"{found.row} / {found.column} of {found.table}: {_number(found)}", "bold")
    tell(_spread(found))
    console.print(_values(found))
    known = [each for each in found.values if each.value is not None]
    if known:
        tell(_spent(found))
    tell("\nSettings, and what set them", "bold")
    grid = Grid.grid(padding=(0, 2))
    for each in found.settings:
        if each.source != "default":
            grid.add_row(f"  {each.key}", str(each.value), each.source)
    console.print(grid)
    defaults = sum(each.source == "default" for each in found.settings)
    tell(f"  and {plural(defaults, 'setting')} at the paper's defaults (--json has them)", "dim")
    tell("\nData, code and machine", "bold")
    grid = Grid.grid(padding=(0, 2))
    for facts in found.data:
        done = [name for name, value in facts["normalisation"].items() if value]
        text = f"{facts['name']}, {facts['fingerprint']}, {plural(facts['clips'], 'clip')}, layout "
        text += f"family {facts['layout_family']}, normalised: {', '.join(done) or 'no'}"
        grid.add_row("  data", text)
    grid.add_row("  protocol", f"{found.protocol}, evaluated on {found.evaluated_on}")
    for what, value in found.ran.items():
        grid.add_row(f"  {what}", value)
    console.print(grid)
    tell("\nTo reproduce it", "bold")
    # As one line, whatever the width: it is to be copied.
    line(console, f"  {found.command.line}")
    if all(each.unit for each in found.values):
        line(console, f"  {shell_compare(results, found.table)}")
    for remark in found.command.remarks:
        tell(f"  {remark}", "dim")


def _number(found: Explanation) -> str:
    from ablation.report.entry import number

    entry = found.entry
    if entry.mean is None:
        return entry.reason or "no value"
    text = number(entry.mean, entry.unit)
    return f"{text} {'%' if entry.unit == 'percent' else ''}".strip() + f" ({found.metric})"


def _spread(found: Explanation) -> str:
    """``95 % interval 60.1 to 66.9 over ...; standard deviation over the seeds 1.2``."""
    entry, parts = found.entry, []
    if entry.interval is not None and found.over:
        low, high = entry.interval
        parts.append(f"95 % interval {low:.1f} to {high:.1f}, over {found.over}")
    if entry.error is not None:
        parts.append(f"standard error over clips and groups {entry.error:.1f}")
    elif entry.spread is not None:
        parts.append(f"sample standard deviation {entry.spread:.1f} (ddof = 1)")
    return "; ".join(parts) or "No interval is known."


def _values(found: Explanation) -> Grid:
    folds = any(each.fold is not None for each in found.values)
    grid = Grid(header_style="bold")
    heads = ["seed", *(["fold"] if folds else []), "value", "unit", "pre-training", "time"]
    for head in heads:
        grid.add_column(head, justify="left" if head in ("unit", "pre-training") else "right")
    for each in found.values:
        fold = [str(each.fold)] if folds else []
        keys = short_key(each.unit), " ".join(map(short_key, each.pretrainings))
        cells = (str(each.seed), *fold, _value(found, each), *keys, _time(each))
        grid.add_row(*cells)
    return grid


def _value(found: Explanation, each: Value) -> str:
    from ablation.report.entry import number

    if each.value is None:
        return each.reason
    scale = 100 if found.entry.unit == "percent" else 1e-6
    return number(scale * each.value, found.entry.unit)


def _time(each: Value) -> str:
    """Of the evaluation, and of its pre-trainings."""
    known = (each.pretraining_seconds, each.seconds)
    return " + ".join(fine_duration(seconds) for seconds in known if seconds is not None)


def _spent(found: Explanation) -> str:
    """The time of all, each unit counted once, and the largest memory of one."""
    seconds: dict[str | tuple[str, ...], float] = {}
    for each in found.values:
        seconds[each.unit] = each.seconds or 0.0
        seconds[each.pretrainings] = each.pretraining_seconds or 0.0
    peaks = [each.peak_memory for each in found.values]
    parts = [f"Wall time {duration(sum(seconds.values()))} in all"]
    for name, words in (("process_mib", "peak memory"), ("gpu_mib", "on the GPU")):
        if most := max((peak.get(name, 0.0) for peak in peaks), default=0.0):
            parts.append(f"{words} {readable(most * MIB)}")
    return f"{', '.join(parts)}."
