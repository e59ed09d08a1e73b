"""The options of ``skelcon data import`` that describe files of no known layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from skelcon.cli.console import can_write
from skelcon.cli.flatten import group, option
from skelcon.cli.terminal import PlainConsole, echo, joined, line
from skelcon.errors import UserError, nearest

if TYPE_CHECKING:
    from skelcon.data import Source

_LABEL = 10


def _keys(texts: Sequence[str]) -> dict[str, str]:
    """The values of ``--key``."""
    out = {}
    for text in texts:
        key, equals, name = text.partition("=")
        if not (equals and key and name):
            raise UserError(f"--key '{text}': give KEY=NAME, such as label=action")
        out[key.strip()] = name.strip()
    return out


@group("Own recordings")
class OwnOptions:
    """Options that describe recordings; a description file has the same keys."""

    describe: Path | None = option(
        None,
        "A description of the files (YAML). Options override it.",
        metavar="FILE.yaml",
        exists=True,
        dir_okay=False,
        show_default="skelcon.yaml in SOURCE, or NAME.yaml beside NAME.npz",
    )
    layout: str | None = option(
        None,
        "The joints: a name (skelcon data layouts lists them) or a YAML file.",
        metavar="NAME|FILE.yaml",
        show_default=False,
    )
    files: str | None = option(
        None,
        "For one file per clip: the pattern of their names, such as a{label}_s{subject}.txt.",
        metavar="PATTERN",
        show_default=False,
    )
    manifest: str | None = option(
        None, "A CSV or Parquet file with one line per clip.", metavar="FILE", show_default=False
    )
    columns: str | None = option(
        None,
        "The numbers of a joint in their order; _ for one that is ignored.",
        metavar="x,y,z,confidence",
        show_default="the coordinates",
    )
    rows: Literal["joint", "frame"] | None = option(
        None, "Whether a line of text has one joint, or all joints of a frame.", show_default=False
    )
    axes: str | None = option(
        None,
        "The axes of arrays, such as NTVC, NMTVC, NCTVM or NT(MVC); without N if each file has one "
        "clip.",
        metavar="LETTERS",
        show_default="the only ones that fit",
    )
    keys: dict[str, str] = option(
        dict,
        "The files' own name for the label, subject, x, ..., such as label=action. Repeatable.",
        "--key",
        parse=_keys,
        repeated=True,
        metavar="KEY=NAME",
        show_default=False,
    )
    unit: Literal["m", "cm", "mm", "px"] | None = option(
        None, "The unit of the coordinates.", show_default="the layout's"
    )
    split: tuple[str, ...] = option(
        tuple,
        "Who trains: subject=1,3,5, subject:odd, group:subject, random:0.5, list:FILE, "
        "column:NAME, or none; NAME=RULE names the protocol. Repeatable.",
        parse=tuple,
        repeated=True,
        metavar="RULE",
        show_default=False,
    )
    missing: Literal["absent", "interpolate", "drop", "reject"] | None = option(
        None,
        "What to do about missing joints (NaN or zeros): leave them absent, interpolate, drop the "
        "frame, or reject the clip.",
        show_default="absent",
    )
    min_confidence: float | None = option(
        None, "Joints with a lower confidence count as missing.", show_default=False
    )
    padding: Literal["zero", "nan", "replay", "lengths"] | None = option(
        None,
        "What follows the end of a clip in an array.",
        show_default="zeros or NaN; with lengths, these",
    )
    skip_rows: int | None = option(
        None, "Lines of text before the numbers, to be skipped.", show_default="0"
    )
    variable: str | None = option(
        None, "The array in a .mat or .npz file of one clip.", show_default="the only one"
    )
    path: str | None = option(
        None,
        "Where the frames are in .json, such as frames.*.joints.",
        metavar="KEYS",
        show_default=False,
    )
    name: str | None = option(
        None, "The data set's name in tables.", show_default="the name of the files"
    )

    @property
    def values(self) -> dict[str, Any]:
        """The options that were given, by the keys of a description."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        del given["describe"]
        return {name: value for name, value in given.items() if value not in (None, {}, ())}


def source_of(path: Path, family: str | None, own: OwnOptions) -> Source:
    """The source at ``path``, as the options describe it, or in a known layout."""
    from skelcon.data import detect
    from skelcon.data.importers.own.description import KINDS
    from skelcon.data.importers.own.finding import described_source, option_of

    values = own.values
    if not values and own.describe is None:
        return detect(path, family)
    if family is not None:
        if family not in KINDS:
            given = option_of(next(iter(values), "describe"))
            raise UserError(
                f"{given} describes recordings of your own, not --format {family}: "
                f"{nearest(family, KINDS)}"
            )
        values["kind"] = family
    found = described_source(path, values, own.describe)
    assert found is not None
    return found


def dry_run(console: PlainConsole, source: Source, out: Path) -> None:
    """Print how the files would be imported, and draw the first clip beside ``out``."""
    from skelcon.data.importers.preview import preview

    found = preview(source)
    for name, text in found.facts:
        for number, row in enumerate(text.splitlines()):
            line(console, joined((f"  {name if not number else '':<{_LABEL}}", "dim"), row))
    if found.first is None:
        echo("nothing was imported: none of the clips that were read is good")
        raise typer.Exit(1)
    from skelcon.data.draw import strip

    picture = out.with_name(f"{out.name}.png")
    clip = found.first
    title = (clip.info.name, source.class_names[clip.info.label])
    with can_write(picture):
        strip(
            clip.coordinates, source.layout, normalisation=source.normalised, title=title
        ).savefig(picture)
    echo(f"nothing was imported; the first clip is drawn in '{picture}'")
