"""The commands of ``skelcon`` that train and evaluate one model, added to the data tool's.

``skelcon pretrain`` and ``skelcon evaluate`` run one unit of work each, with the configuration and
in the store of the studies: a study finds their units done, and they find a study's units done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablation.cli.options import (
    SEED,
    DataOptions,
    PresetOptions,
    ResultsOptions,
    SettingOptions,
)
from ablation.cli.parsing import parse_names
from ablation.cli.request import check_used
from ablation.cli.trained import PREFERRED, TrainedWeights, choose_side
from ablation.cli.units import document, done_before, print_results
from ablation.interrupts import handling_signals
from ablation.store import Store
from ablation.units import TRAIN_SIDE, EvaluateUnit, PretrainUnit, Side, Unit
from ablation.unused import check_contrast
from skelcon.cli.console import run_app
from skelcon.cli.flatten import group, option, with_options
from skelcon.cli.opening import open_data
from skelcon.cli.program import app
from skelcon.cli.terminal import PipeSafeConsole, PlainConsole, echo
from skelcon.data import SkeletonDataset, choose_protocol, require_sides, split
from skelcon.downstream.tasks import TASKS
from skelcon.downstream.tasks import task as named_task
from skelcon.errors import UserError
from skelcon.plugins import load_plugins
from skelcon.presets import DataNames, Preset, default_preset, resolve_with_preset
from skelcon.pretrain import check_batch
from skelcon.settings import Settings, assignments

if TYPE_CHECKING:
    from ablation.scheduler.resources import Resources

NAME = "skelcon"
"""The name of a run of one model in ``status``, and the directory of its curves."""


@group("Resources")
class DeviceOptions:
    """Where one unit runs."""

    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto is a GPU if there is one.")
    threads: int = option(
        1, "CPU threads; the same bits as in a study need the same --cpus-per-trial.", min=1
    )

    def resources(self, plugins: tuple[str, ...]) -> Resources:
        """The resources of the unit; :class:`UserError` for a missing device."""
        import torch

        from ablation.scheduler.resources import Resources

        found = torch.cuda.is_available()
        if self.device == "cuda" and not found:
            raise UserError("--device cuda: torch sees no GPU here; give cpu or auto")
        gpus = 1 if found and self.device != "cpu" else 0
        return Resources(self.threads, gpus, retries=0, plugins=plugins)


@app.command(name="settings")
@with_options
def list_settings(
    options: PresetOptions,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Print the values for a data set of that name, such as pkummd2.",
            show_default="any other data set",
        ),
    ] = None,
) -> None:
    """Print every setting by its key, with its value in a preset (by default the paper's).

    \b
    skelcon settings --preset small
    skelcon settings --preset paper --on pkummd2
    """
    preset = Preset.of(options.preset or "paper")
    names = DataNames(on, on) if on is not None else None
    settings = resolve_with_preset(preset.tree, (), {}, f"preset '{preset}'", names)
    echo("\n".join(assignments(settings.model_dump(mode="json"))))
    for part in ("by_data", "by_representations") if on is None else ("by_representations",):
        for name, changes in preset.tree.get(part, {}).items():
            echo(f"# for {name}: {', '.join(assignments(changes))}")


@app.command()
@with_options
def pretrain(
    data: DataOptions,
    options: SettingOptions,
    device: DeviceOptions,
    output: ResultsOptions,
    seed: Annotated[int, typer.Option(min=0, help=SEED)] = 0,
) -> None:
    """Pre-train the encoders of one configuration; resumes after an interruption.

    \b
    skelcon pretrain --set pretrain.representations=\\[seq,stg]
    """
    load_plugins(options.plugins)
    resources = device.resources(options.plugins)
    dataset = open_data(data.data, PlainConsole(stderr=True))
    config = _settings(options, dataset, "pretrain").pretrain
    protocol = choose_protocol(dataset, [data.protocol] if data.protocol else PREFERRED)
    require_sides(dataset, protocol, "train")
    check_batch(config, len(split(dataset, protocol, "train")), f"'{dataset.name}', {protocol}")
    side = Side.of(dataset, protocol, "train", seed, dataset.layout, dataset.max_bodies)
    label = f"pre-training {'+'.join(config.representations)}, seed {seed}"
    unit = PretrainUnit.of(side, config, label)
    check_contrast("--set", options.settings, [unit])
    _run(unit, dataset, resources, output)


@app.command()
@with_options
def evaluate(
    weights: Annotated[
        Path,
        typer.Argument(help="The directory of a pre-training in units/, or a weights file."),
    ],
    data: DataOptions,
    options: SettingOptions,
    device: DeviceOptions,
    output: ResultsOptions,
    task: Annotated[
        str, typer.Option(metavar="NAME", help=f"The downstream task: {', '.join(TASKS)}.")
    ] = "linear",
    representation: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME]",
            help="The encoder, or several whose features are concatenated (seq,stg).",
            show_default="the only one",
        ),
    ] = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help=SEED, show_default="the pre-training's, else 0")
    ] = None,
) -> None:
    """Evaluate pre-trained encoders: linear classification, neighbours, fine-tuning, clusters, ...

    On the test side. Encoders that a study trained for one fold of a
    cross-validation are evaluated on the groups that the fold holds out.
    """
    load_plugins(options.plugins)
    resources = device.resources(options.plugins)
    named_task(task)  # refuses an unknown one
    source = TrainedWeights(weights, parse_names(representation))
    dataset = open_data(data.data, PlainConsole(stderr=True))
    trained = source.trained_on(dataset)
    protocol, on = choose_side(trained, dataset, data.protocol)
    fold = trained.side.fold if trained is not None else None
    if seed is None:
        seed = trained.side.seed if trained is not None else 0
    settings = named_task(task).options_of(_settings(options, dataset, task).of(task))
    side = Side.of(dataset, protocol, TRAIN_SIDE[on], seed, *source.skeleton(dataset), fold)
    label = f"{task} of {'+'.join(source.names)}, seed {seed}"
    unit = EvaluateUnit(side, settings, task, on, source.encoders, label=label)
    _run(unit, dataset, resources, output, {source.key: source.file})


def _settings(options: SettingOptions, dataset: SkeletonDataset, used: str) -> Settings:
    check_used(options.settings, (used,))
    preset, names = Preset.of(options.preset or default_preset(dataset)), DataNames.of(dataset)
    return resolve_with_preset(preset.tree, (), options.settings, f"preset '{preset}'", names)


def _run(
    unit: Unit,
    dataset: SkeletonDataset,
    resources: Resources,
    output: ResultsOptions,
    weights: Mapping[str, Path] | None = None,
) -> None:
    """Run the unit in this process and print its result. Raises ``typer.Exit`` with 1 or 130."""
    from ablation.job import Job
    from ablation.monitor.output import Output
    from ablation.running import RunOptions, run_job

    store = Store(output.results)
    before = done_before([unit], store)
    units = {unit.key: unit}
    job = Job(NAME, units, (dataset,), store.results / NAME, weights=weights or {})
    options = RunOptions(resources, in_process=True)
    console = Output(PipeSafeConsole(stderr=True))
    if code := run_job(job, store, options, console, lambda: not store.is_done(unit.key)):
        raise typer.Exit(code)
    if output.as_json:
        typer.echo(json.dumps(document(unit, store), indent=1))
    else:
        print_results([unit], store, before)


def main() -> None:
    """The console script."""
    with handling_signals():
        run_app(app)
