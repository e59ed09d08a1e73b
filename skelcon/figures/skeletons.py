"""Strips of skeletons, one below the other, at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from skelcon.data import SkeletonLayout
from skelcon.data.draw import draw_frame
from skelcon.figures import style

FRAMES = 7
"""Pictures of a strip."""
_GAP = 0.15
"""Metres between two pictures, and above and below a strip."""
_LEAST = 0.6
"""Metres that a picture takes at least."""
_TALLEST = 0.85
"""Inches of a strip, at most."""
_TITLE = 0.2
"""Inches of the line above a strip."""


@dataclass(frozen=True)
class Strip:
    """A clip, or a view of one.

    Attributes:
        title: the text above it.
        points: (M, T, V, 2) metres, as `skelcon.data.draw.View` has them.
        colour: of its title and of a frame around it; None for no frame.
        marked: joints with a ring, as an augmentation has moved them.
        spans: (first, last, colour) of frames that a bar below the pictures shows.
    """

    title: str
    points: NDArray[np.float64]
    colour: str | None = None
    marked: tuple[int, ...] = ()
    spans: tuple[tuple[float, float, str], ...] = ()

    def chosen(self) -> NDArray[np.int64]:
        """The frames that are drawn, from the first to the last."""
        return np.linspace(0, self.points.shape[1] - 1, FRAMES).round().astype(int)


@style.styled
def stacked(strips: Sequence[Strip], layout: SkeletonLayout) -> Figure:
    """The strips as one figure; each picture is centred."""
    pictures = [[_centred(strip.points[:, at]) for at in strip.chosen()] for strip in strips]
    ends = [_ends(row) for row in pictures]
    heights = [high[1] - low[1] + 2 * _GAP for low, high in ends]
    cell = max([_LEAST, *(high[0] - low[0] + _GAP for low, high in ends)])
    width = style.WIDTH - 0.1
    scale = min(width / (FRAMES * cell), _TALLEST / max(heights))
    cell = width / (FRAMES * scale)
    extra = [
        _TITLE + 0.09 * len(strip.spans) + (0.0 if strip.colour is None else 0.05)
        for strip in strips
    ]
    tall = sum(heights) * scale + sum(extra) + 0.05
    figure = Figure(figsize=(style.WIDTH, tall))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    margin = 0.05 / scale
    axes.set_xlim(-cell / 2 - margin, (FRAMES - 0.5) * cell + margin)
    axes.set_ylim(0, tall / scale)
    top = tall / scale - 0.05 / scale
    for strip, row, (low, _), height, more in zip(
        strips, pictures, ends, heights, extra, strict=True
    ):
        colour = strip.colour or style.INK
        left = -cell / 2
        axes.text(left, top, style.plain(strip.title), va="top", color=colour, fontsize=style.SMALL)
        base = top - _TITLE / scale - height
        if strip.colour is not None:
            frame = Rectangle((left, base), FRAMES * cell, height, fill=False, lw=1, ec=colour)
            axes.add_patch(frame)
        for number, points in enumerate(row):
            moved = points + np.array([number * cell, base + _GAP - low[1]])
            draw_frame(axes, moved, layout, scale)
            _ring(axes, moved[0], strip.marked)
        _bars(axes, strip, base, scale, cell)
        top -= height + more / scale
    return figure


def _ring(axes: Axes, points: NDArray[np.float64], joints: Sequence[int]) -> None:
    if len(joints):
        there = points[list(joints)]
        axes.scatter(
            there[:, 0], there[:, 1], s=5, facecolors="none", edgecolors=style.INK, lw=0.5, zorder=3
        )


def _bars(axes: Axes, strip: Strip, base: float, scale: float, cell: float) -> None:
    """Below the pictures, which part of the clip each span is."""
    last = max(1, strip.points.shape[1] - 1)
    for number, (first, end, colour) in enumerate(strip.spans):
        across = np.array([first, end]) / last * (FRAMES - 1) * cell
        down = base - (0.02 + 0.09 * number) / scale
        axes.plot(across, [down, down], color=colour, lw=3, solid_capstyle="butt")


def _centred(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, V, 2) with the middle of what is there at zero, from left to right."""
    known = points[~np.isnan(points[..., 0]), 0]
    middle = (known.min() + known.max()) / 2 if len(known) else 0.0
    centred: NDArray[np.float64] = points - np.array([middle, 0.0])
    return centred


def _ends(row: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The corners of all pictures of a strip, laid on each other."""
    known = np.concatenate([points[~np.isnan(points[..., 0])] for points in row])
    if not len(known):
        return np.zeros(2), np.ones(2)
    return known.min(axis=0), known.max(axis=0)
