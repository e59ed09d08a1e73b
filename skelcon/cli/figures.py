"""``skelcon figures``: what the augmentations do to a clip, as figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skelcon.cli.data import index_of
from skelcon.cli.opening import open_data
from skelcon.cli.options import DataOption, PluginOption
from skelcon.cli.terminal import PlainConsole, echo
from skelcon.errors import UserError, nearest


def figures(
    clip: Annotated[str, typer.Argument(help="A clip's name, or its number (from 0).")],
    data: DataOption = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Where the files are written.")
    ] = Path("figures"),
    only: Annotated[
        str, typer.Option(metavar="NAME[,NAME]", help="Which augmentations.")
    ] = "pose,jitter,crop",
    formats: Annotated[
        str, typer.Option("--format", metavar="NAME[,NAME]", help="Some of png, svg and pdf.")
    ] = "png,svg,pdf",
    seed: Annotated[int, typer.Option(min=0, help="The seed of the augmentations.")] = 0,
    plugins: PluginOption = None,
) -> None:
    """Draw what augmentations do to a clip (Figures 2, 3 and 4 of the paper).

    \b
    pose     two sheared views (eq. 1)
    jitter   two views with jittered joints (eq. 2)
    crop     two parts, resized to one length (eq. 3)

    With --only also flip, rotation, axis_mask, gaussian_noise, gaussian_blur,
    joint_mask, temporal_mask, reverse and speed, two views each.
    """
    from skelcon.figures import style
    from skelcon.figures.augmentations import FIGURES
    from skelcon.plugins import load_plugins

    kinds = style.parse_formats(formats)
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in FIGURES:
            raise UserError(f"--only {name}: {nearest(name, FIGURES)}")
    load_plugins(plugins or ())
    dataset = open_data(data, PlainConsole(stderr=True))
    index = index_of(dataset, clip)
    for name in names:
        written = style.save(FIGURES[name](dataset, index, seed), out, name, kinds)
        echo(f"{name}: {', '.join(map(str, written))}")
