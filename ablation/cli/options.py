"""Every option that more than one command takes: parsed once, kept in frozen groups.

``--help`` reads this module, so nothing heavy is imported here: choices are spelled out, and mypy
compares them with the choices of the modules that use them. Values that depend on the data or the
study, such as a protocol or a row, are checked later.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablation.catalogue import known_studies
from ablation.cli.parsing import completes, parse_names, parse_seeds, parse_settings
from skelcon.cli.flatten import group, option
from skelcon.cli.options import PLUGIN, PROTOCOLS, DataOption
from skelcon.config import Json
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.scheduler.resources import Resources

PRESETS = ("quick", "small", "paper", "authors")
FOLDS_HELP = (
    "Folds of the cross-validation; as many as there are groups (subjects, cameras or setups), if "
    "these are fewer."
)
FORMATS = "The formats of the files."
PROTOCOL = f"Who trains and who tests: {PROTOCOLS}; or an alias, such as cross_subject or CV."
EvaluateOn = Literal["test", "validation"]
Keep = Literal["none", "last", "all"]


# -- single options ---------------------------------------------------------------------------

RESULTS = "The results directory."
ResultsOption = Annotated[Path, typer.Option(file_okay=False, help=RESULTS)]
RESULTS_OR_URI = "The results directory, or its URI, such as s3://BUCKET/PATH."
ResultsOrURIOption = Annotated[Path, typer.Option(file_okay=False, help=RESULTS_OR_URI)]
JSON = "Print one JSON document instead of text."
JsonOption = Annotated[bool, typer.Option("--json", help=JSON)]
JSON_AND_EVENTS = (
    f"{JSON} While units run, events go to standard error, one JSON object a line (or the live "
    "view, if it is a terminal)."
)
JsonAndEventsOption = Annotated[bool, typer.Option("--json", help=JSON_AND_EVENTS)]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
SEED = "The seed of all randomness."
TableArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A table's name, as list --results prints it; a study's name, if it has one table.",
        autocompletion=completes(known_studies),
    ),
]


# -- groups -----------------------------------------------------------------------------------


@group("Data")
class DataOptions:
    """The data set, and who trains and who tests."""

    data: DataOption = None
    protocol: str | None = option(
        None,
        PROTOCOL,
        metavar="NAME",
        show_default="the first that the data has; for evaluate, the pre-training's",
    )


@group("Data")
class StudyDataOptions(DataOptions):
    """The data of a study."""

    protocol: str | None = option(
        None, PROTOCOL, metavar="NAME", show_default="the study's first that the data has"
    )
    source: Path | None = option(
        None,
        "The data to pre-train on, for a study of transfer.",
        exists=True,
        show_default="embedded synthetic data of other subjects",
    )
    evaluate_on: EvaluateOn = option(
        "test",
        "The test side, or validation, for choosing settings: a cross-validation over the groups "
        "(subjects, cameras or setups) of the training side, without reading the test side.",
    )
    folds: int | None = option(None, FOLDS_HELP, min=2, show_default="5")


@group("Settings")
class PresetOptions:
    """The scale of a run."""

    preset: str | None = option(
        None,
        "The scale: quick (minutes on synthetic data), small (real data on a laptop), paper (the "
        "paper's own hyper-parameters), authors (the values of its public code), or a YAML file.",
        metavar="NAME|FILE",
        show_default="quick for synthetic data, else small",
        autocompletion=completes(lambda: PRESETS),
    )


@group("Settings")
class SettingOptions(PresetOptions):
    """The scale of a run, changes of its settings (``--set``, as a tree), and plugins."""

    settings: Json = option(
        dict,
        "Change a setting for everything that runs, such as pretrain.optimiser.lr=0.001. "
        "Repeatable; 'skelcon settings' lists all.",
        "--set",
        metavar="KEY.PATH=VALUE",
        parse=parse_settings,
        repeated=True,
    )
    plugins: Annotated[tuple[str, ...], PLUGIN] = option((), parse=tuple, repeated=True)


@group("Study")
class StudyOptions(SettingOptions):
    """The settings, rows and seeds of a study."""

    seeds: tuple[int, ...] = option(
        (0,),
        "How many seeds (3 means 0, 1 and 2), or a list such as 0,5,7 (or 5, for the seed 5 only).",
        metavar="N|N,N,...",
        show_default="1",
        parse=parse_seeds,
    )
    only: tuple[str, ...] = option((), "Only these rows.", metavar="ROW[,ROW]", parse=parse_names)


@group("Resources")
class TrialOptions:
    """What a trial takes of the machine or the cluster."""

    cpus_per_trial: float = option(1, "CPU cores, and torch threads, of a trial.")
    gpus_per_trial: float = option(
        0,
        "GPUs of a trial: 0.25 shares one; 2 or more train one model together; auto is one, or the "
        "fraction that similar units needed.",
        metavar="N|auto",
        show_default="0",
        parse="ablation.costs:parse_gpus",
    )
    max_concurrent: int | None = option(
        None, "At most this many trials at once.", min=1, show_default="what fits"
    )
    address: str | None = option(
        None,
        "The address of a running Ray cluster; this machine has to be one of its nodes.",
        metavar="auto|HOST:PORT",
        show_default="Ray starts on this machine",
    )

    def resources(self, plugins: tuple[str, ...] = ()) -> Resources:
        """The resources, checked; each worker loads ``plugins``."""
        from ablation.scheduler.resources import Resources

        cpus, gpus = self.cpus_per_trial, self.gpus_per_trial
        resources = Resources(cpus, gpus, self.max_concurrent, self.address, plugins=plugins)
        resources.check()
        return resources


@group("Resources")
class ResourceOptions(TrialOptions):
    """What a trial takes, and how failures and checkpoints are handled."""

    retries: int = option(1, "How often a unit that fails is retried.", min=0)
    fail_fast: bool = option(False, "Stop at the first unit that fails for good.", "--fail-fast")
    checkpoint_every: float | None = option(
        None,
        "Training time between two checkpoints.",
        metavar="SECONDS",
        show_default="chosen so that checkpoints take little time",
    )
    keep: Keep = option("none", "Which checkpoints stay in a unit's directory after it is done.")

    def resources(self, plugins: tuple[str, ...] = ()) -> Resources:
        """The resources, checked; each worker loads ``plugins``."""
        from ablation.work.checkpoints import CheckpointPolicy

        resources = replace(
            super().resources(plugins),
            retries=self.retries,
            fail_fast=self.fail_fast,
            checkpoints=CheckpointPolicy(self.checkpoint_every, self.keep),
        )
        resources.check()
        return resources


@group("Plan")
class ProbeOptions:
    """How the costs of a plan are estimated."""

    probe: int | None = option(
        None,
        "In a plan: run this many steps of each kind of unit without an earlier result, and "
        "estimate the time from them.",
        min=1,
        metavar="STEPS",
    )


@group("Plan")
class PlanOptions(ProbeOptions):
    """Whether there is only a plan."""

    plan: bool = option(False, "Print what would run and its cost; run nothing.", "--plan")

    def check(self) -> None:
        """Raise :class:`UserError` if ``--probe`` is given without ``--plan``."""
        if self.probe is not None and not self.plan:
            raise UserError(f"--probe {self.probe}: only with --plan")


@group("Output")
class ResultsOptions:
    """Where results are, and how they are printed."""

    results: ResultsOption = Path("results")
    as_json: JsonOption = False


@group("Output")
class ResultsOrURIOptions(ResultsOptions):
    """Where results are, also at a URI, and how they are printed."""

    results: ResultsOrURIOption = Path("results")


@group("Output")
class RunOutputOptions(ResultsOrURIOptions):
    """Where results are, and what is printed, asked and tracked while units run."""

    as_json: JsonAndEventsOption = False
    trackers: tuple[str, ...] = option(
        (),
        "Further trackers beside TensorBoard; each unit becomes a run there.",
        "--track",
        metavar="wandb,mlflow",
        parse="ablation.tracking.trackers:parse_trackers",
    )
    yes: YesOption = False
    verbose: bool = option(
        False, "Print a line when a unit starts or ends, also on a terminal.", "--verbose"
    )
