"""A study's table: printed, written to files, and made again from what a directory holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from ablation.cli.flatten import with_options
from ablation.cli.options import FormatOptions, ResultsOptions, StudyArgument
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.plan import Plan
    from ablation.store import Store


@with_options
def table(study: StudyArgument, output: ResultsOptions, files: FormatOptions) -> None:
    """Make a study's table and its files again from the results; needs no data, runs nothing.

    After a merge, on another machine, or with other files:

    \b
    skelcon-ablate table augmentations --results DIR
    """
    from ablation.store import Store
    from ablation.tables.from_results import load_plan

    store = Store(output.results)
    plan = load_plan(store.results, Path(study).stem)
    console = Console(stderr=output.as_json)
    if show_table(console, plan, store, files.formats, output.as_json):
        raise typer.Exit(1)


def show_table(
    console: Console, plan: Plan, store: Store, formats: tuple[str, ...] | None, as_json: bool
) -> bool:
    """Aggregate, print and export; whether a cell has failed.

    Args:
        console: for people.
        plan: the study.
        store: its units.
        formats: the files to write; all if None.
        as_json: print one JSON document on standard output instead.
    """
    from ablation import tables
    from ablation.tables import display, export

    directory = store.results / plan.study.name
    frame = tables.cells_frame(plan, store)
    made = tables.make_table(plan, frame)
    provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
    if not as_json:
        display.print_table(console, made)
        earlier = export.caption_in(directory)
        if earlier is not None and not same_question(earlier, made.caption):
            console.print(Text(f"Replaces an earlier table: {earlier}", style="yellow"))
    formats = export.FORMATS if formats is None else formats
    try:
        written = export.export(made, frame, provenance, directory, formats)
    except OSError as error:
        raise UserError(f"cannot write '{error.filename}': {error.strerror}") from None
    if as_json:
        typer.echo(export.to_json(made, provenance))
    else:
        names = ", ".join(path.name for path in written)
        console.print(Text(f"Written to {directory}: {names}"), soft_wrap=True)
    return bool((frame["state"] == "failed").any())


def same_question(one: str, other: str) -> bool:
    """Whether two captions differ in their seeds at most."""
    before = [re.split(r", (?:n = |no result yet)", caption)[0] for caption in (one, other)]
    return before[0] == before[1]
