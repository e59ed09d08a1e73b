"""``skelcon``: the data tool, and what is done with one trained model."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from skelcon import cli_weights
from skelcon.console import run_app
from skelcon.data import Normalisation, SkeletonDataset, import_dataset, open_or_import, split
from skelcon.data.synthetic import synthesize as make_synthetic
from skelcon.errors import UserError

app = typer.Typer(
    help="Skeleton-contrastive action representation learning, one model at a time: data sets, "
    "pre-training, evaluation, features.\n\n"
    "Ablation tables are made by skelcon-ablate.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None,
    pretty_exceptions_enable=False, context_settings={"max_content_width": 110},
)  # fmt: skip
data_app = typer.Typer(help="Import, inspect and make data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.command()(cli_weights.embed)
app.command()(cli_weights.retrieve)
app.command()(cli_weights.import_weights)


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


@data_app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(help="A directory in a known layout.")],
    out: Annotated[Path, typer.Argument(help="The packed data set to write (a directory).")],
    centre: Annotated[bool, typer.Option(help="Centre on the main body's spine joint.")] = True,
    spine_to_z: Annotated[bool, typer.Option(help="Turn the spine to the z axis.")] = True,
    shoulders_to_x: Annotated[bool, typer.Option(help="Turn the shoulders to the x axis.")] = True,
) -> None:
    """Import SOURCE to the packed data set OUT; bad files are skipped, counted and listed."""
    _must_be_free(out)
    options = Normalisation(centre=centre, spine_to_z=spine_to_z, shoulders_to_x=shoulders_to_x)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("importing", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        dataset, skipped = import_dataset(source, out, options, progress)
    for bad in skipped[:10]:
        console.print(f"skipped {bad.name}: {bad.reason}", highlight=False, soft_wrap=True)
    if skipped:
        console.print(
            f"{len(skipped)} files skipped in all, listed in {out / 'import-report.json'}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    _describe(console, dataset)


@data_app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A packed data set, or any known layout.")],
) -> None:
    """What a data set holds: clips, classes, subjects, lengths, protocols, fingerprint."""
    dataset, skipped = open_or_import(path)
    console = Console()
    _describe(console, dataset)
    if skipped:
        console.print(f"{len(skipped)} files were skipped at import.")


@data_app.command()
def synthesize(
    out: Annotated[Path, typer.Argument(help="The packed data set to write (a directory).")],
    subjects: Annotated[int, typer.Option(min=2, help="Number of subjects.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data set.")] = 0,
) -> None:
    """Make synthetic clips by forward kinematics, for trying and testing."""
    _must_be_free(out)
    _describe(Console(), make_synthetic(out, subjects=subjects, seed=seed))


def _must_be_free(out: Path) -> None:
    """Only an older packed data set may be replaced."""
    if out.exists() and not (out / "meta.json").is_file() and (
        not out.is_dir() or any(out.iterdir())
    ):  # fmt: skip
        raise UserError(f"'{out}' exists and is not a packed data set: choose another name")


def _describe(console: Console, dataset: SkeletonDataset) -> None:
    lengths = dataset.lengths
    bodies = (dataset.blocks["count"] > 0).sum(axis=1)
    facts = {
        "data set": dataset.name + (" (synthetic)" if dataset.synthetic else ""),
        "path": str(dataset.path),
        "layout": f"{dataset.layout.name}, {dataset.layout.num_joints} joints",
        "family": dataset.family,
        "clips": str(len(dataset)),
        "classes": str(dataset.num_classes),
        "frames": f"{lengths.min()} to {lengths.max()}, {lengths.sum()} in all",
        "bodies": ", ".join(f"{n} in {(bodies == n).sum()} clips" for n in sorted(set(bodies))),
        "normalisation": ", ".join(k for k, v in dataset.normalisation if v) or "none",
        "fingerprint": dataset.fingerprint,
    }
    for column in ("subject", "camera", "setup"):
        values = sorted({int(v) for v in dataset.columns[column] if v >= 0})
        facts[column + "s"] = ", ".join(map(str, values)) or "unknown"
    for protocol in sorted(dataset.splits):
        train, test = (len(split(dataset, protocol, side)) for side in ("train", "test"))
        facts[protocol] = f"{train} train, {test} test"
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(f"[dim]{name}[/]", value)
    console.print(table, highlight=False, soft_wrap=True)


def main() -> None:
    """The console script."""
    run_app(app)
