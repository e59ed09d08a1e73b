"""The options of a table: which metric it shows, its files, its style and its name."""

from __future__ import annotations

from dataclasses import field

from ablation.cli.options import FORMATS, RunOutputOptions
from ablation.cli.parsing import parse_name
from ablation.report.style import Notes, Reference, TableStyle
from skelcon.cli.flatten import group, option


@group("Table")
class StyleOptions(TableStyle):
    """How the table is printed."""

    caption: str | None = option(
        None,
        "Replaces the generated caption, which becomes the first note.",
        metavar="TEXT",
    )
    label: str | None = option(
        None, "The label in table.tex.", metavar="TEXT", show_default="tab:STUDY"
    )
    digits: int = option(1, "Decimals of the measured numbers.", min=0, max=6)
    reference: Reference | None = option(
        None,
        "Where the paper's values are printed: in parentheses beside the measured ones, in columns "
        "of their own, or only in table.csv and table.json.",
        show_default="own-column if they are for the same data, protocol and scale, else hide",
    )
    delta: str | None = option(
        None, "Print each cell's difference to this row as well.", metavar="ROW"
    )
    notes: Notes = option(
        "full",
        "short: only notes without which the numbers would be misread.",
        show_default=True,
    )
    standalone: bool = option(
        False, "Make table.tex a document that compiles by itself.", "--standalone"
    )


@group("Table")
class FormatOptions:
    """The metric of a table (the study's if None), its files (all if None) and its style."""

    metric: str | None = option(
        None,
        "Which metric is printed: top1, nn_top1 (a nearest neighbour on the same features) or "
        "another of the task. cells.csv has them all.",
        metavar="NAME",
        show_default="the study's, else top1",
    )
    formats: tuple[str, ...] | None = option(
        None,
        FORMATS,
        "--format",
        metavar="NAME[,NAME]",
        show_default="csv,latex,markdown,json",
        parse="ablation.report.export:parse_formats",
    )
    style: StyleOptions = field(default_factory=StyleOptions)


@group("Output")
class OutputOptions(FormatOptions, RunOutputOptions):
    """How a table looks, and its name."""

    name: str | None = option(
        None,
        "The table's name, and its directory in the results. More seeds or rows extend a table.",
        metavar="NAME",
        show_default="the study's; with what differs, if data or settings do",
        parse=parse_name,
    )
