"""``skelcon data``: import, describe, check, draw and make data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelcon.cli import data_view as view
from skelcon.cli.console import can_write, progress_bar
from skelcon.cli.data_check import check
from skelcon.cli.data_export import export
from skelcon.cli.data_layouts import layouts
from skelcon.cli.data_own import OwnOptions, dry_run, source_of
from skelcon.cli.flatten import with_options
from skelcon.cli.opening import described, open_data, opened, report_json
from skelcon.cli.options import (
    FORMATS,
    BodyOrder,
    DataOption,
    JsonOption,
    PathArgument,
    PluginOption,
)
from skelcon.cli.terminal import PlainConsole, echo, line
from skelcon.config import Json
from skelcon.errors import UserError, nearest
from skelcon.printable import counted

if TYPE_CHECKING:
    from skelcon.data import Normalisation, SkeletonDataset, Source

app = typer.Typer(
    help="Import, describe, check, draw, export and make data sets.",
    no_args_is_help=True,
)

STEPS = ("centre", "spine-to-z", "shoulders-to-x", "scale")
"""The steps of :class:`skelcon.data.Normalisation`."""

PICTURES = (".png", ".gif", ".mp4")
SourceArgument = Annotated[
    Path,
    typer.Argument(
        exists=True, help="A file or directory in a known layout, or recordings of your own."
    ),
]
PackedArgument = Annotated[Path, typer.Argument(help="The packed data set to write (a directory).")]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help=f"The layout of SOURCE, if it is not detected: {', '.join(FORMATS)}, or a plugin's.",
        show_default=False,
    ),
]
ExcludeOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="A list of clips to leave out, one name per line. Repeatable.",
        show_default=False,
    ),
]
BodiesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many bodies of a clip are kept: those with the most motion.",
        show_default="2; all for an export of skelcon",
    ),
]
BodyOrderOption = Annotated[
    BodyOrder | None,
    typer.Option(
        "--bodies",
        help="Follow bodies over frames and drop phantoms, or take them as each frame lists them.",
        show_default="tracked for raw files of NTU RGB+D, else as-listed",
    ),
]
NormaliseOption = Annotated[
    str | None,
    typer.Option(
        help=f"Steps such as centre,scale, of {', '.join(STEPS)}; or none, or paper (the first "
        "three). Encoders turn centred clips themselves (encoders.orientation); clips in 2D are "
        "never turned.",
        show_default="centre; in 2D centre,scale; none for an export of skelcon",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Read some clips, print how they would be imported, and draw one in OUT.png, which is "
        "replaced if it is there.",
    ),
]
MaxBadOption = Annotated[
    float, typer.Option(min=0, max=1, help="The share of clips that may be skipped.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Number of processes.", show_default="number of cores")
]


@app.command(name="import")
@with_options
def import_(
    source: SourceArgument,
    out: PackedArgument,
    own: OwnOptions,
    family: FormatOption = None,
    exclude: ExcludeOption = None,
    max_bodies: BodiesOption = None,
    bodies: BodyOrderOption = None,
    normalise: NormaliseOption = None,
    max_bad: MaxBadOption = 0.05,
    workers: WorkersOption = None,
    dry: DryRunOption = False,
    plugins: PluginOption = None,
) -> None:
    """Import SOURCE to the packed data set OUT; bad files are skipped, counted and listed.

    SOURCE is in a known layout, or has recordings of your own, described by
    options or by a YAML file beside them:

    \b
    skelcon data import msr_action3d msr --layout msr-action3d \\
        --files 'a{label}_s{subject}_e{take}_skeleton3D.txt' --rows joint \\
        --columns x,y,z,confidence --split subject:odd
    """
    from skelcon.data import import_dataset, summarise
    from skelcon.data.importers.report import read_report
    from skelcon.plugins import load_plugins

    steps = None if normalise is None else _steps(normalise)
    names = _names(exclude or ())
    _check_free(out)
    load_plugins(plugins or ())
    found = source_of(source, family, own)
    _check_same(out, found)
    console = PlainConsole()
    line(console, described(found))
    if dry:
        dry_run(console, found, out)
        return
    with progress_bar(console, "importing") as progress:
        dataset, _ = import_dataset(
            found,
            out,
            steps,
            progress,
            max_bodies=max_bodies,
            bodies=None if bodies is None else bodies.value,
            exclude=names,
            max_bad=max_bad,
            workers=workers,
        )
    report = read_report(out)
    if report is not None:
        view.imported(console, report, out)
    if exclude and report is not None:
        _print_excluded(console, report.excluded, exclude)
    view.summary(console, summarise(dataset))


def _print_excluded(console: PlainConsole, count: int, lists: Sequence[Path]) -> None:
    where = ", ".join(f"'{path}'" for path in lists)
    if count:
        line(console, f"{counted(count, 'clip')} left out, as listed in {where}")
    else:
        line(console, f"warning: no clip of the data is named in {where}")


@app.command()
def info(path: PathArgument, plugins: PluginOption = None, as_json: JsonOption = False) -> None:
    """Describe a data set: clips, classes, subjects, lengths, protocols, fingerprint."""
    from skelcon.data import summarise
    from skelcon.data.importers.report import read_report
    from skelcon.plugins import load_plugins

    load_plugins(plugins or ())
    dataset, source = opened(path)
    report = read_report(dataset.path)
    summary = summarise(dataset)
    if as_json:
        answer = {
            **summary.to_dict(),
            "source": _source_json(source),
            "import": report_json(report),
        }
        typer.echo(json.dumps(answer, indent=1))
        return
    console = PlainConsole()
    view.summary(console, summary, None if source is None else described(source))
    view.skipped(console, report)


app.command()(check)


@app.command()
def show(
    clip: Annotated[str, typer.Argument(help="A clip's name, or its number (from 0).")],
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|.gif|.mp4",
            help="The file to write.",
            show_default="CLIP.png (a strip) and CLIP.gif (an animation) in this directory",
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="How many frames the strip shows.")] = 8,
    plugins: PluginOption = None,
) -> None:
    """Draw a clip: a strip of skeletons (.png), or a short animation (.gif, .mp4)."""
    if out is not None and (out.suffix not in PICTURES or out.is_dir()):
        raise UserError(f"--out '{out}' must be a file that ends in {', '.join(PICTURES)}")
    from skelcon.data.draw import animate, strip
    from skelcon.plugins import load_plugins

    load_plugins(plugins or ())
    dataset = open_data(data, PlainConsole(stderr=True))
    index = index_of(dataset, clip)
    name = dataset.clip_names[index]
    stem = re.sub(r"[^\w.+-]+", "_", name).strip(".")[:100] or str(index)
    files = [Path(f"{stem}.png"), Path(f"{stem}.gif")] if out is None else [out]

    coordinates = dataset.clip(index)
    count = coordinates.shape[1]
    label = dataset.class_names[dataset.labels[index]]
    title = (name, label, counted(count, "frame"))
    done = dataset.normalisation
    for file in files:
        with can_write(file):
            if file.suffix == ".png":
                figure = strip(coordinates, dataset.layout, frames, normalisation=done, title=title)
                figure.savefig(file)
            else:
                animate(coordinates, dataset.layout, file, normalisation=done, title=title)
    written = " and ".join(str(file) for file in files)
    echo(f"{name} ({label}, {title[2]}): {written}")


app.command()(export)
app.command()(layouts)


@app.command()
def synthesize(
    out: PackedArgument,
    subjects: Annotated[int, typer.Option(min=2, help="Number of subjects.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data set.")] = 0,
) -> None:
    """Make synthetic clips by forward kinematics, for trying things out and for tests.

    OUT must not exist yet.
    """
    from skelcon.data import summarise
    from skelcon.data.synthetic import synthesize as make_synthetic

    if _taken(out):
        raise UserError(f"'{out}' exists: choose another name, or remove it first")
    console = PlainConsole()
    with progress_bar(console, "making clips") as progress:
        dataset = make_synthetic(out, subjects=subjects, seed=seed, progress=progress)
    view.summary(console, summarise(dataset))


def _check_free(out: Path) -> None:
    """:class:`UserError` if ``out`` is anything but an older packed data set, which is replaced."""
    if _taken(out) and not (out / "meta.json").is_file():
        raise UserError(f"'{out}' exists and is not a packed data set: choose another name")


def _taken(out: Path) -> bool:
    """Whether ``out`` is anything but an empty directory."""
    return out.exists() and (not out.is_dir() or any(out.iterdir()))


def _check_same(out: Path, source: Source) -> None:
    """:class:`UserError` if ``out`` is a packed data set of another source."""
    from skelcon.data import SkeletonDataset

    try:
        before = SkeletonDataset.open_header(out)
    except UserError:  # none, or a damaged one
        return
    family = source.family if source.record is None else source.record.family
    old = (before.name, before.family, before.layout.name)
    new = (source.name, family, source.layout.name)
    if old != new:
        raise UserError(
            f"'{out}' is the packed data set '{old[0]}' ({old[1]}, {old[2]}), not '{new[0]}' "
            f"({new[1]}, {new[2]}): choose another name, or remove it"
        )


def _steps(text: str) -> Normalisation:
    """The value of ``--normalise``."""
    from skelcon.data import Normalisation

    if text == "paper":
        return Normalisation()
    if text == "none":
        return Normalisation(**dict.fromkeys(Normalisation.model_fields, False))
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in STEPS:
            known = STEPS if len(words) > 1 else (*STEPS, "paper", "none")
            raise UserError(f"--normalise '{text}': unknown step '{word}': {nearest(word, known)}")
    return Normalisation(**{name.replace("-", "_"): name in words for name in STEPS})


def _names(files: Sequence[Path]) -> frozenset[str]:
    """The clips of ``--exclude``. Any line may be a name: the official lists begin with prose."""
    lines: list[str] = []
    for file in files:
        lines += file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return frozenset(name for line in lines if (name := line.strip().removesuffix(".skeleton")))


def index_of(dataset: SkeletonDataset, clip: str) -> int:
    """The number of the clip with that name, or else that number."""
    if clip in dataset.clip_names:
        return dataset.clip_names.index(clip)
    if clip.isdecimal():
        if int(clip) < len(dataset):
            return int(clip)
        raise UserError(
            f"data set '{dataset.name}' has no clip {clip}: valid are 0 to {len(dataset) - 1}"
        )
    hint = nearest(clip, dataset.clip_names)
    raise UserError(f"data set '{dataset.name}' has no clip '{clip}': {hint}")


def _source_json(source: Source | None) -> Json | None:
    if source is None:
        return None
    return {"family": source.family, "title": source.title, "files": len(source.files)}
