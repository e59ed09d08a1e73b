"""``skelcon``: to the data tool and the trained encoders' commands, the trainer for one model.

``skelcon pretrain`` and ``skelcon evaluate`` are one unit of work each, with the configuration and
in the store of the studies: what they have done a study finds done, and the other way round.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
import typer
from rich.console import Console

from ablation.cli.commands import open_data, overrides_of
from ablation.cli.program import PresetOption, ResultsOption, SetOption
from ablation.cli.units import document, say_result
from ablation.live.progress import Progress
from ablation.live.standing import Standing
from ablation.missing import missing_units
from ablation.plan import (
    TRAIN_SIDE,
    EvaluateOn,
    Unit,
    data_config,
    evaluation_config,
    pretraining_config,
    unit_key,
)
from ablation.runner.here import run_here
from ablation.runner.listeners import Listeners
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.study import Task
from skelcon.cli import app
from skelcon.cli.console import INTERRUPTED, run_app
from skelcon.cli.weights import DataOption, PluginOption
from skelcon.data import PROTOCOLS, SkeletonDataset, choose_protocol, common_layout, split
from skelcon.encoders import REGISTERED
from skelcon.errors import UserError, nearest
from skelcon.plugins import load_plugins
from skelcon.pretrain.weights import WEIGHTS_FILE, load_encoders
from skelcon.settings import (
    Settings,
    preset_tree,
    resolve_with_preset,
)
from skelcon.settings import assignments as assignments_of

PREFERRED = ("xview", *(name for name in PROTOCOLS if name != "xview"))

ProtocolOption = Annotated[
    str | None,
    typer.Option(
        help="xsub, xview or xsetup. Default: that of the pre-training on the same data, or the "
        "first of xview, xsub, xsetup that the data has.",
        show_default=False,
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of all randomness.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU if there is one.")]
ThreadsOption = Annotated[
    int, typer.Option(min=1, help="CPU threads; as many give the same bits as a study's trial.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command(name="settings")
def list_settings(
    preset: Annotated[str, typer.Option(help="quick, small or paper.")] = "paper",
) -> None:
    """Print every setting with its value in a preset, as --set and studies name them."""
    tree = preset_tree(preset)
    shown = resolve_with_preset(tree, (), {}, f"preset '{preset}'").model_dump(mode="json")
    typer.echo("\n".join(assignments_of(shown)))
    for names, changes in tree.get("by_representations", {}).items():
        typer.echo(f"# for {names}: {', '.join(assignments_of(changes))}")


@app.command()
def pretrain(
    data: DataOption = None,
    preset: PresetOption = None,
    protocol: ProtocolOption = None,
    seed: SeedOption = 0,
    assignments: SetOption = None,
    plugins: PluginOption = None,
    results: ResultsOption = Path("results"),
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Pre-train the encoders of one configuration; goes on where it was interrupted.

    \b
    skelcon pretrain --set pretrain.representations=[seq,stg]
    """
    load_plugins(plugins or ())
    asked = _resources(device, threads, plugins)
    console = Console(stderr=True)
    dataset = open_data(data, console)
    settings = _settings(preset, dataset, assignments, "pretrain")
    chosen = choose_protocol(dataset, [protocol] if protocol else PREFERRED)
    clips = len(split(dataset, chosen, "train"))
    if clips < settings.pretrain.batch:
        raise UserError(
            f"pretrain.batch {settings.pretrain.batch} is larger than the {clips} training clips "
            f"of '{dataset.name}', {chosen}"
        )
    side = data_config(dataset, chosen, "train", seed, dataset.layout, dataset.max_bodies)
    config = pretraining_config(side, settings.pretrain)
    names = "+".join(settings.pretrain.representations)
    unit = Unit(config, (), f"pre-training {names}, seed {seed}")
    _run(unit, Store(results), dataset, asked, console, as_json)


@app.command()
def evaluate(
    weights: Annotated[
        Path,
        typer.Argument(help="What skelcon pretrain or a study left in units/, or a weights file."),
    ],
    task: Annotated[str, typer.Option(help="linear, retrieval or finetune.")] = "linear",
    representation: Annotated[
        str | None,
        typer.Option(
            help="Whose encoder, or several side by side: seq,stg. Not needed where there is one.",
            show_default=False,
        ),
    ] = None,
    data: DataOption = None,
    preset: PresetOption = None,
    protocol: ProtocolOption = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Default: that of the pre-training, or 0.", show_default=False),
    ] = None,
    assignments: SetOption = None,
    plugins: PluginOption = None,
    results: ResultsOption = Path("results"),
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Evaluate pre-trained encoders: linear classification, retrieval, or fine-tuning."""
    load_plugins(plugins or ())
    asked = _resources(device, threads, plugins)
    console = Console(stderr=True)
    tasks: dict[str, Task] = {name: name for name in get_args(Task)}
    if task not in tasks:
        raise UserError(f"unknown task '{task}': {nearest(task, tasks)}")
    file = weights / WEIGHTS_FILE if weights.is_dir() else weights
    loaded, _ = load_encoders(file)
    names = [name.strip() for name in representation.split(",")] if representation else [*loaded]
    if representation is None and len(loaded) > 1:
        both = ",".join(loaded)
        raise UserError(
            f"'{file}' holds several encoders: say which with --representation ({', '.join(loaded)}"
            f", or {both} for their features side by side)"
        )
    for name in names:
        if name not in loaded:
            raise UserError(f"'{file}' has no encoder of '{name}': {nearest(name, loaded)}")
    names.sort(key=REGISTERED.names().index)  # as studies have them
    trained = _pretraining_at(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    source: dict[str, Any] = {"pretrained": trained} if trained else {"weights": digest}

    dataset = open_data(data, console)
    on: EvaluateOn = "test"
    wanted: tuple[str, ...] = PREFERRED
    if trained is not None and trained["data"] == dataset.fingerprint:
        wanted = (trained["protocol"],)
        on = "test" if trained["train"] == "train" else "validation"
    chosen = choose_protocol(dataset, [protocol] if protocol else wanted)
    if trained is not None and trained["data"] == dataset.fingerprint:
        if chosen != trained["protocol"]:
            raise UserError(
                f"--protocol {chosen}: the encoders were pre-trained on the training side of "
                f"{trained['protocol']} of the same data, which holds clips that {chosen} tests"
            )
        seed = trained["seed"] if seed is None else seed
    seed = seed or 0
    first = next(iter(loaded.values()))
    if common_layout(dataset.layout, first.layout) != first.layout:
        raise UserError(
            f"'{file}' takes {first.layout.num_joints} joints ({first.layout.name}), and data set "
            f"'{dataset.name}' has {dataset.layout.num_joints}"
        )
    side = data_config(dataset, chosen, TRAIN_SIDE[on], seed, first.layout, first.bodies)
    settings = _settings(preset, dataset, assignments, task)
    encoders = [{"representation": name, **source} for name in names]
    config = evaluation_config(side, on, tasks[task], settings, encoders)
    unit = Unit(config, (), f"{task} of {'+'.join(names)}, seed {seed}")
    # Where the weights lie is no part of the key: they may be another store's.
    key = unit_key(trained) if trained else digest
    _run(unit, Store(results), dataset, asked, console, as_json, {key: file})


def _pretraining_at(file: Path) -> dict[str, Any] | None:
    """The configuration of the finished pre-training that made ``file``, if one did."""
    directory = file.resolve().parent
    try:
        config = json.loads((directory / "config.json").read_text())
    except (OSError, ValueError):
        return None
    is_unit = (
        isinstance(config, dict)
        and config.get("unit") == "pretrain"
        and (file.name, unit_key(config)) == (WEIGHTS_FILE, directory.name)
        and (directory / "DONE").exists()
    )
    return config if is_unit else None


def _settings(
    preset: str | None, dataset: SkeletonDataset, assignments: list[str] | None, used: str
) -> Settings:
    scale = preset or ("quick" if dataset.synthetic else "small")
    overrides = overrides_of(assignments, (used,))
    return resolve_with_preset(preset_tree(scale), (), overrides, f"preset '{scale}'")


def _run(
    unit: Unit,
    store: Store,
    dataset: SkeletonDataset,
    asked: Resources,
    console: Console,
    as_json: bool,
    weights: Mapping[str, Path] | None = None,
) -> None:
    """Do the unit in this process, and say what came of it. Raises ``typer.Exit(1 or 130)``."""
    store.check_writable()
    missing = missing_units({unit.key: unit}, store, console, mend=True)
    if missing:
        standing = Standing("skelcon", missing, cached=0, slots=1)
        data = {dataset.fingerprint: dataset.path}
        with Progress(console, standing, standing.snapshot) as progress:
            listener = Listeners(standing, progress)
            if not run_here(missing, store, data, asked, listener, weights):
                console.print("Interrupted. The same command goes on from here.")
                raise typer.Exit(INTERRUPTED)
    if not store.is_done(unit.key):
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(document(unit, store), indent=1))
    else:
        say_result(unit, store, again=not missing)


def _resources(device: str, threads: int, plugins: list[str] | None) -> Resources:
    """What the unit may take of this machine; UserError for a device that there is not."""
    known = ("auto", "cpu", "cuda")
    if device not in known:
        raise UserError(f"unknown device '{device}': {nearest(device, known)}")
    seen = torch.cuda.is_available()
    if device == "cuda" and not seen:
        raise UserError("--device cuda: torch sees no GPU here; give cpu or auto")
    gpus = 1 if seen and device != "cpu" else 0
    return Resources(threads, gpus, retries=0, plugins=tuple(plugins or ()))


def main() -> None:
    """The console script."""
    run_app(app)
