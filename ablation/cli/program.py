"""``skelcon-ablate``: plan, run, aggregate and export ablation tables."""

from __future__ import annotations

import copy
import functools
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from typer.core import TyperGroup

from ablation.cli import cluster as cli_cluster
from ablation.cli import results as cli_results
from ablation.cli.commands import (
    open_data,
    open_mirror,
    open_source,
    plan_study,
    run_study,
)
from ablation.cli.options import AddressOption
from ablation.cli.search import search
from ablation.cli.units import unit
from ablation.cost.gpus import parse_gpus, settled
from ablation.cost.view import Costing, show_plan
from ablation.missing import missing_units
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.study import known_studies, load_study, named_study
from ablation.work.checkpoints import CheckpointPolicy, Keep
from skelcon.cli.console import run_app
from skelcon.cli.weights import DataOption, PluginOption
from skelcon.errors import UserError, nearest
from skelcon.plugins import load_plugins

HELP = """Ablation tables for self-supervised learning on 3D skeletons.

One command plans a study, runs what is missing, and prints and exports its table; the same
command again runs nothing.

\b
    skelcon-ablate augmentations                              embedded data, a few minutes
    skelcon-ablate augmentations --data PATH --preset small --seeds 3
    skelcon-ablate augmentations --seeds 3 --plan             what would run, and its cost
    skelcon-ablate status                                     what is running, from another shell
"""


class StudyGroup(TyperGroup):
    """The commands, and one more for each study file: ``run`` with its file filled in."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, studies last."""
        return [*super().list_commands(ctx), *known_studies()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or the study, called ``cmd_name``."""
        if cmd_name not in known_studies():
            return super().get_command(ctx, cmd_name)
        base = super().get_command(ctx, "run")
        assert base is not None
        assert base.callback is not None
        study = named_study(cmd_name)
        command = copy.copy(base)
        command.name = cmd_name
        command.params = [parameter for parameter in base.params if parameter.name != "file"]
        command.callback = functools.partial(base.callback, file=known_studies()[cmd_name])
        command.help = f"{study.title} ({study.reproduces or cmd_name}): plan, run, print, export."
        command.short_help = f"{study.title} ({study.reproduces or 'study'})"
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As click's, and an unknown name is answered with the nearest."""
        names = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in names:
            raise UserError(f"unknown study or command '{args[0]}': {nearest(args[0], names)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=StudyGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 110},
)

SourceOption = Annotated[
    Path | None,
    typer.Option(
        help="The data to pre-train on, in a study of transfer. Without it: embedded synthetic "
        "data of other subjects.",
        show_default=False,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        help="quick (minutes), small (real data on a laptop) or paper (the paper's own "
        "hyper-parameters). Default: quick on the embedded data, small on yours.",
        show_default=False,
    ),
]
SeedsOption = Annotated[
    str, typer.Option(help="A number n (seeds 0 to n-1), or a list such as 0,5,7.")
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        help="xsub, xview or xsetup (or cross_subject, CV, ...). Default: the study's.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY.PATH=VALUE",
        help="Change a setting everywhere, such as pretrain.optimiser.lr=0.001. Repeatable.",
        show_default=False,
    ),
]
OnlyOption = Annotated[
    str | None, typer.Option(metavar="ROW[,ROW]", help="These rows only.", show_default=False)
]
ResultsOption = Annotated[
    Path,
    typer.Option(help="Where units and tables are kept: a directory. A study takes a URI as well."),
]
EvaluateOnOption = Annotated[
    str,
    typer.Option(
        help="test, or validation: hold out some training subjects and leave the test side alone "
        "(for choosing settings)."
    ),
]
CpusOption = Annotated[float, typer.Option(help="CPU cores (and torch threads) of a trial.")]
GpusOption = Annotated[
    float,
    typer.Option(
        parser=parse_gpus,
        metavar="N",
        help="GPUs of a trial: a fraction shares one, 2 and more train one model together, auto "
        "takes one or the fraction that like units needed.",
    ),
]
ConcurrentOption = Annotated[
    int | None,
    typer.Option(help="At most so many trials at once. Default: what fits.", show_default=False),
]
ProbeOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        help="In a plan: train so many steps of each kind of unit that no earlier result tells "
        "of, and estimate from those.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    str, typer.Option("--format", help="The files to write, of csv, latex, markdown, json.")
]
TrackOption = Annotated[
    str,
    typer.Option(
        metavar="NAME[,NAME]",
        help="Trackers that get a run for each unit, beside TensorBoard: wandb, mlflow.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document instead of text. A study that runs writes events to standard "
        "error meanwhile, one JSON object a line (plan, started, progress, done, failed, waiting, "
        "message, finished); if that is a terminal it shows the live view instead.",
    ),
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"skelcon {metadata.version('skelcon')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command(name="list")
def list_studies() -> None:
    """The studies there are, one line each, with the paper's table."""
    for name in known_studies():
        study = named_study(name)
        typer.echo(f"{name:<20} {study.reproduces or '-':<10} {study.title}")


@app.command()
def plan(
    studies: Annotated[list[str], typer.Argument(help="Names of studies, or YAML files.")],
    data: DataOption = None,
    source: SourceOption = None,
    preset: PresetOption = None,
    seeds: SeedsOption = "1",
    protocol: ProtocolOption = None,
    assignments: SetOption = None,
    only: OnlyOption = None,
    plugins: PluginOption = None,
    evaluate_on: EvaluateOnOption = "test",
    results: ResultsOption = Path("results"),
    cpus_per_trial: CpusOption = 1,
    gpus_per_trial: GpusOption = 0,
    max_concurrent: ConcurrentOption = None,
    address: AddressOption = None,
    probe: ProbeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What would run, what is cached, what it costs; runs nothing.

    Several studies share their units. Time and disk are estimated from finished units that are
    like those to run; --probe measures what none tells of.
    """
    asked = Resources(cpus_per_trial, gpus_per_trial, max_concurrent, address)
    asked.check()
    mirror = open_mirror(results)
    store = mirror.store if mirror else Store(results)
    load_plugins(plugins or ())
    console = Console(stderr=as_json)
    dataset = open_data(data, console)
    found = []
    for name in studies:
        study = load_study(Path(name)) if name.endswith((".yaml", ".yml")) else named_study(name)
        made = plan_study(
            study,
            dataset,
            open_source(study, source if study.transfer else None, console),
            preset=preset,
            seeds=seeds,
            protocol=protocol,
            assignments=assignments,
            only=only,
            evaluate_on=evaluate_on,
        )
        if mirror:
            mirror.fetch(made.units)
        found.append((made, missing_units(made.units, store, console, mend=False)))
    plans, to_run = [made for made, _ in found], [unit for _, units in found for unit in units]
    asked = settled(asked, store, plans, to_run, console.print)
    costing = Costing.of(store, plans, asked, ask_cluster=True)
    show_plan(console, found, as_json, costing, probe)


@app.command()
def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The study's YAML file.")],
    data: DataOption = None,
    source: SourceOption = None,
    preset: PresetOption = None,
    seeds: SeedsOption = "1",
    protocol: ProtocolOption = None,
    assignments: SetOption = None,
    only: OnlyOption = None,
    plugins: PluginOption = None,
    evaluate_on: EvaluateOnOption = "test",
    results: ResultsOption = Path("results"),
    cpus_per_trial: CpusOption = 1,
    gpus_per_trial: GpusOption = 0,
    max_concurrent: ConcurrentOption = None,
    address: AddressOption = None,
    retries: Annotated[int, typer.Option(min=0, help="Tries more of a unit that fails.")] = 1,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop all at the first unit that fails for good.")
    ] = False,
    checkpoint_every: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Training between two checkpoints. Default: as often as it costs little.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            help="The checkpoints that stay when a training is done: none, last or all. They go to "
            "its unit's directory."
        ),
    ] = "none",
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Say what would run; run nothing.")
    ] = False,
    probe: ProbeOption = None,
    formats: FormatOption = "csv,latex,markdown,json",
    track: TrackOption = "",
    as_json: JsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="A line for each unit's start and end, on a terminal too."),
    ] = False,
) -> None:
    """Run a study of your own from its YAML file."""
    load_plugins(plugins or ())
    resources = {
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "max_concurrent": max_concurrent,
        "address": address,
        "retries": retries,
        "fail_fast": fail_fast,
        "checkpoints": CheckpointPolicy(checkpoint_every, cast(Keep, keep)),
        "plugins": tuple(plugins or ()),
    }
    # In another command (unit, cluster) that decides what is done with what was asked.
    do = context.obj or run_study
    do(
        load_study(file),
        data=data,
        source=source,
        preset=preset,
        seeds=seeds,
        protocol=protocol,
        assignments=assignments,
        only=only,
        evaluate_on=evaluate_on,
        results=results,
        plan_only=plan_only,
        probe=probe,
        formats=formats,
        track=track,
        as_json=as_json,
        yes=yes,
        verbose=verbose,
        resources=resources,
    )


for _command in (cli_results.status, cli_results.logs, cli_results.clean, cli_results.merge):
    app.command()(_command)
app.command(name="search")(search)
app.command(context_settings={"allow_interspersed_args": False})(unit)
app.add_typer(cli_cluster.app, name="cluster")


def main() -> None:
    """The console script."""
    run_app(app)
