"""What each augmentation does to a clip, as in Figures 2, 3 and 4 of the paper.

A clip is turned first as encoders see it (spine up, shoulders from left to right, by its first
frame), since that is what the augmentations act on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from skelcon.augment import CropConfig, JitterConfig, PoseConfig, spatial
from skelcon.augment.temporal import random_crop
from skelcon.data import ClipBank, Normalisation, SkeletonDataset
from skelcon.data.draw import seen
from skelcon.figures import style
from skelcon.figures.skeletons import Strip, stacked
from skelcon.seeding import generator

VIEWS = 2
"""A query and a key."""
FRAMES = 64
"""Of a resized view (A.1)."""
_CROPS = (style.COLOURS[2], style.COLOURS[3])
_TURNED = Normalisation(centre=True, spine_to_z=True, shoulders_to_x=True)


def pose(dataset: SkeletonDataset, clip: int, seed: int = 0) -> Figure:
    """Figure 2: a clip, and two sheared views of it (eq. 1)."""
    whole, draws = _turned(dataset, clip), generator(seed, "figure")
    everywhere = torch.ones(VIEWS, whole.shape[3], dtype=torch.bool)
    matrix = spatial.shear(VIEWS, PoseConfig(), draws)
    views = spatial.apply(whole.repeat(VIEWS, 1, 1, 1, 1), matrix, everywhere)
    titles = [f"pose augmentation {number}" for number in (1, 2)]
    strips = [Strip(title, _points(v, dataset)) for title, v in zip(titles, views, strict=True)]
    return stacked([_original(dataset, clip, whole), *strips], dataset.layout)


def jitter(dataset: SkeletonDataset, clip: int, seed: int = 0) -> Figure:
    """Figure 3: a clip, and two views with some joints at irregular places (eq. 2), ringed."""
    whole, draws = _turned(dataset, clip), generator(seed, "figure")
    config, joints = JitterConfig(), whole.shape[3]
    chosen = spatial.jitter_joints(VIEWS, joints, config, draws)
    matrix = spatial.jitter_matrix(VIEWS, config, draws)
    views = spatial.apply(whole.repeat(VIEWS, 1, 1, 1, 1), matrix, chosen)
    strips = []
    for number, (view, moved) in enumerate(zip(views, chosen, strict=True), 1):
        marked = tuple(moved.nonzero()[:, 0].tolist())
        title = f"joint jitter {number}: {len(marked)} of {joints} joints (ringed)"
        strips.append(Strip(title, _points(view, dataset), marked=marked))
    return stacked([_original(dataset, clip, whole), *strips], dataset.layout)


def crop(dataset: SkeletonDataset, clip: int, seed: int = 0) -> Figure:
    """Figure 4: a clip, and two parts of it that are resized to one length (eq. 3)."""
    bank, draws = ClipBank(dataset, "cpu").oriented("first_frame"), generator(seed, "figure")
    clips = torch.full((VIEWS,), clip)
    start, length = random_crop(bank.lengths[clips], CropConfig(), draws)
    views = bank.resized(clips, start, length, FRAMES)
    strips, spans = [], []
    for view, first, frames, colour in zip(
        views, start.tolist(), length.tolist(), _CROPS, strict=True
    ):
        last = first + frames - 1
        spans.append((first, last, colour))
        title = f"frames {first + 1} to {last + 1}, resized to {FRAMES}"
        strips.append(Strip(title, _points(view, dataset), colour))
    whole = _turned(dataset, clip)
    return stacked([_original(dataset, clip, whole, tuple(spans)), *strips], dataset.layout)


FIGURES: dict[str, Callable[[SkeletonDataset, int, int], Figure]] = {
    "pose": pose,
    "jitter": jitter,
    "crop": crop,
}
"""Augmentation -> its figure, of a data set, the index of a clip and a seed."""


def _turned(dataset: SkeletonDataset, clip: int) -> Tensor:
    """(1, M, T, V, 3) all frames of a clip, turned."""
    bank = ClipBank(dataset, "cpu").oriented("first_frame")
    one = torch.tensor([clip])
    frames = bank.lengths[one]
    return bank.resized(one, torch.zeros_like(frames), frames, int(frames))


def _points(view: Tensor, dataset: SkeletonDataset) -> NDArray[np.float64]:
    return seen(view.numpy(), dataset.layout, _TURNED).points


def _original(
    dataset: SkeletonDataset,
    clip: int,
    whole: Tensor,
    spans: tuple[tuple[float, float, str], ...] = (),
) -> Strip:
    label = dataset.class_names[dataset.labels[clip]]
    title = f"{dataset.clip_names[clip]}: {label}, {whole.shape[2]} frames"
    return Strip(title, _points(whole[0], dataset), spans=spans)
