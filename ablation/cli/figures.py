"""``skelcon-ablate figures``: a study's figures from its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from ablation.cli.options import FORMATS, ResultsOption, TableArgument
from ablation.cli.parsing import parse_names
from ablation.cli.studies import table_name
from skelcon.cli.console import activity
from skelcon.cli.flatten import group, option, with_options
from skelcon.cli.opening import open_data
from skelcon.cli.options import DATA
from skelcon.cli.terminal import PlainConsole, line, styled
from skelcon.errors import UserError, nearest

if TYPE_CHECKING:
    from ablation.plan import Plan
    from skelcon.data import SkeletonDataset


@group("Figures")
class FigureOptions:
    """Which figures, and of what."""

    only: tuple[str, ...] = option(
        (), "Only these figures.", metavar="NAME[,NAME]", parse=parse_names
    )
    formats: tuple[str, ...] = option(
        ("png", "svg", "pdf"),
        FORMATS,
        "--format",
        metavar="NAME[,NAME]",
        show_default="png,svg,pdf",
        parse="skelcon.figures.style:parse_formats",
    )
    row: str | None = option(
        None,
        "The row for confusion, classes, tsne and retrieval.",
        show_default="the column's best",
    )
    column: str | None = option(
        None,
        "The column for the same figures; the others are restricted to it.",
        show_default="the first; all",
    )
    against: str | None = option(
        None,
        "The row with which classes compares --row.",
        show_default="the row none, else the first",
    )
    data: Path | None = option(None, DATA, exists=True, show_default="no tsne and retrieval")


@group("Output")
class FigureOutput:
    """Where the results are, and where the figures are written."""

    results: ResultsOption = Path("results")
    out: Path | None = option(
        None, "Where the files are written.", file_okay=False, show_default="RESULTS/NAME/figures"
    )


@with_options
def figures(
    study: TableArgument,
    options: FigureOptions,
    output: FigureOutput,
) -> None:
    """Draw a study's figures from its results; runs nothing.

    \b
    intervals    the table's rows
    setting      along one numeric setting, such as |j| or l_min
    effects      what each factor of a design does
    pairs        which representation gains from which in the pre-training
    confusion    which class is taken for which, by --row
    classes      accuracy by class, of --row and --against
    parameters   accuracy against the size of the encoders
    time         accuracy against training time
    training     loss and contrast top-1 by epoch (Figure 6 of the paper)
    ranks        average ranks, and which rows differ significantly
    tsne         features of ten random classes (Figure 7); needs --data
    retrieval    queries and their nearest clips (Figure 8); needs --data

    For a figure that does not apply to the study the reason is printed.
    """
    from ablation.figures import FIGURES, Asked, DoesNotApplyError
    from ablation.report.from_results import load_plan
    from ablation.store import Store
    from skelcon.figures import style

    for kind in options.only:
        if kind not in FIGURES:
            raise UserError(f"--only {kind}: {nearest(kind, FIGURES)}")
    store, console = Store(output.results), PlainConsole()
    name = table_name(study)
    plan = load_plan(store.results, name)
    data = frames_of(plan, options.data, console) if options.data is not None else None
    asked = Asked(plan, store, options.row, options.column, options.against, data)
    directory = output.out or store.results / name / "figures"
    drawn = 0
    with activity(console, "drawing figures") as show:
        for kind in options.only or FIGURES:
            show(f"drawing {kind}")
            try:
                figure = FIGURES[kind](asked)
            except DoesNotApplyError as reason:
                line(console, styled(f"{kind}: not drawn, {reason}", "dim"))
                continue
            written = style.save(figure, directory, kind, options.formats)
            line(console, f"{kind}: {', '.join(map(str, written))}")
            drawn += 1
    if not drawn:
        raise typer.Exit(1)


def frames_of(plan: Plan, path: Path, console: Console) -> SkeletonDataset:
    """The data set at ``path``; :class:`UserError` if it is not the table's."""
    data = open_data(path, console)
    if data.fingerprint != plan.dataset.fingerprint:
        raise UserError(
            f"--data {path}: its fingerprint is {data.fingerprint}, but the table was made from "
            f"{plan.dataset.name}, {plan.dataset.fingerprint}"
        )
    return data
