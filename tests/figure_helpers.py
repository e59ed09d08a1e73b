"""What a reader of a figure sees, read back from its artists."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from skelcon.figures import style

GREYS = {"#767676", "#dddddd", "#eeeeee", "#ffffff"}
PALETTE = {colour.lower() for colour in style.COLOURS} | GREYS


def tick_labels(axes: Axes, which: str) -> list[Text]:
    """Those that are drawn: at places within the axes."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if not axes.axison:
        return []
    low, high = sorted(axis.get_view_interval())
    slack = 1e-6 * (high - low)
    ticks = [
        tick for tick in axis.get_major_ticks() if low - slack <= tick.get_loc() <= high + slack
    ]
    return [tick.label1 for tick in ticks if tick.label1.get_text() and tick.label1.get_visible()]


def texts(figure: Figure) -> list[Text]:
    """All other text."""
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += axes.texts
        found += [axes.title, *(getattr(axes, f"_{side}_title") for side in ("left", "right"))]
        if axes.axison:
            found += [axes.xaxis.label, axes.yaxis.label]
        if (legend := axes.get_legend()) is not None:
            found += legend.get_texts()
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def check_legible(figure: Figure) -> None:
    """As wide as a column; no letter too small or cut off; no two tick labels on each other."""
    figure.savefig(io.BytesIO(), format="png", dpi="figure")
    assert figure.get_size_inches()[0] == style.WIDTH
    printed = texts(figure)
    for axes, which in itertools.product(figure.axes, "xy"):
        labels = tick_labels(axes, which)
        check_apart(labels)
        printed += labels
    for legend in figure.legends:
        check_apart(legend.get_texts())
    width, height = figure.get_size_inches() * figure.dpi
    for text in printed:
        assert text.get_fontsize() >= style.LEAST, text.get_text()
        box = text.get_window_extent()
        inside = min(box.x0, box.y0) >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, (text.get_text(), box, width, height)


def check_apart(printed: list[Text]) -> None:
    """No two of these are on each other."""
    boxes = [text.get_window_extent() for text in printed]
    for one, other in itertools.combinations(range(len(printed)), 2):
        message = printed[one].get_text(), printed[other].get_text()
        assert not boxes[one].overlaps(boxes[other]), message


def colours(figure: Figure) -> set[str]:
    """Of all lines and their markers, bands and bars."""
    found: set[str] = set()
    for axes in figure.axes:
        for line in axes.lines:
            found |= {to_hex(line.get_color()), to_hex(line.get_markerfacecolor())}
        for collection in axes.collections:
            if isinstance(collection, QuadMesh):  # of a map of colours
                continue
            found |= {to_hex(colour) for colour in collection.get_facecolor()}
            found |= {to_hex(colour) for colour in collection.get_edgecolor()}
    return found


def points(axes: Axes, colour: str) -> set[tuple[float, float]]:
    """The marked points of one colour, rounded."""
    found = set()
    for line in axes.lines:
        if to_hex(line.get_color()) == colour.lower() and line.get_marker() not in (None, "None"):
            data = np.round(np.asarray(line.get_xydata(), float), 3)
            found |= {(float(x), float(y)) for x, y in data}
    return found


def files_of(figure: Figure, folder: Path, name: str = "figure") -> dict[str, bytes]:
    """What each format holds."""
    written = style.save(figure, folder, name, style.FORMATS)
    return {path.suffix[1:]: path.read_bytes() for path in written}
