"""A clip as a picture: a strip of skeletons, or a short animation.

Seen from the front: x to the right, up is up. Up is the layout's axis, and z where the spine was
turned to z. With the Kinect's x a performer's right hand is on the right, as in a mirror; with an
image's x it is on the left. Coordinates that cannot be metres of a person, such as pixels, are
scaled to the size of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from skelcon.data.layouts import SkeletonLayout
from skelcon.data.layouts.layout import LEFT, MIDDLE, RIGHT
from skelcon.data.normalise import Normalisation
from skelcon.errors import UserError

FRAMES_PER_SECOND = 30
"""Of all sensors whose recordings are imported."""
MOST_PICTURES = 150
"""Of an animation; a longer clip shows every second frame, or every third, at the same speed."""
ANIMATIONS = (".gif", ".mp4")

_SMALL = 0.6
"""Inches a metre, below which joints other than the head are not to be seen beside their bones."""
_DPI = 110
_UP = {"y": (1, 1), "-y": (1, -1), "z": (2, 1), "-z": (2, -1)}
_PERSON, _TALL = (0.3, 4.0), 1.7
"""Metres that a person may measure from end to end, crouching or reaching up; and standing."""
_INK, _FAINT = "#2b2b2b", "#8c8c8c"
# Left, right and trunk of the first body, then of the second (and of any more, in turns).
COLOURS = (("#2166ac", "#d6604d", "#404040"), ("#8dbbdd", "#f2b49f", "#ababab"))


class View(NamedTuple):
    """A clip on paper.

    Attributes:
        points: (M, T, V, 2) metres to the right and up; NaN where a joint is missing. Bodies that
            are never present are left out.
        low, high: (2,) corners of all that is drawn.
        metre: how long a metre is in the clip's coordinates.
    """

    points: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    metre: float


def seen(
    clip: NDArray[np.floating],
    layout: SkeletonLayout,
    done: Normalisation,
    metre: float | None = None,
) -> View:
    """A clip (M, T, V, 3) from the front.

    Args:
        clip: its coordinates.
        layout: its skeleton.
        done: what was done to the coordinates.
        metre: how long a metre is in them; by default estimated from the size of its bodies.
    """
    values = np.asarray(clip, np.float64)
    values = values[np.any(values != 0, axis=(1, 2, 3))]
    there = np.any(values != 0, axis=-1)
    if done.centre and len(there):
        # the main body's centre joint is at zero, which does not mean that it is missing
        there[0][:, layout.at_origin] |= there[0].any(axis=-1)[:, None]
    axis, sign = _UP["z" if done.spine_to_z else layout.up]
    points = np.where(there[..., None], values[..., [0, axis]] * (1, sign), np.nan)
    if not there.any():
        return View(points, np.zeros(2), np.ones(2), 1.0)
    if metre is None:
        metre = _metre(points, there)
    points /= metre
    corners = points[there]
    return View(points, corners.min(axis=0), corners.max(axis=0), metre)


def _metre(points: NDArray[np.float64], there: NDArray[np.bool_]) -> float:
    """The length of a metre in the bodies' unit, estimated.

    1 if the size of the bodies (M, T, V, 2) is plausible in metres; else a value with which they
    are ``_TALL`` metres tall.
    """
    low, high = (
        ends(np.where(there[..., None], points, value), axis=2)
        for ends, value in ((np.min, np.inf), (np.max, -np.inf))
    )
    sizes = (high - low)[there.any(axis=2)].max(axis=-1)
    size = float(np.median(sizes))
    return 1.0 if _PERSON[0] <= size <= _PERSON[1] or size == 0 else size / _TALL


def lines(layout: SkeletonLayout) -> list[tuple[int, int]]:
    """The bones, and where a mean of two joints stands for one the line between these two."""
    points = (layout.centre, *layout.spine, *layout.shoulders)
    pairs = dict.fromkeys(tuple(p) for p in points if not isinstance(p, int) and len(p) == 2)
    return [*layout.bones, *((one, other) for one, other in pairs)]


def strip(
    clip: NDArray[np.floating],
    layout: SkeletonLayout,
    frames: int = 8,
    *,
    normalisation: Normalisation,
    title: Sequence[str] = (),
) -> Figure:
    """Frames of a clip side by side, evenly spaced from the first to the last.

    Args:
        clip: (M, T, V, 3).
        layout: its skeleton.
        frames: how many are drawn; all of a clip that has fewer.
        normalisation: what was done to the coordinates; it decides which axis is up.
        title: the clip's name, and further texts to print after it.
    """
    view = seen(clip, layout, normalisation)
    count = view.points.shape[1]
    chosen = np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(int))
    # Every picture is as wide as the widest, around its own middle: a walking body stays inside.
    shown = [view.points[:, at].reshape(-1, 2) for at in chosen]
    ends = [points[~np.isnan(points[:, 0]), 0] for points in shown]
    middles = [(each.min() + each.max()) / 2 if len(each) else 0.0 for each in ends]
    width = max([0.9, *(np.ptp(each) + 0.3 for each in ends if len(each))])
    height = max(0.9, view.high[1] - view.low[1] + 0.2)
    scale = min(2.3 / height, 16 / (width * len(chosen)))  # inches a metre
    columns, rows = scale * width, scale * height
    inches, figure = _sheet((columns * len(chosen), rows), title, len(view.points))
    left = (inches[0] - columns * len(chosen)) / 2
    for number, (at, middle) in enumerate(zip(chosen, middles, strict=True)):
        place = (left + number * columns, 0.35, columns, rows)
        axes = _axes(
            figure, inches, place, (middle - width / 2, view.low[1] - 0.1), (width, height)
        )
        draw_frame(axes, view.points[:, at], layout, scale)
        figure.text(
            (place[0] + columns / 2) / inches[0],
            0.13 / inches[1],
            str(at + 1),
            ha="center",
            fontsize=8,
            color=_FAINT,
        )
    return figure


def animate(
    clip: NDArray[np.floating],
    layout: SkeletonLayout,
    out: Path,
    *,
    normalisation: Normalisation,
    title: Sequence[str] = (),
) -> None:
    """Write the clip as an animation to ``out``; arguments as :func:`strip`.

    Raises:
        UserError: if ``out`` ends neither in .gif nor in .mp4, or ffmpeg is needed and missing.
    """
    view = seen(clip, layout, normalisation)
    count = view.points.shape[1]
    step = math.ceil(count / MOST_PICTURES)
    size = np.maximum(view.high - view.low + 0.3, (1.2, 0.9))
    corner = (view.low + view.high) / 2 - size / 2
    scale = min(3.0 / size[1], 6.0 / size[0])
    width, height = scale * size
    inches, figure = _sheet((width, height), title, len(view.points))
    place = ((inches[0] - width) / 2, 0.35, width, height)
    axes = _axes(figure, inches, place, (corner[0], corner[1]), (size[0], size[1]))
    number = figure.text(0.5, 0.13 / inches[1], "", ha="center", fontsize=8, color=_FAINT)
    writer = _writer(out, FRAMES_PER_SECOND / step)
    draft = out.with_name(f".draft.{out.name}")
    _freeze(figure, number)
    try:
        with writer.saving(figure, str(draft), _DPI):
            for at in range(0, count, step):
                artists = draw_frame(axes, view.points[:, at], layout, scale)
                number.set_text(f"{at + 1} of {count}")
                writer.grab_frame()
                for artist in artists:
                    artist.remove()
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _writer(out: Path, rate: float) -> AbstractMovieWriter:
    if out.suffix == ".gif":
        return PillowWriter(fps=rate)  # type: ignore[arg-type]
    if out.suffix != ".mp4":
        raise UserError(f"'{out}' must end in {' or '.join(ANIMATIONS)}")
    if not FFMpegWriter.isAvailable():
        raise UserError(
            f"'{out}': an .mp4 needs ffmpeg, which is not installed; install it, or choose .gif"
        )
    return FFMpegWriter(fps=rate)  # type: ignore[arg-type]


def _axes(
    figure: Figure,
    inches: tuple[float, float],
    place: tuple[float, float, float, float],
    corner: tuple[float, float],
    size: tuple[float, float],
) -> Axes:
    """An empty field at ``place`` (left, bottom, width, height; inches) that shows these metres."""
    left, bottom, width, height = place
    axes = figure.add_axes(
        (left / inches[0], bottom / inches[1], width / inches[0], height / inches[1])
    )
    axes.set_xlim(corner[0], corner[0] + size[0])
    axes.set_ylim(corner[1], corner[1] + size[1])
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


def _sheet(
    picture: tuple[float, float], title: Sequence[str], bodies: int
) -> tuple[tuple[float, float], Figure]:
    """A figure with a head, and a foot for numbers; as wide as the picture and the head need."""
    figure = Figure(dpi=_DPI, facecolor="white")
    lines: list[list[Text]] = [[], []]
    for number, text in enumerate(title):
        lines[0].append(
            figure.text(
                0,
                0,
                text,
                va="center",
                parse_math=False,
                fontsize=9 if number else 10,
                fontweight="normal" if number else "bold",
                color=_INK if number < 2 else _FAINT,
            )
        )
    words = [("left", 0, 0), ("right", 0, 1)]
    if bodies > 1:
        words += [("second body:", 1, 2), ("left", 1, 0), ("right", 1, 1)]
    for text, body, side in words:
        lines[1].append(figure.text(0, 0, text, va="center", fontsize=8, color=COLOURS[body][side]))
    gap, margin = 0.11, 0.15
    widths = [[text.get_window_extent().width / _DPI + gap for text in line] for line in lines]
    wide = max(picture[0], *(sum(line) - gap + 2 * margin for line in widths))
    # A film's sides must be even numbers of pixels.
    pixels = [2 * math.ceil(_DPI * each / 2) for each in (wide, picture[1] + 0.95)]
    inches = pixels[0] / _DPI, pixels[1] / _DPI
    figure.set_size_inches(inches)
    for texts, spans, down in zip(lines, widths, (0.24, 0.46), strict=True):
        at = margin
        for shown, span in zip(texts, spans, strict=True):
            shown.set_position((at / inches[0], 1 - down / inches[1]))
            at += span
    return inches, figure


def _freeze(figure: Figure, number: Text) -> None:
    """All texts but ``number`` become one image: to draw letters takes longer than skeletons."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.figimage(np.array(canvas.buffer_rgba()), zorder=-1)
    for text in figure.texts:
        text.set_visible(text is number)


def _side(layout: SkeletonLayout, *joints: int) -> int:
    sides = {layout.side(joint) for joint in joints}
    return MIDDLE if {LEFT, RIGHT} <= sides else min(sides)


def draw_frame(
    axes: Axes,
    points: NDArray[np.float64],
    layout: SkeletonLayout,
    scale: float,
    colours: Sequence[tuple[str, str, str]] = COLOURS,
) -> list[Artist]:
    """One frame (M, V, 2), the first body in front; what was added is given back.

    Args:
        axes: that are as wide as they are high, in metres.
        points: as :class:`View` has them.
        layout: the skeleton.
        scale: inches a metre, by which lines are made thick.
        colours: left, right and trunk of each body, in turns.
    """
    artists: list[Artist] = []
    bones = sorted(lines(layout), key=lambda bone: -_side(layout, *bone))  # limbs before the trunk
    width = min(3.2, 1.7 * scale + 0.4)
    for body in reversed(range(len(points))):
        own = colours[body % len(colours)]
        known = ~np.isnan(points[body, :, 0])
        drawn = [bone for bone in bones if known[list(bone)].all()]
        artists.append(
            axes.add_collection(
                LineCollection(
                    [points[body, list(bone)] for bone in drawn],
                    colors=[own[_side(layout, *bone)] for bone in drawn],
                    linewidths=width,
                    capstyle="round",
                    clip_on=False,
                    zorder=2 - body / 100,
                )
            )
        )
        joints: list[int] = np.flatnonzero(known).tolist()
        if scale < _SMALL:
            joints = [joint for joint in joints if joint == layout.head]
        heads = np.array([joint == layout.head for joint in joints], bool)
        artists.append(
            axes.scatter(
                points[body, joints, 0],
                points[body, joints, 1],
                s=np.where(heads, 14 * width**2, 1.3 * width**2),
                c=[own[_side(layout, joint)] for joint in joints],
                linewidths=0,
                clip_on=False,
                zorder=2.005 - body / 100,
            )
        )
    return artists
