"""Test clips and their nearest training clips as skeletons (Figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ablation.figures.asked import Asked
from skelcon.data import SkeletonDataset, SkeletonLayout
from skelcon.data.draw import draw_frame, seen
from skelcon.figures import style

QUERIES, NEAREST, SEED = 5, 4, 0
TIMES = (0.2, 0.5, 0.8)
"""Fractions of a clip at which it is drawn."""
_MARK = 0.07
"""Inches at the top of a box that are kept free for the mark."""
_SPACING = 0.62
"""Metres between two pictures of a clip."""


@dataclass(frozen=True)
class Shown:
    """A clip: its class, and its skeleton (M, T, V, 2) as `skelcon.data.draw.View` has it."""

    label: str
    points: NDArray[np.float64]


def of_results(asked: Asked) -> Figure:
    """The nearest clips of random test clips, one of each class; they are not hand-picked."""
    _ = asked.frames  # asked before torch is imported
    from ablation.figures.encoders import evaluation_with_data, features_of
    from skelcon.downstream import nearest_clips

    unit, dataset, name = evaluation_with_data(asked)
    gallery, tested = unit.side.clips(dataset), unit.side.clips(dataset, unit.test)
    rng = np.random.default_rng(SEED)
    labels = rng.permutation(np.unique(dataset.labels[tested]))[:QUERIES]
    queries = np.array([rng.choice(tested[dataset.labels[tested] == label]) for label in labels])
    features = features_of(unit, asked.store, dataset, np.concatenate([queries, gallery]))
    rows = []
    for number, query in enumerate(queries):
        near, _ = nearest_clips(features[number], features[len(queries) :], NEAREST)
        rows.append([_shown(dataset, int(clip)) for clip in (query, *gallery[near])])
    return strips(rows, dataset.layout, name)


def _shown(dataset: SkeletonDataset, clip: int) -> Shown:
    view = seen(dataset.clip(clip), dataset.layout, dataset.normalisation)
    return Shown(dataset.class_names[dataset.labels[clip]], view.points)


@style.styled
def strips(rows: Sequence[Sequence[Shown]], layout: SkeletonLayout, name: str) -> Figure:
    """A query at the left of each row and its nearest clips in order, framed by right or wrong.

    Args:
        rows: the query, then its nearest clips.
        layout: their skeleton.
        name: the label of the cell whose features are used.
    """
    across = max(len(row) for row in rows)
    cell, tall, foot, head = (style.WIDTH - 0.04) / across, 0.66, 0.29, 0.2
    height = head + len(rows) * (tall + foot)
    figure = Figure(figsize=(style.WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-0.02, style.WIDTH - 0.02)
    axes.set_ylim(0, height)
    axes.text(0.02, height - 0.04, "query", va="top", fontsize=style.SMALL)
    text = style.folded(f"nearest in {name}", 42, 1)
    axes.text(cell + 0.02, height - 0.04, text, va="top", fontsize=style.SMALL)
    for number, row in enumerate(rows):
        bottom = height - head - (number + 1) * (tall + foot) + foot
        for place, shown in enumerate(row):
            corner = (place * cell + 0.02, bottom)
            right = shown.label == row[0].label
            colour = style.INK if not place else style.RIGHT if right else style.WRONG
            mark = "" if not place else style.RIGHT_MARK if right else style.WRONG_MARK
            _picture(axes, shown, layout, corner, (cell - 0.04, tall))
            box = Rectangle(corner, cell - 0.04, tall, fill=False, ec=colour, lw=1.2)
            axes.add_patch(box)
            label = style.folded(shown.label, 11, 2)
            x, y = corner[0] + 0.01, bottom - 0.02
            axes.text(x, y, label, va="top", fontsize=style.LEAST, linespacing=0.95)
            x, y = corner[0] + cell - 0.06, bottom + tall - 0.02
            axes.text(x, y, mark, ha="right", va="top", color=colour, fontsize=style.FONT)
    return figure


def _picture(
    axes: Axes,
    shown: Shown,
    layout: SkeletonLayout,
    corner: tuple[float, float],
    size: tuple[float, float],
) -> None:
    """Draw a clip at three times side by side, as large as fits in the box (in inches)."""
    count = shown.points.shape[1]
    chosen = [round(time * (count - 1)) for time in TIMES]
    pictures = []
    for number, at in enumerate(chosen):
        points = shown.points[:, at]
        known = points[~np.isnan(points[..., 0])]
        across = np.median(known[:, 0]) if len(known) else 0.0
        pictures.append(points + np.array([number * _SPACING - across, 0.0]))
    together = np.stack(pictures)
    known = together[~np.isnan(together[..., 0])]
    if not len(known):
        return
    low, high = known.min(axis=0), known.max(axis=0)
    room = np.array(size) - np.array([0.1, 2 * _MARK])
    scale = float(min(room / np.maximum(high - low, 0.3)))
    middle = np.array([size[0] / 2, (size[1] - _MARK) / 2])
    shift = np.array(corner) + middle - scale * (low + high) / 2
    for points in pictures:
        draw_frame(axes, scale * points + shift, layout, scale)
