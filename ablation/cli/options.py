"""Every option that more than one command takes: parsed once, kept in frozen groups.

Nothing heavy is imported here, as ``--help`` reads this module: choices are spelled out, and mypy
compares them with those of the modules that use them. What only the data or the study knows (a
protocol, a row) is checked there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from ablation.catalogue import known_studies
from ablation.cli.flatten import Parsed
from skelcon.cli.options import PLUGIN, DataOption
from skelcon.config import Json
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.runner.resources import Resources

Preset = Literal["quick", "small", "paper"]
EvaluateOn = Literal["test", "validation"]
Keep = Literal["none", "last", "all"]


# -- what is parsed at the edge ---------------------------------------------------------------


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` -> (0, 1, 2); ``0,5,7`` -> (0, 5, 7); ``5,`` -> (5,).

    Raises:
        UserError: for anything else.
    """
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: give a number of seeds, or a list such as 0,5,7")
    numbers = [int(part) for part in parts]
    if len(parts) == 1 and "," not in text:
        if numbers[0] < 1:
            raise UserError(f"--seeds {text}: at least one seed is needed")
        return tuple(range(numbers[0]))
    for number in numbers:
        if numbers.count(number) > 1:
            raise UserError(f"--seeds {text}: duplicate seed {number}")
    return tuple(numbers)


def parse_settings(texts: Sequence[str]) -> Json:
    """``["a.b=1"]`` -> ``{"a": {"b": 1}}``."""
    from skelcon.settings import merge, parse_assignment

    settings: Json = {}
    merge(settings, dict(parse_assignment(text) for text in texts))
    return settings


def parse_names(text: str) -> tuple[str, ...]:
    """``a, b`` -> ``("a", "b")``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_formats(text: str) -> tuple[str, ...]:
    """The files of a table."""
    from ablation.tables.export import parse_formats

    return parse_formats(text)


def parse_trackers(text: str) -> tuple[str, ...]:
    """Trackers that are known and installed."""
    from ablation.tracking.trackers import parse_trackers

    return parse_trackers(text)


def parse_gpus(text: str) -> float:
    """A number of GPUs, or ``auto``."""
    from ablation.cost.gpus import parse_gpus

    return parse_gpus(text)


def complete_study(incomplete: str) -> Iterator[str]:
    """Studies whose names start with ``incomplete``."""
    return (name for name in known_studies() if name.startswith(incomplete))


# -- single options ---------------------------------------------------------------------------

ResultsOption = Annotated[
    Path,
    typer.Option(
        file_okay=False,
        help="The results directory. What runs units, and plan, take a URI as well.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document instead of text. A command that runs units writes events to "
        "standard error meanwhile, one JSON object a line, or the live view if that is a terminal.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
SeedOption = Annotated[
    int | None,
    typer.Option(
        min=0, help="The seed of all randomness.", show_default="0, or the pre-training's"
    ),
]
StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A study's name, or its YAML file.", autocompletion=complete_study
    ),
]


# -- groups -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DataOptions:
    """The data set, and who trains and who tests."""

    panel: ClassVar[str] = "Data"

    data: DataOption = None
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="xsub|xview|xsetup",
            help="Who trains and who tests; aliases such as cross_subject or CV are fine.",
            show_default="the study's; of one model, its pre-training's or the data's first",
        ),
    ] = None


@dataclass(frozen=True)
class StudyDataOptions(DataOptions):
    """The data of a study."""

    source: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="The data to pre-train on, in a study of transfer.",
            show_default="embedded synthetic data of other subjects",
        ),
    ] = None
    evaluate_on: Annotated[
        EvaluateOn,
        typer.Option(
            help="validation holds out some training subjects and leaves the test side alone: for "
            "choosing settings."
        ),
    ] = "test"


@dataclass(frozen=True)
class PresetOptions:
    """The scale of a run."""

    panel: ClassVar[str] = "Settings"

    preset: Annotated[
        Preset | None,
        typer.Option(
            help="The scale: minutes on synthetic data, real data on a laptop, or the paper's own "
            "hyper-parameters.",
            show_default="quick for synthetic data, else small",
        ),
    ] = None


@dataclass(frozen=True)
class SettingOptions(PresetOptions):
    """And the settings, and the plugins whose components they may name.

    Attributes:
        settings: a tree of what ``--set`` changes.
    """

    settings: Annotated[
        Json,
        typer.Option(
            "--set",
            metavar="KEY.PATH=VALUE",
            help="Change a setting everywhere, such as pretrain.optimiser.lr=0.001. Repeatable; "
            "'skelcon settings' lists all.",
            show_default=False,
        ),
        Parsed(parse_settings, list[str]),
    ] = field(default_factory=dict)
    plugins: Annotated[tuple[str, ...], PLUGIN, Parsed(tuple, list[str])] = ()


@dataclass(frozen=True)
class StudyOptions(SettingOptions):
    """And the rows and seeds of a study."""

    panel: ClassVar[str] = "Study"

    seeds: Annotated[
        tuple[int, ...],
        typer.Option(
            metavar="N|N,N,...",
            help="A number of seeds (3 is 0, 1 and 2), or a list (5, is the one seed 5).",
            show_default="1",
        ),
        Parsed(parse_seeds),
    ] = (0,)
    only: Annotated[
        tuple[str, ...],
        typer.Option(metavar="ROW[,ROW]", help="Only these rows.", show_default=False),
        Parsed(parse_names),
    ] = ()


@dataclass(frozen=True)
class TrialOptions:
    """What a trial takes of the machine or the cluster."""

    panel: ClassVar[str] = "Resources"

    cpus_per_trial: Annotated[
        float, typer.Option(help="CPU cores, and torch threads, of a trial.")
    ] = 1
    gpus_per_trial: Annotated[
        float,
        typer.Option(
            metavar="N|auto",
            help="GPUs of a trial: 0.25 shares one, 2 and more train one model together, auto is "
            "one, or the fraction that similar units needed.",
            show_default="0",
        ),
        Parsed(parse_gpus),
    ] = 0
    max_concurrent: Annotated[
        int | None,
        typer.Option(min=1, help="At most this many trials at once.", show_default="what fits"),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="A running Ray cluster of which this machine is a node.",
            show_default="Ray starts on this machine",
        ),
    ] = None

    def resources(self, plugins: tuple[str, ...] = ()) -> Resources:
        """These, checked; ``plugins`` are loaded by each worker."""
        from ablation.runner.resources import Resources

        resources = Resources(
            cpus_per_trial=self.cpus_per_trial,
            gpus_per_trial=self.gpus_per_trial,
            max_concurrent=self.max_concurrent,
            address=self.address,
            plugins=plugins,
        )
        resources.check()
        return resources


@dataclass(frozen=True)
class ResourceOptions(TrialOptions):
    """And what is done about failures and checkpoints."""

    retries: Annotated[int, typer.Option(min=0, help="How often a unit that fails is retried.")] = 1
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first unit that fails for good.")
    ] = False
    checkpoint_every: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Training time between two checkpoints.",
            show_default="as often as it costs little",
        ),
    ] = None
    keep: Annotated[
        Keep,
        typer.Option(help="Which checkpoints stay in a unit's directory when it is done."),
    ] = "none"

    def resources(self, plugins: tuple[str, ...] = ()) -> Resources:
        """These, checked; ``plugins`` are loaded by each worker."""
        from dataclasses import replace

        from ablation.work.checkpoints import CheckpointPolicy

        resources = replace(
            super().resources(plugins),
            retries=self.retries,
            fail_fast=self.fail_fast,
            checkpoints=CheckpointPolicy(self.checkpoint_every, self.keep),
        )
        resources.check()
        return resources


@dataclass(frozen=True)
class ProbeOptions:
    """How a plan's costs are found."""

    panel: ClassVar[str] = "Plan"

    probe: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="In a plan: train this many steps of each kind of unit of which there is no "
            "earlier result, and estimate from those.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class PlanOptions(ProbeOptions):
    """Whether there is only a plan."""

    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would run and its cost; run nothing.")
    ] = False


@dataclass(frozen=True)
class ResultsOptions:
    """Where results are, and how they are printed."""

    panel: ClassVar[str] = "Output"

    results: ResultsOption = Path("results")
    as_json: JsonOption = False


@dataclass(frozen=True)
class RunOutputOptions(ResultsOptions):
    """And what is printed, asked and tracked while units run."""

    trackers: Annotated[
        tuple[str, ...],
        typer.Option(
            "--track",
            metavar="wandb,mlflow",
            help="Trackers beside TensorBoard, which get a run of each unit.",
            show_default=False,
        ),
        Parsed(parse_trackers),
    ] = ()
    yes: YesOption = False
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="Print a line for each start and end, on a terminal too."),
    ] = False


@dataclass(frozen=True)
class FormatOptions:
    """The files of a table.

    Attributes:
        formats: all if None.
    """

    panel: ClassVar[str] = "Output"

    formats: Annotated[
        tuple[str, ...] | None,
        typer.Option(
            "--format",
            metavar="NAME[,NAME]",
            help="Which files of the table are written.",
            show_default="csv,latex,markdown,json",
        ),
        Parsed(parse_formats),
    ] = None


@dataclass(frozen=True)
class OutputOptions(FormatOptions, RunOutputOptions):
    """All of these."""
