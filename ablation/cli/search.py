"""``skelcon-ablate search``: the options, and what is done in which order."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ablation.cli.commands import confirm_cpu, open_data, overrides_of
from ablation.cli.options import AddressOption
from ablation.live.audience import Audience, audience
from ablation.plan import EvaluateOn
from ablation.runner.resources import Resources
from ablation.search import report
from ablation.search.events import TrialEvents
from ablation.search.question import Question, ask
from ablation.search.record import Record, Trial, held
from ablation.search.space import Space, known_spaces, named_space
from ablation.search.view import View
from ablation.store import Store
from skelcon.cli.console import INTERRUPTED
from skelcon.cli.weights import DataOption, PluginOption
from skelcon.errors import UserError, nearest
from skelcon.plugins import load_plugins

SCHEDULERS = ("asha", "pbt", "fifo")
ALGORITHMS = ("optuna", "random")


def search(
    space: Annotated[
        str | None,
        typer.Argument(help="The name of a search, or its YAML file. Without it: a list."),
    ] = None,
    data: DataOption = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="quick, small or paper. Default: quick on the embedded data, small on yours.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="xsub, xview or xsetup. Default: the search's.", show_default=False),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY.PATH=VALUE",
            show_default=False,
            help="Change a setting of every trial. Repeatable.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help="How many in all, the default among them; a larger number goes on from the "
            "trials there are. Default: the search's.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="asha (stops bad trials early), pbt (a population that copies its best) or fifo "
            "(every trial to its end). Default: the search's.",
            show_default=False,
        ),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(help="optuna or random. Default: the search's.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the trials, and of what is drawn.", show_default=False),
    ] = None,
    confirm: Annotated[
        int,
        typer.Option(
            min=0, help="At the end train the best and the default with so many other seeds."
        ),
    ] = 0,
    confirm_on: Annotated[
        str,
        typer.Option(
            help="validation, or test: report the test side, once, after everything is chosen."
        ),
    ] = "validation",
    plugins: PluginOption = None,
    results: Annotated[Path, typer.Option(help="Where units and searches are kept.")] = Path(
        "results"
    ),
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
    address: AddressOption = None,
    retries: Annotated[int, typer.Option(min=0, help="Tries more of a trial that fails.")] = 1,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON document instead of text, and meanwhile events to standard error, "
            "one JSON object a line (plan, started, progress, ended, message, finished); if that "
            "is a terminal it shows the live view instead.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            help="A line for each trial's start and end, on a terminal too, and for each number.",
        ),
    ] = False,
) -> None:
    """Search hyper-parameters on a validation side made of training clips; resumable."""
    if space is None:
        for name in known_spaces():
            typer.echo(f"{name:<20} {named_space(name).title}")
        return
    load_plugins(plugins or ())
    asked = Resources(
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        max_concurrent=max_concurrent,
        address=address,
        retries=retries,
        plugins=tuple(plugins or ()),
    )
    asked.check()
    _one_of("--scheduler", scheduler, SCHEDULERS)
    _one_of("--algorithm", algorithm, ALGORITHMS)
    _one_of("--confirm-on", confirm_on, ("validation", "test"))
    chosen = named_space(space).chosen(
        trials=trials, scheduler=scheduler, algorithm=algorithm, seed=seed
    )
    _fit(chosen, asked)
    with audience(as_json=as_json, verbose=verbose, search=chosen.name) as seen_by:
        question = ask(
            chosen,
            open_data(data, seen_by.console),
            preset=preset,
            protocol=protocol,
            overrides=overrides_of(assignments, ("pretrain", chosen.task)),
        )
        Store(results).check_writable()
        confirm_cpu(question.preset, asked, yes)
        on: EvaluateOn = "test" if confirm_on == "test" else "validation"
        directory = question.directory(results)
        with held(directory):
            code = _search(
                question,
                Record(directory),
                results,
                asked,
                seen_by,
                confirmed=(on, confirm),
                as_json=as_json,
            )
        if code:
            raise typer.Exit(code)


def _search(
    question: Question,
    record: Record,
    results: Path,
    asked: Resources,
    seen_by: Audience,
    *,
    confirmed: tuple[EvaluateOn, int],
    as_json: bool,
) -> int:
    """Run what is missing, report, confirm; the exit code."""
    console = seen_by.console
    wanted = question.space.trials
    known = record.trials()
    ended = sum(trial.state not in ("unfinished", "failed") for trial in known)
    interrupted = False
    if ended < max(wanted, len(known)):
        asked.stay_on_loopback()
        with _watching(seen_by, question, record, known, max(wanted, len(known)), ended) as view:
            from ablation.search.run import run_trials

            interrupted = not run_trials(question, record, wanted, results, asked, view)
    summary = report.summarise(question, record)
    if not as_json:
        report.print_summary(console, summary)
    if not interrupted and len(summary.trials) < wanted:
        console.print(Text(f"The space holds no more than {len(summary.trials)} different trials."))
    written = report.export(summary, record)
    failed = summary.count("failed") > 0
    confirmation: dict[str, Any] | None = None
    on, count = confirmed
    if count and not interrupted and summary.best is not None:
        if summary.best is summary.default:
            console.print(Text("The default is the best: there is nothing to confirm."))
        else:
            from ablation.search.confirm import confirm

            confirmation, interrupted, bad = confirm(
                question,
                summary.best,
                on,
                count,
                record.directory,
                results,
                asked,
                seen_by,
            )
            failed = failed or bad
            report.export(summary, record, confirmation)
    if as_json:
        typer.echo(json.dumps(report.document(summary, confirmation), indent=1))
    else:
        console.print(Text(f"Written to {record.directory}: {', '.join(written)}"), soft_wrap=True)
    if interrupted:
        console.print("Interrupted. The same command goes on from here.")
        return INTERRUPTED
    return 1 if failed else 0


@contextlib.contextmanager
def _watching(
    seen_by: Audience,
    question: Question,
    record: Record,
    known: Sequence[Trial],
    total: int,
    ended: int,
) -> Iterator[View | TrialEvents]:
    """Say what is about to be done, and show it for as long as it lasts."""
    if seen_by.stream is not None:
        seen_by.stream.emit("plan", trials=total, ended=ended, epochs=question.epochs)
        yield TrialEvents(seen_by.stream, question.epochs)
        return
    seen_by.console.print(
        Text(
            f"{question.space.name} on {question.dataset.name}, {question.preset} preset: "
            f"{total} trials of at most {question.epochs} epochs, evaluated every "
            f"{question.every}; {ended} have ended. In {record.directory}"
        ),
        soft_wrap=True,
    )
    with View(seen_by.console, known, total, question.epochs, seen_by.verbose) as view:
        yield view


def _fit(space: Space, asked: Resources) -> None:
    if asked.gpus_per_trial > 1:
        raise UserError(
            f"--gpus-per-trial {asked.gpus_per_trial:g}: a trial of a search trains on one device, "
            "give 1 or a share of one"
        )
    if space.scheduler.name == "pbt" and asked.max_concurrent is not None:
        raise UserError(
            f"--max-concurrent {asked.max_concurrent}: the members of pbt wait for each other and "
            "take turns; --cpus-per-trial says how many fit at once"
        )


def _one_of(option: str, value: str | None, valid: tuple[str, ...]) -> None:
    if value is not None and value not in valid:
        raise UserError(f"{option} {value}: {nearest(value, valid)}")
