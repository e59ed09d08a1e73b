"""``skelcon-ablate``: plan, run, aggregate and export ablation tables."""

from __future__ import annotations

import copy
import functools
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from typer.core import TyperGroup

from ablation import display, export, tables
from ablation.plan import EvaluateOn, Plan, Unit, make_plan
from ablation.resources import Resources
from ablation.store import Store
from ablation.study import Study, known_studies, load_study, named_study
from skelcon.console import run_app
from skelcon.data import SkeletonDataset, open_or_import, split
from skelcon.data.synthetic import open_embedded
from skelcon.errors import UserError, nearest
from skelcon.settings import merge, parse_assignment, preset_tree

HELP = """Ablation tables for self-supervised learning on 3D skeletons.

One command plans a study, runs what is missing, and prints and exports its table; the same
command again runs nothing.

\b
    skelcon-ablate augmentations                              embedded data, a few minutes
    skelcon-ablate augmentations --data PATH --preset small --seeds 3
    skelcon-ablate augmentations --seeds 3 --plan             what would run; runs nothing
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
    cls=StudyGroup, help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None,
    pretty_exceptions_enable=False,
)  # fmt: skip

DataOption = Annotated[
    Path | None,
    typer.Option(
        help="A packed data set or a directory in a known layout (imported once, then cached). "
        "Without it: the embedded synthetic data.",
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
ResultsOption = Annotated[Path, typer.Option(help="Where units and tables are kept.")]
EvaluateOnOption = Annotated[
    str,
    typer.Option(
        help="test, or validation: hold out some training subjects and leave the test side alone "
        "(for choosing settings)."
    ),
]
FormatOption = Annotated[
    str, typer.Option("--format", help="The files to write, of csv, latex, markdown, json.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of text.")
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


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` -> (0, 1, 2); ``0,5,7`` -> (0, 5, 7); :class:`UserError` for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: give a number of seeds, or a list such as 0,5,7")
    numbers = [int(part) for part in parts]
    if len(parts) == 1 and "," not in text:
        if numbers[0] < 1:
            raise UserError(f"--seeds {text}: at least one seed is needed")
        return tuple(range(numbers[0]))
    if len(set(numbers)) != len(numbers):
        raise UserError(f"--seeds {text}: a seed is named twice")
    return tuple(numbers)


def open_data(path: Path | None, console: Console) -> SkeletonDataset:
    """The embedded data, a packed data set, or an import of anything known; says what it skips."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True,
             disable=not console.is_terminal) as bar:  # fmt: skip
        task = bar.add_task("reading the data", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if path is None:
            return open_embedded()
        dataset, skipped = open_or_import(path, progress)
    if skipped:
        console.print(
            f"warning: {len(skipped)} bad files left out of '{path}'; the first, "
            f"{skipped[0].name}: {skipped[0].reason}",
            highlight=False,
            soft_wrap=True,
        )
    return dataset


def plan_study(
    study: Study,
    dataset: SkeletonDataset,
    *,
    preset: str | None,
    seeds: str,
    protocol: str | None,
    assignments: list[str] | None,
    only: str | None,
    evaluate_on: str,
) -> Plan:
    """The plan that the options ask for; :class:`UserError` for any that is wrong."""
    on: dict[str, EvaluateOn] = {"test": "test", "validation": "validation"}
    if evaluate_on not in on:
        raise UserError(f"--evaluate-on {evaluate_on}: give test or validation")
    scale = preset or ("quick" if dataset.synthetic else "small")
    overrides: dict[str, Any] = {}
    merge(overrides, dict(parse_assignment(text) for text in assignments or []))
    if only:
        study = study.only(tuple(name.strip() for name in only.split(",")))
    plan = make_plan(
        study,
        dataset,
        preset=scale,
        preset_tree=preset_tree(scale),
        seeds=parse_seeds(seeds),
        protocol=protocol,
        evaluate_on=on[evaluate_on],
        overrides=overrides,
    )
    for unit in plan.units.values():
        if unit.kind == "pretrain":
            clips = len(split(dataset, plan.protocol, unit.config["train"]))
            if clips < unit.config["config"]["batch"]:
                raise UserError(
                    f"pretrain.batch {unit.config['config']['batch']} is larger than the {clips} "
                    f"training clips of '{dataset.name}', {plan.protocol}"
                )
    return plan


def run_study(
    study: Study,
    *,
    data: Path | None,
    plan_only: bool,
    results: Path,
    formats: str,
    as_json: bool,
    yes: bool,
    verbose: bool,
    resources: dict[str, Any],
    **choices: Any,
) -> None:
    """Plan, run what is missing, aggregate, print and export. Raises ``typer.Exit(1 or 130)``."""
    console = Console(stderr=as_json)
    chosen = export.parse_formats(formats)
    asked = Resources(**resources)
    asked.check()
    dataset = open_data(data, console)
    plan = plan_study(study, dataset, **choices)
    store = Store(results)
    missing = [unit for unit in plan.units.values() if not store.is_done(unit.key)]
    if plan_only:
        _show_plan(console, [(plan, missing)], as_json)
        return
    store.check_writable()
    interrupted = False
    if missing:
        display.print_plan(console, plan, len(plan.units) - len(missing))
        _confirm(plan, asked, yes)
        interrupted = not _run(console, plan, missing, store, dataset.path, asked, verbose)
    failed = show(console, plan, store, dataset, results, chosen, as_json)
    if interrupted:
        console.print("Interrupted. The same command goes on from here.")
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _run(
    console: Console,
    plan: Plan,
    missing: list[Unit],
    store: Store,
    data: Path,
    asked: Resources,
    verbose: bool,
) -> bool:
    from ablation.runner import run_units

    cores = int((os.cpu_count() or 1) // asked.cpus_per_trial)
    slots = min(asked.max_concurrent or cores, max(1, cores))
    cached = len(plan.units) - len(missing)
    with display.Progress(console, missing, cached, slots, verbose) as progress:
        return run_units(missing, store, data, asked, progress)


def show(
    console: Console,
    plan: Plan,
    store: Store,
    dataset: SkeletonDataset,
    results: Path,
    formats: tuple[str, ...],
    as_json: bool,
) -> bool:
    """Aggregate, print and export; whether a cell has failed."""
    frame = tables.cells_frame(plan, store)
    table = tables.make_table(plan, frame, dataset)
    provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
    if as_json:
        typer.echo(export.to_json(table, provenance))
    else:
        display.print_table(console, table)
    try:
        written = export.export(table, frame, provenance, results / plan.study.name, formats)
    except OSError as error:
        raise UserError(f"cannot write '{error.filename}': {error.strerror}") from None
    if not as_json:
        names = ", ".join(path.name for path in written)
        console.print(
            f"Written to {results / plan.study.name}: {names}", highlight=False, soft_wrap=True
        )
    return bool((frame["state"] == "failed").any())


def _show_plan(console: Console, plans: list[tuple[Plan, list[Unit]]], as_json: bool) -> None:
    if as_json:
        console.file = sys.stdout
        document = [
            {
                "study": plan.study.name,
                "protocol": plan.protocol,
                "preset": plan.preset,
                "cells": len(plan.cells),
                "units": len(plan.units),
                "done": len(plan.units) - len(missing),
                "to_run": [
                    {"key": u.key, "label": u.label, "needs": list(u.needs), "config": u.config}
                    for u in missing
                ],
            }
            for plan, missing in plans
        ]
        console.print_json(data=document)
        return
    for plan, missing in plans:
        display.print_plan(console, plan, len(plan.units) - len(missing))
    if len(plans) > 1:
        units = {key: unit for plan, _ in plans for key, unit in plan.units.items()}
        to_run = {unit.key for _, missing in plans for unit in missing}
        named = sum(plan.count("pretrain") for plan, _ in plans)
        distinct = sum(unit.kind == "pretrain" for unit in units.values())
        console.print(
            f"together: {sum(len(plan.cells) for plan, _ in plans)} cells, {len(units)} distinct "
            f"units, {named} pre-trainings named, {distinct} distinct, {len(to_run)} units to run.",
            highlight=False,
            soft_wrap=True,
        )


def _confirm(plan: Plan, asked: Resources, yes: bool) -> None:
    """The paper's scale without a GPU takes months: ask whoever sits there."""
    if yes or plan.preset != "paper" or asked.gpus_per_trial or not sys.stdin.isatty():
        return
    typer.confirm("The paper preset without --gpus-per-trial trains on the CPU. Go on?", abort=True)


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
    preset: PresetOption = None,
    seeds: SeedsOption = "1",
    protocol: ProtocolOption = None,
    assignments: SetOption = None,
    evaluate_on: EvaluateOnOption = "test",
    results: ResultsOption = Path("results"),
    as_json: JsonOption = False,
) -> None:
    """What would run and what is cached; runs nothing. Several studies share their units."""
    console = Console(stderr=as_json)
    dataset = open_data(data, console)
    store = Store(results)
    found = []
    for name in studies:
        study = load_study(Path(name)) if name.endswith((".yaml", ".yml")) else named_study(name)
        made = plan_study(
            study, dataset, preset=preset, seeds=seeds, protocol=protocol,
            assignments=assignments, only=None, evaluate_on=evaluate_on,
        )  # fmt: skip
        found.append((made, [u for u in made.units.values() if not store.is_done(u.key)]))
    _show_plan(console, found, as_json)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="The study's YAML file.")],
    data: DataOption = None,
    preset: PresetOption = None,
    seeds: SeedsOption = "1",
    protocol: ProtocolOption = None,
    assignments: SetOption = None,
    only: OnlyOption = None,
    evaluate_on: EvaluateOnOption = "test",
    results: ResultsOption = Path("results"),
    cpus_per_trial: Annotated[
        float, typer.Option(help="CPU cores (and torch threads) of a trial.")
    ] = 1,
    gpus_per_trial: Annotated[
        float, typer.Option(help="GPUs of a trial; a fraction shares one.")
    ] = 0,
    max_concurrent: Annotated[
        int | None,
        typer.Option(
            help="At most so many trials at once. Default: what fits.", show_default=False
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="A running Ray cluster, such as auto or ray://head:10001.", show_default=False
        ),
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="Tries more of a unit that fails.")] = 1,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Say what would run; run nothing.")
    ] = False,
    formats: FormatOption = "csv,latex,markdown,json",
    as_json: JsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="A line for each unit's start and end.")
    ] = False,
) -> None:
    """Run a study of your own from its YAML file."""
    resources = {
        "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial,
        "max_concurrent": max_concurrent, "address": address, "retries": retries,
    }  # fmt: skip
    run_study(
        load_study(file), data=data, preset=preset, seeds=seeds, protocol=protocol,
        assignments=assignments, only=only, evaluate_on=evaluate_on, results=results,
        plan_only=plan_only, formats=formats, as_json=as_json, yes=yes, verbose=verbose,
        resources=resources,
    )  # fmt: skip


def main() -> None:
    """The console script."""
    run_app(app)
