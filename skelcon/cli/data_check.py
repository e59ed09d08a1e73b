"""``skelcon data check``: a page of verdicts on a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from skelcon.cli import data_view as view
from skelcon.cli.console import can_write, progress_bar
from skelcon.cli.opening import opened, report_json
from skelcon.cli.options import JsonOption, PathArgument, PluginOption
from skelcon.cli.terminal import PlainConsole, line
from skelcon.errors import UserError
from skelcon.printable import counted

WriteExcludeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        dir_okay=False,
        help="Write the names of the test clips that repeat a training clip, for --exclude.",
        show_default=False,
    ),
]
SheetOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.png",
        dir_okay=False,
        help="Draw the worst clips: skeletons, names, and what is wrong.",
        show_default=False,
    ),
]


def check(
    path: PathArgument,
    write_exclude: WriteExcludeOption = None,
    sheet: SheetOption = None,
    plugins: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a data set: joint order, unit, jumps, leaks, balance and more, one line each.

    The exit code is 1 if there is an error, and 0 if there are only notes. To
    leave out the test clips that repeat a training clip:

    \b
    skelcon data check PATH --write-exclude leaks.txt
    skelcon data import PATH OUT --exclude leaks.txt
    """
    from skelcon.data import check_dataset
    from skelcon.data.importers.report import read_report
    from skelcon.plugins import load_plugins

    if sheet is not None and sheet.suffix != ".png":
        raise UserError(f"--sheet '{sheet}' must be a file that ends in .png")
    load_plugins(plugins or ())
    dataset, _ = opened(path)
    report = read_report(dataset.path)
    with progress_bar(PlainConsole(stderr=True), "checking") as progress:
        findings = check_dataset(dataset, progress)
    leaks = [one for found in findings.findings if found.kind == "leak" for one, _ in found.pairs]
    if write_exclude is not None:
        with can_write(write_exclude):
            names = "".join(f"{name}\n" for name in dict.fromkeys(leaks))
            write_exclude.write_text(names, encoding="utf-8")
    if sheet is not None:
        from skelcon.data.sheet import contact_sheet

        with can_write(sheet):
            contact_sheet(dataset, findings).savefig(sheet)
    if as_json:
        typer.echo(json.dumps({**findings.to_dict(), "import": report_json(report)}, indent=1))
    else:
        console = PlainConsole()
        view.findings(console, findings)
        view.skipped(console, report)
        view.verdict(console, findings)
        if write_exclude is not None:
            line(console, f"{counted(len(set(leaks)), 'name')} written to '{write_exclude}'")
        if sheet is not None:
            line(console, f"drawn in '{sheet}'")
    if findings.errors:
        raise typer.Exit(1)
