"""The request of a study's command line: parsed once, frozen, and shared by the commands.

``skelcon-ablate STUDY``, ``run FILE``, ``plan``, ``unit KEY STUDY`` and ``cluster slurm STUDY`` all
work on a :class:`StudyRequest`. Studies and results are opened here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablation.catalogue import known_studies
from ablation.cli.options import PlanOptions, ResourceOptions, StudyDataOptions, StudyOptions
from ablation.cli.table_options import OutputOptions
from skelcon.cli.flatten import with_options
from skelcon.cli.opening import open_data
from skelcon.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from ablation.plan import Plan
    from ablation.scheduler.resources import Resources
    from ablation.store import Store
    from ablation.store.mirror import Mirror
    from ablation.study import Study
    from skelcon.config import Json
    from skelcon.data import SkeletonDataset

# -- studies and results ----------------------------------------------------------------------


def open_study(name: str) -> Study:
    """The study of that name, or of a YAML file; :class:`UserError` if there is none."""
    from ablation.study import load_study, named_study

    is_file = name.endswith((".yaml", ".yml"))
    return load_study(Path(name)) if is_file else named_study(name)


def open_study_file(path: Path) -> Study:
    """The study of a YAML file; :class:`UserError` for the name of a built-in study."""
    from ablation.study import load_study

    if str(path) in known_studies() and not path.exists():
        raise UserError(f"'{path}' is a built-in study: run skelcon-ablate {path}")
    if not path.exists():
        raise UserError(f"'{path}' does not exist: skelcon-ablate list names the built-in studies")
    return load_study(path)


def open_results(results: Path) -> tuple[Store, Mirror | None]:
    """The store of a results directory; of a URI the local store, and the mirror that fills it."""
    from ablation.store import Store, uri_of

    uri = uri_of(results)
    if uri is None:
        return Store(results), None
    from ablation.store.mirror import mirror_at  # imports pyarrow

    mirror = mirror_at(uri)
    return mirror.store, mirror


# -- a request --------------------------------------------------------------------------------

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The study's YAML file.")]


@dataclass(frozen=True)
class RequestOptions:
    """All options of a study's command."""

    data: StudyDataOptions
    options: StudyOptions
    trial: ResourceOptions
    planning: PlanOptions
    output: OutputOptions


@dataclass(frozen=True)
class StudyRequest(RequestOptions):
    """A study and its options; ``resources`` name the plugins that a worker loads."""

    study: Study
    resources: Resources

    @classmethod
    def of(cls, open_it: Callable[[], Study], asked: RequestOptions) -> StudyRequest:
        """Load the plugins, then the study that may name their components."""
        from skelcon.plugins import load_plugins

        plugins = asked.options.plugins
        asked.planning.check()
        resources = asked.trial.resources()
        load_plugins(plugins)
        study = open_it()
        plugins = tuple(dict.fromkeys((*plugins, *study.plugins)))
        return cls(**vars(asked), study=study, resources=replace(resources, plugins=plugins))

    def open_plan(self, console: Console) -> tuple[Plan, Store, Mirror | None]:
        """The plan, and the store and its mirror, from which finished units were fetched."""
        store, mirror = open_results(self.output.results)
        plan = self.make_plan(console)
        if mirror is not None:
            mirror.fetch(plan.units)
        return plan, store, mirror

    def make_plan(self, console: Console) -> Plan:
        """Open the data and plan; :class:`UserError` for what the data does not have."""
        dataset = open_data(self.data.data, console)
        plan = plan_study(self.study, dataset, self.data, self.options, console)
        self.output.style.check(plan.study, self.study)
        return plan.showing(self.output.metric)

    def extended(self, plan: Plan, earlier: Json | None, console: Console) -> Plan:
        """``plan`` with the seeds and rows that its table had before."""
        if earlier is None:
            return plan
        before = earlier["study"].get("rows", {}) | earlier["study"].get("references", {})
        rows = tuple(row for row in self.study.all_rows if row in {*before, *plan.study.all_rows})
        seeds = tuple(sorted({*earlier["seeds"], *plan.seeds}))
        if (rows, seeds) == (tuple(plan.study.all_rows), tuple(sorted(plan.seeds))):
            return plan
        options = replace(self.options, only=rows, seeds=seeds)
        whole = plan_study(self.study, plan.dataset, self.data, options, console)
        return whole.showing(plan.shown)


def plan_study(
    study: Study,
    dataset: SkeletonDataset,
    data: StudyDataOptions,
    options: StudyOptions,
    console: Console,
) -> Plan:
    """The plan of a study on ``dataset``; opens the source of a study of transfer."""
    from ablation.plan import check_batches, make_plan
    from ablation.unused import check_unused
    from skelcon.data import FOLDS
    from skelcon.presets import default_preset

    check_used(options.settings, ("pretrain", *study.tasks))
    if data.folds is not None and data.evaluate_on != "validation":
        raise UserError(f"--folds {data.folds}: only with --evaluate-on validation")
    source = None
    if study.transfer:  # by default from embedded data of other subjects
        source = open_data(data.source, console, embedded_seed=1)
    elif data.source is not None:
        raise UserError(f"--source {data.source}: study '{study.name}' is no study of transfer")
    plan = make_plan(
        study.only(options.only) if options.only else study,
        dataset,
        preset=options.preset or default_preset(dataset),
        seeds=options.seeds,
        protocol=data.protocol,
        evaluate_on=data.evaluate_on,
        overrides=options.settings,
        source=source,
        folds=data.folds or FOLDS,
    )
    check_batches(plan)
    check_unused(plan)
    return plan


def check_used(settings: Json, used: Sequence[str]) -> None:
    """:class:`UserError` for a setting that nothing would use."""
    from skelcon.downstream.tasks import CUSTOM, section
    from skelcon.settings import Settings

    sections = [section(name) for name in used]
    for name, values in settings.items():
        registered = name == CUSTOM and isinstance(values, dict)
        for asked in [f"{name}.{each}" for each in values] if registered else [name]:
            if name in Settings.model_fields and asked not in sections:
                words = " and ".join(sections)
                raise UserError(f"--set {asked}...: nothing here uses it; set keys of {words}")


# -- from a command to a request --------------------------------------------------------------


def run_function(then: Callable[[StudyRequest], None]) -> Callable[..., None]:
    """The function of ``run FILE``, which calls ``then`` with its request."""

    @with_options
    def run(file: FileArgument, options: RequestOptions) -> None:
        """Run a study of your own from its YAML file."""
        then(StudyRequest.of(lambda: open_study_file(file), options))

    return run


def study_function(name: str, then: Callable[[StudyRequest], None]) -> Callable[..., None]:
    """The function of a built-in study's command, which calls ``then`` with its request."""

    @with_options
    def run(options: RequestOptions) -> None:
        then(StudyRequest.of(lambda: open_study(name), options))

    return run


def command_words(words: Sequence[str]) -> list[str]:
    """A study's command as it can be typed: ``x.yaml`` is ``run x.yaml``."""
    is_file = words[0].endswith((".yaml", ".yml"))
    return ["run", *words] if is_file else [*words]


def read_request(words: Sequence[str]) -> StudyRequest:
    """The request of a study's command that was given to another command; nothing is run.

    Args:
        words: the study's name, a YAML file, or ``run`` and a file; then options.
    """
    name, *rest = command_words(words)
    requests: list[StudyRequest] = []
    if name == "run":
        function = run_function(requests.append)
    else:
        open_study(name)  # refuses an unknown one
        function = study_function(name, requests.append)
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    command: Any = typer.main.get_command(app)
    with command.make_context(f"skelcon-ablate {name}", rest) as context:
        command.invoke(context)
    (request,) = requests
    if request.planning.plan:
        raise UserError("--plan: leave it out here; use skelcon-ablate plan")
    return request
