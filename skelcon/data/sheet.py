"""A contact sheet of the worst clips of a data set: skeletons, names, and what is wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skelcon.data.checks import Findings
from skelcon.data.dataset import SkeletonDataset
from skelcon.data.draw import draw_frame, seen
from skelcon.data.importers.parts import FARTHEST
from skelcon.printable import printable

COLUMNS, MOST = 4, 16
_FRAMES = 3
"""The frame where it can be seen, between its neighbours."""
_WIDE, _HIGH, _HEAD = 2.7, 2.1, 0.5
"""Inches of a picture, and of the lines above it."""
_PEN = 0.9
_LONGEST = 34
_STATES = {"error": "#b2182b", "note": "#b35806", "ok": "#1b7837"}


class _Shown(NamedTuple):
    clip: int
    frame: int
    state: str
    what: str


def contact_sheet(dataset: SkeletonDataset, findings: Findings) -> Figure:
    """Up to 16 clips, three frames of each; errors first, and of each finding the worst first.

    Where no finding has a clip some evenly spaced ones are drawn, so that they can be looked at.

    Args:
        dataset: the data set.
        findings: what :func:`check_dataset` found in it.
    """
    shown = _chosen(dataset, findings)
    rows = -(-len(shown) // COLUMNS)
    wide, high = COLUMNS * _WIDE, rows * (_HIGH + _HEAD) + 0.1
    figure = Figure((wide, high), dpi=110, facecolor="white")
    for number, each in enumerate(shown):
        left = number % COLUMNS * _WIDE
        bottom = high - (number // COLUMNS + 1) * (_HIGH + _HEAD)
        axes = figure.add_axes((left / wide, bottom / high, _WIDE / wide, _HIGH / high))
        axes.set_axis_off()
        axes.set_aspect("equal")
        _draw(axes, dataset, each)
        lines = (
            (dataset.clip_names[each.clip], "bold", "#2b2b2b"),
            (f"{each.what}, frame {each.frame + 1}", "normal", _STATES[each.state]),
        )
        for line, (text, weight, colour) in enumerate(lines):
            figure.text(
                (left + _WIDE / 2) / wide,
                (bottom + _HIGH + 0.3 - 0.17 * line) / high,
                _cut(text),
                ha="center",
                va="center",
                fontsize=8,
                fontweight=weight,
                color=colour,
                parse_math=False,
            )
    return figure


def _chosen(dataset: SkeletonDataset, findings: Findings) -> list[_Shown]:
    """One clip of each finding, then the second of each, and so on."""
    shown: dict[int, _Shown] = {}
    listed = [each for each in findings.findings if each.places]
    for at in range(MOST):
        for each in listed:
            if at < len(each.places) and len(shown) < MOST:
                clip, frame = each.places[at]
                about = f"{each.kind} ({each.protocol})" if each.protocol else each.kind
                shown.setdefault(clip, _Shown(clip, frame, each.severity, about))
    if not shown:
        clips = np.unique(np.linspace(0, len(dataset) - 1, COLUMNS * 2).round().astype(int))
        return [_Shown(at, int(dataset.lengths[at]) // 2, "ok", "ok") for at in clips.tolist()]
    order = {"error": 0, "note": 1}
    return sorted(shown.values(), key=lambda each: order[each.state])


def _draw(axes: Axes, dataset: SkeletonDataset, each: _Shown) -> None:
    """Three frames side by side, each as wide as the widest; nothing of a clip without frames."""
    try:
        clip = dataset.clip(each.clip)
    except ValueError:  # its index is damaged
        return
    clip[~(np.abs(clip) < FARTHEST).all(axis=-1)] = 0  # what is damaged is missing
    view = seen(clip, dataset.layout, dataset.normalisation)
    count = view.points.shape[1]
    first = max(0, min(each.frame - _FRAMES // 2, count - _FRAMES))
    frames = view.points[:, first : first + _FRAMES]
    if not len(frames) or np.isnan(frames).all():
        return
    low, high = np.nanmin(frames, axis=(0, 1, 2)), np.nanmax(frames, axis=(0, 1, 2))
    width, height = np.maximum(high - low, 1e-6) * 1.15
    total = width * frames.shape[1]
    scale = min(_WIDE / total, _HIGH / height)
    for at in range(frames.shape[1]):
        draw_frame(axes, frames[:, at] - low + (at * width, 0), dataset.layout, _PEN)
    middle = total / 2 - 0.07 * width, height / 2 - 0.07 * height
    axes.set_xlim(middle[0] - _WIDE / scale / 2, middle[0] + _WIDE / scale / 2)
    axes.set_ylim(middle[1] - _HIGH / scale / 2, middle[1] + _HIGH / scale / 2)


def _cut(text: str) -> str:
    plain = printable(text)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"
