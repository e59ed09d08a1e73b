"""``skelcon data layouts``: which skeleton layouts there are, and one of them as YAML."""

from __future__ import annotations

from typing import Annotated

import typer

from skelcon.cli.options import PluginOption
from skelcon.cli.terminal import PlainConsole, echo, line


def layouts(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A layout's name, or the path of a YAML file, to print as YAML.",
            show_default=False,
        ),
    ] = None,
    plugins: PluginOption = None,
) -> None:
    """List the skeleton layouts, or print one as YAML.

    What is printed is a valid layout file. To describe a skeleton of your own,
    change a copy:

    \b
    skelcon data layouts coco-17 > mine.yaml
    skelcon data layouts mine.yaml
    """
    from skelcon.data import LAYOUTS, layout_from
    from skelcon.data.layouts import to_yaml
    from skelcon.plugins import load_plugins

    load_plugins(plugins or ())
    if name is not None:
        echo(to_yaml(layout_from(name)).rstrip())
        return
    console = PlainConsole()
    width = max(map(len, LAYOUTS))
    for each in LAYOUTS.values():
        size = f"{each.num_joints:3} joints, {each.dimensions}D, {each.unit:>2}, {each.up:>2} up"
        line(console, f"{each.name:{width}}  {size}  {each.title}".rstrip())
