"""How every figure looks, and how it becomes a file.

A figure is as wide as a column (3.3 inches) in 8 pt, the colours are Okabe and Ito's ("Color
Universal Design", 2008), and what has another colour has another marker as well. Text from outside
(labels, names of classes) goes through :func:`plain`. The same figure gives the same bytes: files
hold no date and no version.
"""

from __future__ import annotations

import functools
import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.legend import Legend

from skelcon.errors import UserError, cannot_write, nearest
from skelcon.wholefile import whole_file

WIDTH = 3.3
"""Inches: a column of a page with two."""
FONT, SMALL = 8.0, 7.0
"""Points, of axis labels and of all else; :data:`LEAST` is what dense labels may take."""
LEAST = 6.5
Look = dict[str, Any]
"""How a line is drawn: arguments of ``Axes.plot``."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito's: blue, vermillion, bluish green, reddish purple, orange, sky blue, black, yellow;
the last is hard to see on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
RIGHT, WRONG = "#009E73", "#D55E00"
RIGHT_MARK, WRONG_MARK = "\N{CHECK MARK}", "\N{BALLOT X}"
INK, FAINT = "#000000", "#767676"
HEAT = "Blues"
"""A map of colours that only gets darker: the colour-blind read it as others do."""
UNKNOWN = "\N{WHITE SQUARE}"
"""In place of a letter that no font has."""
FORMATS = ("png", "svg", "pdf")
DPI = 300
_LEGEND = {1: 52, 2: 23, 3: 14}
"""Columns of a legend -> letters of a line."""

_FONT = "DejaVu Sans"  # comes with matplotlib
_FURTHER = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans", "Noto Sans Arabic")
_NOTHING: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_RC: dict[str, Any] = {
    "font.size": FONT,
    "axes.labelsize": FONT,
    "axes.titlesize": FONT,
    "legend.fontsize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.dpi": 150,
    "savefig.dpi": DPI,
    "savefig.facecolor": "white",
    "svg.hashsalt": "skelcon",
    "pdf.fonttype": 42,  # letters that can be searched and edited, as journals ask
}
Arguments = ParamSpec("Arguments")


@functools.cache
def _fonts() -> tuple[str, ...]:
    """The fonts in which letters are looked for; a missing family would be complained of."""
    there = set(font_manager.fontManager.get_font_names())
    return (_FONT, *(name for name in _FURTHER if name in there))


@functools.cache
def _letters() -> frozenset[int]:
    found: set[int] = set()
    for name in _fonts():
        found |= set(FT2Font(font_manager.findfont(name)).get_charmap())
    return frozenset(found)


def styled(function: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Make what ``function`` draws look as this module says, whatever the user's matplotlibrc."""

    @functools.wraps(function)
    def draw(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with _style():
            figure = function(*args, **kwargs)
            figure.draw_without_rendering()  # ticks are made now, and look like the rest
            return figure

    return draw


def _style() -> Any:
    return matplotlib.style.context(["default", {**_RC, "font.family": list(_fonts())}])


def sheet(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, in inches; its parts find their places themselves."""
    return Figure(figsize=(width, height), layout="constrained")


# -- text -------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text from outside as matplotlib prints it: never as a formula, in letters that it has.

    Spaces and ends of lines become one space. All text that a user, a study or a data set chooses
    goes through here.
    """
    known = "".join(
        letter if ord(letter) in _letters() else UNKNOWN for letter in " ".join(text.split())
    )
    return known.replace("$", r"\$")


def folded(text: str, width: int, lines: int = 2) -> str:
    """:func:`plain` text in ``lines`` of ``width`` letters at most; what is left out is an …."""
    rows = textwrap.wrap(" ".join(text.split()), width, max_lines=lines, placeholder="…")
    return "\n".join(map(plain, rows))


def label_rows(axes: Axes, labels: Sequence[str], width: int = 24, size: float = SMALL) -> None:
    """Name the rows 0, 1, ... of ``axes``, the first on top."""
    axes.set_yticks(range(len(labels)), [folded(text, width) for text in labels], fontsize=size)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def row_height(labels: Sequence[str], least: float = 0.2, width: int = 24) -> float:
    """Inches of a row, so that labels of :func:`label_rows` do not collide."""
    tall = max((folded(text, width).count("\n") + 1 for text in labels), default=1)
    return max(least, (1.3 * tall + 0.2) * SMALL / 72)


def legend(
    on: Axes | Figure, handles: Sequence[Artist], labels: Sequence[str], columns: int = 2
) -> Legend | None:
    """A legend below the figure (or inside the axes); a label may begin with anything."""
    if not handles:
        return None
    numbers = [str(number) for number, _ in enumerate(handles)]
    if isinstance(on, Axes):
        made = on.legend(list(handles), numbers, ncols=columns)
    else:
        made = on.legend(list(handles), numbers, ncols=columns, loc="outside lower center")
    for shown, label in zip(made.get_texts(), labels, strict=True):
        # Set afterwards, as matplotlib leaves out what begins with an underscore.
        shown.set_text(folded(label, _LEGEND[min(columns, 3)]))
    return made


def legend_height(labels: Sequence[str], columns: int = 2) -> float:
    """Inches that :func:`legend` takes below a figure."""
    width = _LEGEND[min(columns, 3)]
    tall = [0.05 + 0.12 * (folded(label, width).count("\n") + 1) for label in labels]
    rows = -(-len(tall) // columns)
    return 0.1 + max((sum(tall[at : at + rows]) for at in range(0, len(tall), rows)), default=0)


def distinct(number: int) -> Look:
    """Colour, marker and line of the series ``number``; they repeat together after 56."""
    turn, colour = divmod(number, len(COLOURS) - 1)  # without yellow
    return {
        "color": COLOURS[colour],
        "marker": MARKERS[(colour + turn) % len(MARKERS)],
        "linestyle": LINES[turn % len(LINES)],
    }


# -- files ------------------------------------------------------------------------------------


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in a comma-separated list; :class:`UserError` for an unknown one."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in FORMATS:
            raise UserError(f"unknown format '{name}': {nearest(name, FORMATS)}")
    return names


def encoded(figure: Figure, kind: str, dpi: float = DPI) -> bytes:
    """What a file of ``figure`` in the format ``kind`` holds; ``dpi`` is of pixels."""
    content = io.BytesIO()
    with _style():
        figure.savefig(content, format=kind, dpi=dpi, metadata=_NOTHING[kind])
    return content.getvalue()


def save(figure: Figure, directory: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Write ``directory/name.<format>``, each whole or not at all; the same figure, the same bytes.

    Raises:
        UserError: if it cannot be written.
    """
    written = []
    for kind in formats:
        path, content = directory / f"{name}.{kind}", encoded(figure, kind)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                file.write(content)
        except OSError as error:
            raise cannot_write(path, error) from None
        written.append(path)
    return written
