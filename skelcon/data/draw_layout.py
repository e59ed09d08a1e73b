"""A skeleton layout as a picture: a person who stands, each joint with its number and name."""

from __future__ import annotations

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from numpy.typing import NDArray

from skelcon.data.draw import COLOURS, draw_frame
from skelcon.data.layouts import SkeletonLayout, joints_of
from skelcon.data.layouts.mapping import common_names

# Metres from the middle, outwards for a joint that has a side, and up. A face is larger than life.
_PLACES = {
    "head": (0.0, 1.80),
    "nose": (0.0, 1.65),
    "eye_inner": (0.03, 1.715),
    "eye": (0.07, 1.73),
    "eye_outer": (0.11, 1.715),
    "ear": (0.155, 1.67),
    "mouth": (0.05, 1.585),
    "neck": (0.0, 1.49),
    "neck_base": (0.0, 1.49),
    "shoulder_centre": (0.0, 1.40),
    "clavicle": (0.08, 1.43),
    "collar": (0.09, 1.40),
    "shoulder": (0.2, 1.39),
    "elbow": (0.42, 1.17),
    "wrist": (0.6, 0.98),
    "hand": (0.66, 0.91),
    "hand_tip": (0.75, 0.82),
    "pinky": (0.75, 0.93),
    "index": (0.72, 0.83),
    "thumb": (0.61, 0.83),
    "spine3": (0.0, 1.27),
    "spine_chest": (0.0, 1.27),
    "spine2": (0.0, 1.16),
    "spine": (0.0, 1.16),
    "spine1": (0.0, 1.06),
    "hip_centre": (0.0, 0.95),
    "hip": (0.13, 0.91),
    "knee": (0.16, 0.5),
    "ankle": (0.18, 0.1),
    "heel": (0.12, 0.02),
    "foot": (0.26, 0.02),
    "foot_index": (0.28, 0.01),
    "big_toe": (0.24, 0.0),
    "small_toe": (0.33, 0.03),
}
_SHORT = 0.13
"""Metres of a bone of which nothing is known."""
_SCALE = 2.6
"""Inches a metre."""
_LINE, _COLUMN = 0.17, 1.6
"""Inches of a line of names, and of a column of them."""


def places(layout: SkeletonLayout) -> NDArray[np.float64]:
    """(V, 2) metres to the right and up, of a person who faces the reader: left is on the right.

    A joint of a common name has its place; others lie between their neighbours, or hang on one.
    """
    found: dict[int, tuple[float, float]] = {}
    for joint, name in enumerate(common_names(layout)):
        words = [word for word in name.split("_") if word not in ("left", "right")]
        if place := _PLACES.get("_".join(words)):
            found[joint] = (_way(layout, joint) * place[0], place[1])
    stated = {layout.centre: "hip_centre", layout.spine[0]: "hip_centre"}
    stated[layout.spine[1]] = "shoulder_centre"
    for point, name in stated.items():
        if len(joints_of(point)) == 1:
            found.setdefault(joints_of(point)[0], _PLACES[name])
    neighbours: dict[int, list[int]] = {joint: [] for joint in range(layout.num_joints)}
    for child, parent in layout.bones:
        neighbours[child].append(parent)
        neighbours[parent].append(child)
    found = found or {layout.root: (0.0, 1.0)}
    while len(found) < layout.num_joints:
        near = {
            joint: [found[other] for other in neighbours[joint] if other in found]
            for joint in neighbours
            if joint not in found
        }
        joint = max(near, key=lambda each: (len(near[each]), -each))
        x, y = np.mean(near[joint], axis=0).tolist()
        if len(near[joint]) == 1:
            way = _way(layout, joint) or int(np.sign(x))
            x, y = x + _SHORT * way, y - _SHORT
        found[joint] = (x, y)
    return np.array([found[joint] for joint in range(layout.num_joints)])


def _way(layout: SkeletonLayout, joint: int) -> int:
    """To the reader's right, left, or in the middle."""
    return (1, -1, 0)[layout.side(joint)]


def picture(layout: SkeletonLayout) -> Figure:
    """The skeleton with numbered joints, and their names beside it, in file order from 0."""
    points = places(layout)
    low, high = points.min(axis=0) - 0.12, points.max(axis=0) + 0.12
    width, height = _SCALE * (high - low)
    rows = int((height - 0.2) / _LINE)
    columns = -(-layout.num_joints // rows)
    inches = width + columns * _COLUMN + 0.2, height + 0.4
    figure = Figure(figsize=inches, dpi=150, facecolor="white")
    axes = figure.add_axes((0, 0, width / inches[0], height / inches[1]))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_axis_off()
    draw_frame(axes, points[None], layout, 0.9 * _SCALE)
    halo = [patheffects.withStroke(linewidth=2, foreground="white")]
    title = f"{layout.name}  {layout.title}".strip()
    figure.text(0.12 / inches[0], 1 - 0.24 / inches[1], title, fontsize=10, parse_math=False)
    for joint, (x, y) in enumerate(points):
        side = layout.side(joint)
        colour = COLOURS[0][side]
        shift, align = (4, "left") if side == 0 else (-4, "right") if side == 1 else (5, "left")
        axes.annotate(
            str(joint),
            (x, y),
            (shift, 3),
            textcoords="offset points",
            ha=align,
            fontsize=7,
            color=colour,
            path_effects=halo,
            zorder=5,
        )
        column, row = divmod(joint, rows)
        figure.text(
            (width + column * _COLUMN) / inches[0],
            1 - (0.6 + row * _LINE) / inches[1],
            f"{joint}  {layout.joints[joint]}",
            fontsize=8,
            color=colour,
            parse_math=False,
        )
    return figure
