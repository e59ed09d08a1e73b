"""Every option that more than one command takes: parsed once, kept in frozen groups.

Nothing heavy is imported here, as ``--help`` reads this module: choices are spelled out, and mypy
compares them with those of the modules that use them. What depends on the data or the study (a
protocol, a row) is checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablation.report.style import Notes, Reference, TableStyle
from skelcon.cli.flatten import group, option
from skelcon.cli.options import PLUGIN, PROTOCOLS, DataOption
from skelcon.config import Json
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.scheduler.resources import Resources

PRESETS = ("quick", "small", "paper", "authors")
FOLDS_HELP = (
    "Folds of a cross-validation over the groups (subjects, cameras or setups) of the training "
    "side; one for each group where there are fewer."
)
ONLY = "Only these rows; of figures, only these."
FILES = "Which files are written."
EvaluateOn = Literal["test", "validation"]
Keep = Literal["none", "last", "all"]


# -- what is parsed at the edge ---------------------------------------------------------------


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` -> (0, 1, 2); ``0,5,7`` -> (0, 5, 7); ``5,`` -> (5,); else ``UserError``."""
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: give a number of seeds, or a list such as 0,5,7")
    numbers = [int(part) for part in parts]
    if "," not in text:
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


def parse_name(text: str) -> str:
    """``text``, if it can be the name of a directory of a results directory."""
    from ablation.study import RESERVED

    if not text or text.startswith(".") or text in RESERVED or {"/", "\\"} & {*text}:
        raise UserError(f"--name {text}: give the name of a new or known table, such as mine-1")
    return text


def parse_names(text: str) -> tuple[str, ...]:
    """``a, b`` -> ``("a", "b")``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def completes(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What completes the beginning of one of ``names``."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


# -- single options ---------------------------------------------------------------------------

RESULTS = "The results directory. What runs units, and plan, take a URI as well."
ResultsOption = Annotated[Path, typer.Option(file_okay=False, help=RESULTS)]
JSON = (
    "Print one JSON document instead of text. A command that runs units writes events to standard "
    "error meanwhile, one JSON object a line, or the live view if that is a terminal."
)
JsonOption = Annotated[bool, typer.Option("--json", help=JSON)]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
OF_PRETRAINING = "0, or the pre-training's"
SeedOption = Annotated[
    int | None,
    typer.Option(min=0, help="The seed of all randomness.", show_default=OF_PRETRAINING),
]


# -- groups -----------------------------------------------------------------------------------


@group("Data")
class DataOptions:
    """The data set, and who trains and who tests."""

    data: DataOption = None
    protocol: str | None = option(
        None,
        f"Who trains and who tests: {PROTOCOLS}; aliases such as cross_subject or CV are fine.",
        metavar="NAME",
        show_default="the study's; of one model, its pre-training's or the data's first",
    )


@group("Data")
class StudyDataOptions(DataOptions):
    """The data of a study."""

    source: Path | None = option(
        None,
        "The data to pre-train on, in a study of transfer.",
        exists=True,
        show_default="embedded synthetic data of other subjects",
    )
    evaluate_on: EvaluateOn = option(
        "test",
        "validation is a cross-validation over the groups (subjects, cameras or setups) of the "
        "training side, and leaves the test side alone: for choosing settings.",
    )
    folds: int | None = option(
        None,
        FOLDS_HELP,
        min=2,
        show_default="5",
    )


@group("Settings")
class PresetOptions:
    """The scale of a run."""

    preset: str | None = option(
        None,
        "The scale: minutes on synthetic data, real data on a laptop, the paper's own "
        "hyper-parameters, or what its public code does everywhere; or a YAML file with a recipe.",
        metavar=f"{'|'.join(PRESETS)}|FILE",
        show_default="quick for synthetic data, else small",
        autocompletion=completes(lambda: PRESETS),
    )


@group("Settings")
class SettingOptions(PresetOptions):
    """And the settings, a tree of what ``--set`` changes, and plugins with their components."""

    settings: Json = option(
        dict,
        "Change a setting everywhere, such as pretrain.optimiser.lr=0.001. Repeatable; 'skelcon "
        "settings' lists all.",
        "--set",
        metavar="KEY.PATH=VALUE",
        parse=parse_settings,
        repeated=True,
    )
    plugins: Annotated[tuple[str, ...], PLUGIN] = option((), parse=tuple, repeated=True)


@group("Study")
class StudyOptions(SettingOptions):
    """And the rows and seeds of a study."""

    seeds: tuple[int, ...] = option(
        (0,),
        "A number of seeds (3 is 0, 1 and 2), or a list (5, is the one seed 5).",
        metavar="N|N,N,...",
        show_default="1",
        parse=parse_seeds,
    )
    only: tuple[str, ...] = option((), ONLY, metavar="ROW[,ROW]", parse=parse_names)


@group("Resources")
class TrialOptions:
    """What a trial takes of the machine or the cluster."""

    cpus_per_trial: float = option(1, "CPU cores, and torch threads, of a trial.")
    gpus_per_trial: float = option(
        0,
        "GPUs of a trial: 0.25 shares one, 2 and more train one model together, auto is one, or "
        "the fraction that similar units needed.",
        metavar="N|auto",
        show_default="0",
        parse="ablation.costs:parse_gpus",
    )
    max_concurrent: int | None = option(
        None, "At most this many trials at once.", min=1, show_default="what fits"
    )
    address: str | None = option(
        None,
        "A running Ray cluster of which this machine is a node.",
        metavar="auto|HOST:PORT",
        show_default="Ray starts on this machine",
    )

    def resources(self, plugins: tuple[str, ...] = ()) -> Resources:
        """These, checked; ``plugins`` are loaded by each worker."""
        from ablation.scheduler.resources import Resources

        cpus, gpus = self.cpus_per_trial, self.gpus_per_trial
        resources = Resources(cpus, gpus, self.max_concurrent, self.address, plugins=plugins)
        resources.check()
        return resources


@group("Resources")
class ResourceOptions(TrialOptions):
    """And what is done about failures and checkpoints."""

    retries: int = option(1, "How often a unit that fails is retried.", min=0)
    fail_fast: bool = option(False, "Stop at the first unit that fails for good.", "--fail-fast")
    checkpoint_every: float | None = option(
        None,
        "Training time between two checkpoints.",
        metavar="SECONDS",
        show_default="as often as it costs little",
    )
    keep: Keep = option("none", "Which checkpoints stay in a unit's directory when it is done.")

    def resources(self, plugins: tuple[str, ...] = ()) -> Resources:
        """These, checked; ``plugins`` are loaded by each worker."""
        from ablation.work.checkpoints import CheckpointPolicy

        of_trial, policy = (
            super().resources(plugins),
            CheckpointPolicy(self.checkpoint_every, self.keep),
        )
        resources = replace(
            of_trial, retries=self.retries, fail_fast=self.fail_fast, checkpoints=policy
        )
        resources.check()
        return resources


@group("Plan")
class ProbeOptions:
    """How a plan's costs are found."""

    probe: int | None = option(
        None,
        "In a plan: train this many steps of each kind of unit of which there is no earlier "
        "result, and estimate from those.",
        min=1,
        metavar="STEPS",
    )


@group("Plan")
class PlanOptions(ProbeOptions):
    """Whether there is only a plan."""

    plan: bool = option(False, "Print what would run and its cost; run nothing.", "--plan")


@group("Output")
class ResultsOptions:
    """Where results are, and how they are printed."""

    results: ResultsOption = Path("results")
    as_json: JsonOption = False


@group("Output")
class RunOutputOptions(ResultsOptions):
    """And what is printed, asked and tracked while units run."""

    trackers: tuple[str, ...] = option(
        (),
        "Trackers beside TensorBoard, which get a run of each unit.",
        "--track",
        metavar="wandb,mlflow",
        parse="ablation.tracking.trackers:parse_trackers",
    )
    yes: YesOption = False
    verbose: bool = option(
        False, "Print a line for each start and end, on a terminal too.", "--verbose"
    )


@group("Table")
class StyleOptions(TableStyle):
    """How the table is printed."""

    caption: str | None = option(
        None,
        "In place of the caption that is made, which becomes the first note.",
        metavar="TEXT",
    )
    label: str | None = option(None, "LaTeX's.", metavar="TEXT", show_default="tab:STUDY")
    digits: int = option(1, "Decimals of our numbers.", min=0, max=6)
    reference: Reference | None = option(
        None,
        "Where the paper's values stand: behind ours in parentheses, in columns of their own, or "
        "in table.csv and table.json alone.",
        show_default="own-column where they are of our data, protocol and scale, else hide and a "
        "note",
    )
    delta: str | None = option(
        None, "Print each cell's difference to this row as well.", metavar="ROW"
    )
    notes: Notes = option(
        "full", "short: those without which the numbers are misread.", show_default=True
    )
    standalone: bool = option(
        False, "Make table.tex a document that compiles by itself.", "--standalone"
    )


@group("Table")
class FormatOptions:
    """Which number a table shows (the study's if None), its files (all if None) and its look."""

    metric: str | None = option(
        None,
        "Which number is printed: top1, nn_top1 (the nearest neighbour on the same features) or "
        "another of the task's. cells.csv has them all.",
        metavar="NAME",
        show_default="the study's, top1",
    )
    formats: tuple[str, ...] | None = option(
        None,
        FILES,
        "--format",
        metavar="NAME[,NAME]",
        show_default="csv,latex,markdown,json",
        parse="ablation.report.export:parse_formats",
    )
    style: StyleOptions = field(default_factory=StyleOptions)


@group("Output")
class OutputOptions(FormatOptions, RunOutputOptions):
    """And what the table is called."""

    name: str | None = option(
        None,
        "The table's name, which is its directory in the results. More seeds or rows extend the "
        "same table.",
        metavar="NAME",
        show_default="the study's, and what differs from a table that is there",
        parse=parse_name,
    )
