"""Figures 2, 3 and 4: what is drawn is what the augmentations make of the clip."""

from pathlib import Path

import numpy as np
import pytest
from figure_helpers import check_legible, files_of
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from skelcon.augment import FURTHER
from skelcon.data.synthetic import open_embedded
from skelcon.figures import skeletons, style
from skelcon.figures.augmentations import FIGURES


def bones(figure: Figure) -> list[np.ndarray]:
    """Of each picture the lengths of its bones, strip by strip."""
    found = []
    for drawn in figure.axes[0].collections:
        if isinstance(drawn, LineCollection):
            ends = np.array(drawn.get_segments()).reshape(-1, 2, 2)  # of an empty frame none
            found.append(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1))
    return found


def rings(figure: Figure) -> list[int]:
    """How many joints are ringed in each picture that has rings."""
    return [
        len(each.get_offsets())
        for each in figure.axes[0].collections
        if isinstance(each, PathCollection) and not len(each.get_facecolor())
    ]


@pytest.mark.parametrize("name", ["pose", "jitter", "crop", "joint_mask"])
def test_each_figure_shows_the_clip_and_two_views_legibly(name: str, tmp_path: Path):
    figure = FIGURES[name](open_embedded(), 3, 0)
    check_legible(figure)
    pictures = bones(figure)
    assert len(pictures) == 3 * skeletons.FRAMES
    assert set(files_of(figure, tmp_path)) == set(style.FORMATS)


def test_pose_moves_all_joints_and_jitter_those_that_are_ringed():
    dataset = open_embedded()
    pose, jitter = (FIGURES[name](dataset, 3, 0) for name in ("pose", "jitter"))
    clip, view = (bones(pose)[at] for at in (0, skeletons.FRAMES))
    assert not np.isclose(clip, view, rtol=1e-3).any()
    ringed = rings(jitter)
    assert ringed == [15] * 2 * skeletons.FRAMES  # |j| = 15 of 25
    clip, view = (bones(jitter)[at] for at in (0, skeletons.FRAMES))
    assert 0 < np.isclose(clip, view, rtol=1e-3).sum() < len(clip)


def test_the_bars_below_the_clip_are_the_frames_that_the_titles_name():
    figure = FIGURES["crop"](open_embedded(), 3, 0)
    bars = [line.get_xdata() for line in figure.axes[0].lines]
    titles = [text.get_text() for text in figure.axes[0].texts][1:]
    frames = int(figure.axes[0].texts[0].get_text().split()[-2])
    cell = np.ptp(figure.axes[0].get_xlim()) / skeletons.FRAMES
    for bar, title in zip(bars, titles, strict=True):
        words = title.replace(",", "").split()
        first, last = int(words[1]), int(words[3])
        span = (last - first) / (frames - 1) * (skeletons.FRAMES - 1) * cell
        assert np.ptp(bar) == pytest.approx(span, rel=0.05)


def test_further_augmentations_are_drawn_as_they_act():
    """With p = 1, so that both views change; the clip itself stays as it is."""
    dataset = open_embedded()
    whole = bones(FIGURES["pose"](dataset, 3, 0))[: skeletons.FRAMES]
    for name in FURTHER:
        pictures = bones(FIGURES[name](dataset, 3, 0))
        for mine, clip in zip(pictures, whole, strict=False):
            np.testing.assert_allclose(mine, clip)
        if name != "axis_mask":  # of the depth nothing is seen
            views = pictures[skeletons.FRAMES : 2 * skeletons.FRAMES]
            same = [
                len(a) == len(b) and np.allclose(a, b) for a, b in zip(views, whole, strict=True)
            ]
            assert not all(same), name
        if name == "joint_mask":
            count = [len(each) for each in pictures]
            assert max(count[skeletons.FRAMES :]) < min(count[: skeletons.FRAMES])


def test_another_seed_is_another_draw_and_the_same_one_the_same():
    dataset = open_embedded()
    first, again, other = (bones(FIGURES["pose"](dataset, 3, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[-1], again[-1])
    assert not np.allclose(first[-1], other[-1])


def test_bodies_that_are_absent_are_not_drawn():
    empty = skeletons.Strip("nobody", np.full((1, 5, 25, 2), np.nan))
    figure = skeletons.stacked([empty], open_embedded().layout)
    check_legible(figure)
    assert all(len(each) == 0 for each in (c.get_offsets() for c in _scatters(figure)))


def _scatters(figure: Figure) -> list[PathCollection]:
    return [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
