"""``skelcon-ablate search``: hyper-parameter search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablation.catalogue import headline, known_spaces
from ablation.cli.options import (
    FOLDS_HELP,
    SEED,
    DataOptions,
    EvaluateOn,
    PlanOptions,
    ResourceOptions,
    RunOutputOptions,
    SettingOptions,
)
from ablation.cli.parsing import completes
from ablation.cli.request import check_used, open_results
from ablation.cli.studies import check_machine, run_options
from skelcon.cli.flatten import group, option, with_options
from skelcon.cli.opening import open_data
from skelcon.cli.terminal import echo
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.running import RunOptions
    from ablation.scheduler.resources import Resources
    from ablation.search.space import Space

Scheduling = Literal["asha", "pbt", "fifo"]
Algorithm = Literal["optuna", "random"]


@group("Search")
class SearchOptions:
    """Choices that override the search's file."""

    trials: int | None = option(
        None,
        "How many trials in all, including the default settings; a larger number extends an "
        "earlier search.",
        min=1,
        show_default="the search's",
    )
    scheduler: Scheduling | None = option(
        None,
        "asha stops bad trials early, pbt is a population that copies its best members, fifo runs "
        "every trial to its end.",
        show_default="the search's",
    )
    algorithm: Algorithm | None = option(
        None, "What suggests a trial's values.", show_default="the search's"
    )
    folds: int | None = option(None, FOLDS_HELP, min=2, show_default="the search's, else 5")
    seed: int | None = option(None, SEED, min=0, show_default="the search's, else 0")
    confirm: int = option(
        0, "At the end, train the best and the default settings with this many other seeds.", min=0
    )
    confirm_on: EvaluateOn = option(
        "validation",
        "Where they are compared; test reads the test side, once, after everything was chosen.",
    )


@with_options
def search(
    data: DataOptions,
    settings: SettingOptions,
    choices: SearchOptions,
    resources: ResourceOptions,
    planning: PlanOptions,
    output: RunOutputOptions,
    space: Annotated[
        str | None,
        typer.Argument(
            metavar="SPACE",
            help="A search's name, or its YAML file.",
            show_default="list the searches",
            autocompletion=completes(known_spaces),
        ),
    ] = None,
) -> None:
    """Search hyper-parameters by cross-validation on the training side; resumable.

    It ends with a preset file, for --preset of the other commands.
    """
    if space is None:
        for name, path in known_spaces().items():
            echo(f"{name:<20} {headline(path)[0]}")
        return
    from skelcon.plugins import load_plugins

    planning.check()
    limits = resources.resources(settings.plugins)
    load_plugins(settings.plugins)
    chosen = _chosen_space(space, choices, limits)
    check_used(settings.settings, ("pretrain", chosen.task))
    from ablation.monitor.output import output as open_output
    from ablation.search.estimate import plan_search
    from ablation.search.problem import SearchProblem
    from ablation.search.run import Confirmation, run_search

    as_json, events, name = output.as_json, not planning.plan, chosen.name
    with open_output(as_json=as_json, verbose=output.verbose, events=events, search=name) as shown:
        store, mirror = open_results(output.results)
        dataset, wanted = open_data(data.data, shown.console), settings.settings
        problem = SearchProblem.of(
            chosen, dataset, preset=settings.preset, protocol=data.protocol, overrides=wanted
        )
        if planning.plan:
            plan_search(problem, store, mirror, limits, shown, as_json, planning.probe)
            return
        options = _checking(run_options(limits, output, problem.preset))
        confirmation = Confirmation(choices.confirm_on, choices.confirm)
        if code := run_search(problem, store, mirror, options, shown, confirmation, as_json):
            raise typer.Exit(code)


def _chosen_space(space: str, choices: SearchOptions, limits: Resources) -> Space:
    """A search's file with the choices of the command line."""
    from ablation.search.space import named_space

    changes = {
        name: getattr(choices, name)
        for name in ("trials", "scheduler", "algorithm", "folds", "seed")
    }
    chosen = named_space(space).chosen(**changes)
    if chosen.scheduler.name == "pbt" and limits.max_concurrent is not None:
        raise UserError(
            f"--max-concurrent {limits.max_concurrent}: not with pbt, whose members wait for each "
            "other; set how many fit at once with --cpus-per-trial"
        )
    return chosen


def _checking(options: RunOptions) -> RunOptions:
    """``options`` with a check of this machine before anything runs."""

    def confirm(resources: Resources) -> None:
        check_machine(resources)
        options.confirm(resources)

    return replace(options, confirm=confirm)
