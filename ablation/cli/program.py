"""``skelcon-ablate``: plan, run, aggregate and export ablation tables.

Only what ``--help`` needs is imported here; each command imports what it works with. Help has to
fit 80 columns, and typer keeps the line breaks of all paragraphs but the first: lines of such
paragraphs have at most 77 characters.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ablation.catalogue import headline, known_spaces, known_studies
from ablation.cli import cluster
from ablation.cli.claims import claims
from ablation.cli.compare import compare
from ablation.cli.explain import explain
from ablation.cli.figures import figures
from ablation.cli.options import (
    JsonOption,
    ProbeOptions,
    ResultsOrURIOptions,
    StudyDataOptions,
    StudyOptions,
    TrialOptions,
)
from ablation.cli.parsing import completes
from ablation.cli.report import report
from ablation.cli.request import (
    open_results,
    open_study,
    plan_study,
    run_function,
    study_function,
)
from ablation.cli.results import clean, logs, merge
from ablation.cli.search import search
from ablation.cli.status import status
from ablation.cli.studies import run_study, show_plans, table
from ablation.cli.units import unit
from ablation.interrupts import handling_signals
from skelcon.cli.console import run_app
from skelcon.cli.flatten import with_options
from skelcon.cli.opening import open_data
from skelcon.cli.options import VersionOption
from skelcon.cli.terminal import PlainConsole, echo
from skelcon.errors import UserError, nearest

if TYPE_CHECKING:
    from ablation.study import Study
    from skelcon.config import Json

HELP = """Ablation tables for self-supervised learning on 3D skeletons.

One command plans a study, runs what is missing, and prints and exports its
table; the same command again runs nothing.

\b
skelcon-ablate augmentations                   embedded data, a few minutes
skelcon-ablate augmentations --data PATH --preset small --seeds 3
skelcon-ablate augmentations --seeds 3 --plan  what would run, and its cost
skelcon-ablate status                          what runs, from another shell
"""
STUDIES = "Names of studies, or YAML files."
FILES = "Studies of your own, to be listed too."


class StudyGroup(TyperGroup):
    """The commands, and one for each built-in study."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, studies last."""
        return [*super().list_commands(ctx), *known_studies()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or the study, called ``cmd_name``."""
        if cmd_name in known_studies():
            return _study_command(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As click's; for an unknown name :class:`UserError` has the nearest."""
        names = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in names:
            raise UserError(f"unknown study or command '{args[0]}': {nearest(args[0], names)}")
        return super().resolve_command(ctx, args)


@functools.cache
def _study_command(name: str) -> Any:
    title, table_of_paper = headline(known_studies()[name])
    title = f"{title} ({table_of_paper or 'study'})"
    app = typer.Typer(add_completion=False)
    app.command(
        name,
        help=f"{title}: plan, run what is missing, print and export.",
        short_help=title,
        rich_help_panel="Studies",
    )(study_function(name, run_study))
    return typer.main.get_command(app)


app = typer.Typer(
    cls=StudyGroup,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


# -- list -------------------------------------------------------------------------------------


@app.command(name="list")
def list_studies(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE.yaml", help=FILES)] = None,
    results: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="List the tables of this results directory instead."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the studies and searches, with the paper's tables; or the tables of results."""
    if results is not None:
        _list_tables(results, as_json)
        return
    mine = files or []
    if as_json:
        names = [*known_studies(), *map(str, mine)]
        studies = [_described(open_study(name)) for name in names]
        typer.echo(json.dumps({"studies": studies, "searches": _searches()}, indent=1))
        return
    for path in mine:
        open_study(str(path))  # refuses what is no study
    for name, path in (*known_studies().items(), *((path.stem, path) for path in mine)):
        title, paper = headline(path)
        echo(f"{name:<20} {paper or '-':<10} {title}")
    typer.echo("\nSearches: skelcon-ablate search NAME")
    for name, path in known_spaces().items():
        echo(f"{name:<20} {'-':<10} {headline(path)[0]}")


def _list_tables(results: Path, as_json: bool) -> None:
    """The tables of a results directory: name and study, data and settings of each."""
    from ablation.report.questions import ASKED, asked_tables, in_words, table_names, why_none

    tables = dict(asked_tables(results))
    for name in table_names(results):
        if name not in tables:
            path = results / name / ASKED
            echo(f"left out '{name}': '{path}' is damaged: run the study again", err=True)
    if as_json:
        found = [{"name": name, "question": in_words(asked)} for name, asked in tables.items()]
        typer.echo(json.dumps({"tables": found}, indent=1))
        return
    if not tables:
        raise UserError(why_none(results))
    width = max(map(len, tables))
    for name, asked in tables.items():
        echo(f"{name:<{width}}  {in_words(asked)}")


def _described(study: Study) -> Json:
    """A study for scripts; its units are counted for the embedded data and one seed."""
    console = PlainConsole(stderr=True)
    plan = plan_study(study, open_data(None, console), StudyDataOptions(), StudyOptions(), console)
    values = {name: getattr(study, name) for name in ("name", "title", "reproduces", "task")}
    rows, columns = [*study.all_rows], [*study.columns]
    return values | {"rows": rows, "columns": columns, "units": len(plan.units)}


def _searches() -> list[Json]:
    from ablation.search.space import named_space

    spaces = map(named_space, known_spaces())
    return [
        {"name": each.name, "title": each.title, "trials": each.trials, "searched": [*each.space]}
        for each in spaces
    ]


# -- plan and run -----------------------------------------------------------------------------


@app.command()
@with_options
def plan(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY", help=STUDIES, autocompletion=completes(known_studies)),
    ],
    data: StudyDataOptions,
    options: StudyOptions,
    trial: TrialOptions,
    probe: ProbeOptions,
    output: ResultsOrURIOptions,
) -> None:
    """Show what would run, what is done already, and the cost; runs nothing.

    Several studies share their units. Time and disk are estimated from similar
    finished units; --probe measures kinds of units without any.
    """
    from ablation.monitor.output import output as open_output
    from skelcon.plugins import load_plugins

    resources = trial.resources(options.plugins)
    store, mirror = open_results(output.results)
    load_plugins(options.plugins)
    opened = [open_study(name) for name in studies]
    with open_output(as_json=output.as_json, events=False) as shown:
        dataset = open_data(data.data, shown.console)
        plans = []
        for study in opened:
            of_study = data if study.transfer else replace(data, source=None)
            plans.append(plan_study(study, dataset, of_study, options, shown.console))
            if mirror is not None:
                mirror.fetch(plans[-1].units)
        show_plans(plans, store, resources, shown, output.as_json, probe.probe)


app.command()(run_function(run_study))
app.command()(table)
app.command()(claims)
app.command()(compare)
app.command()(explain)
app.command()(figures)
app.command()(report)
app.command()(search)
for _command in (status, logs, clean, merge):
    app.command()(_command)
app.command(context_settings={"allow_interspersed_args": False})(unit)
app.add_typer(cluster.app, name="cluster")


def main() -> None:
    """The console script."""
    with handling_signals():
        run_app(app)
