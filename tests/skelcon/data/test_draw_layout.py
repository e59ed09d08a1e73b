"""The drawing of a layout: everybody stands upright, the left side to the reader's right."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from skelcon.data import LAYOUTS, SkeletonLayout
from skelcon.data.draw_layout import picture, places


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_person_stands_facing_the_reader(layout: SkeletonLayout):
    points = places(layout)
    assert len(np.unique(points, axis=0)) == layout.num_joints
    for joint, other in enumerate(layout.mirrored):
        np.testing.assert_array_equal(points[joint], points[other] * (-1, 1))
        assert np.sign(points[joint, 0]) == (1, -1, 0)[layout.side(joint)]
    heights = {name: points[joint, 1] for joint, name in enumerate(layout.joints)}
    ankle = heights.get("left_ankle", heights.get("left_foot"))
    assert ankle < heights["left_knee"] < heights["left_hip"] < heights["left_shoulder"]
    assert layout.head is not None
    assert heights["left_shoulder"] < points[layout.head, 1]


def test_joints_of_no_known_name_lie_between_or_hang_on_others():
    layout = SkeletonLayout(
        name="mine",
        joints=("bottom", "middle", "top", "left_claw", "right_claw", "tail"),
        bones=((1, 0), (2, 1), (3, 2), (4, 2), (5, 0)),
        centre=0,
        spine=(0, 2),
        shoulders=(4, 3),
    )
    points = places(layout)
    np.testing.assert_allclose(points[1], points[[0, 2]].mean(axis=0))
    assert points[3, 0] > 0 > points[4, 0]
    assert points[5, 1] < points[0, 1]
    assert np.isfinite(points).all()


def test_all_names_are_in_the_picture():
    layout = LAYOUTS["mediapipe-33"]
    figure = picture(layout)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    named = {text.get_text() for text in figure.texts}
    assert {f"{joint}  {name}" for joint, name in enumerate(layout.joints)} <= named
    boxes = [text.get_window_extent() for text in (*figure.texts, *figure.axes[0].texts)]
    width, height = canvas.get_width_height()
    assert all(0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height for box in boxes)
