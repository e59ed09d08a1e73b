"""Pixels, millimetres and y down: drawn as a person in metres is."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from other_sensors import as_coco, as_mediapipe, write

from skelcon.data import KINECT_V2, LAYOUTS, normalise
from skelcon.data.draw import seen, strip
from skelcon.data.importers import RAW
from skelcon.data.normalise import usual_steps
from skelcon.data.synthetic import Take, render
from skelcon.figures.augmentations import FIGURES

COCO = LAYOUTS["coco-17"]


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return render(Take(1, 2, 1, 1, 16), noise=False)[:, :9]


def segments(figure: Figure) -> np.ndarray:
    return np.array(figure.axes[0].collections[0].get_segments())


@pytest.mark.parametrize("factor", [1000.0, 100.0, 0.01])
def test_another_unit_is_the_same_picture(clip: np.ndarray, factor: float):
    metres, other = seen(clip, KINECT_V2, RAW), seen(clip * factor, KINECT_V2, RAW)
    assert metres.metre == 1
    ratio = np.ptp(other.points, axis=(0, 1, 2)) / np.ptp(metres.points, axis=(0, 1, 2))
    np.testing.assert_allclose(ratio, ratio[0])
    assert 0.7 < ratio[0] < 1.4


def test_an_image_is_drawn_as_it_was_seen(clip: np.ndarray):
    """Its y points down; a person who faces the camera has the right hand on the left."""
    image = as_coco(clip)
    for view in (
        seen(image, COCO, RAW),
        seen(normalise(image, COCO, usual_steps(COCO)), COCO, usual_steps(COCO)),
    ):
        nose, ankle = (view.points[0, :, COCO.joints.index(n), 1] for n in ("nose", "left_ankle"))
        assert (nose - ankle > 1).all()
        assert (nose - ankle < 2.2).all()
    facing = seen(as_mediapipe(clip), LAYOUTS["mediapipe-33"], RAW).points
    assert np.isfinite(facing).all()
    clip = as_coco(render(Take(1, 2, 1, 1, 1), noise=False))
    view = seen(clip, COCO, RAW)
    left, right = (view.points[0, 0, COCO.joints.index(f"{s}_hip"), 0] for s in ("left", "right"))
    assert left > right


def test_a_missing_joint_of_2d_is_not_drawn_and_one_at_the_origin_is(clip: np.ndarray):
    image = as_coco(clip)
    steps = usual_steps(COCO)
    whole = normalise(image, COCO, steps)
    whole[:, :, 9, :2] = 0  # a wrist that happens to be at the centre
    whole[:, :, 10] = 0  # one that is missing
    lines = 16 + 2  # bones, and those between the shoulders and the hips
    assert len(segments(strip(whole, COCO, 1, normalisation=steps))) == lines - 1


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_2d_keep_one_scale(name: str, tmp_path_factory: pytest.TempPathFactory):
    dataset = write(tmp_path_factory.mktemp("drawn") / "set", "coco-17", RAW)
    figure = FIGURES[name](dataset, 0, 0)
    lengths = [
        np.linalg.norm(np.diff(np.array(each.get_segments()), axis=1), axis=-1).max()
        for each in figure.axes[0].collections
        if hasattr(each, "get_segments") and each.get_segments()  # (none of a masked frame)
    ]
    assert 0.3 < lengths[0] < 1.2  # metres of the longest bone of the clip itself
    assert (np.ptp(lengths) < 0.2) == (name not in {"pose", "jitter"})
