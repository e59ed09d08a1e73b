"""``skelcon data layouts``: which skeleton layouts there are, and one of them as YAML."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelcon.cli.console import can_write
from skelcon.cli.options import JsonOption, PluginOption
from skelcon.cli.terminal import PlainConsole, echo, line
from skelcon.errors import UserError

if TYPE_CHECKING:
    from skelcon.data import SkeletonLayout

PICTURES = (".png", ".svg", ".pdf")


def layouts(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A layout's name, or the path of a YAML file, to print as YAML.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|.svg|.pdf",
            help="Draw the skeleton of NAME, with the numbers and names of its joints.",
            show_default=False,
        ),
    ] = None,
    plugins: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the skeleton layouts, or print one as YAML.

    What is printed is a valid layout file. To describe a skeleton of your own,
    change a copy:

    \b
    skelcon data layouts coco-17 > mine.yaml
    skelcon data layouts mine.yaml --out mine.png
    """
    from skelcon.data import LAYOUTS, layout_from
    from skelcon.data.layouts import plain, to_yaml
    from skelcon.plugins import load_plugins

    load_plugins(plugins or ())
    if name is not None:
        layout = layout_from(name)
        if out is not None:
            _draw(layout, out)
        elif as_json:
            echo(json.dumps(plain(layout), indent=1))
        else:
            echo(_sides(layout))
            echo(to_yaml(layout).rstrip())
        return
    if out is not None:
        raise UserError(f"--out '{out}': name the layout to draw: {', '.join(LAYOUTS)}")
    if as_json:
        echo(json.dumps([plain(each) for each in LAYOUTS.values()], indent=1))
        return
    console = PlainConsole()
    width = max(map(len, LAYOUTS))
    for each in LAYOUTS.values():
        size = f"{each.num_joints:3} joints, {each.dimensions}D, {each.unit:>2}, {each.up:>2} up"
        line(console, f"{each.name:{width}}  {size}  {each.title}".rstrip())


def _sides(layout: SkeletonLayout) -> str:
    """The pairs of left and right joints, as a comment of YAML."""
    pairs = [
        f"[{layout.joints[left]}, {layout.joints[right]}]"
        for left, right in enumerate(layout.mirrored)
        if left != right and layout.side(left) == 0
    ]
    text = f"left and right: {', '.join(pairs)}"
    if not pairs:
        text = "no joint is left or right: if the body has sides, add mirror: [[left, right], ...]"
    rows = textwrap.wrap(text, 76, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {row}" for row in rows)


def _draw(layout: SkeletonLayout, out: Path) -> None:
    if out.suffix not in PICTURES:
        raise UserError(f"--out '{out}' must be a file that ends in {', '.join(PICTURES)}")
    from skelcon.data.draw_layout import picture

    with can_write(out):
        picture(layout).savefig(out)
    echo(f"{layout.name} ({layout.num_joints} joints): {out}")
