"""What each augmentation does to a clip; the first three as in Figures 2, 3 and 4 of the paper.

A clip is turned first as encoders see it (spine up, shoulders from left to right, by its first
frame; in 2D it is not turned), since that is what the augmentations act on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from skelcon.augment import (
    FURTHER,
    AugmentConfig,
    CropConfig,
    JitterConfig,
    PoseConfig,
    spatial,
)
from skelcon.augment.strong import STRONG
from skelcon.augment.temporal import random_crop
from skelcon.data import ClipBank, Normalisation, SkeletonDataset
from skelcon.data.draw import View, seen
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
    matrix = spatial.shear(VIEWS, PoseConfig(), draws, dataset.layout.dimensions)
    views = spatial.apply(whole.repeat(VIEWS, 1, 1, 1, 1), matrix, everywhere)
    original, metre = _original(dataset, clip, whole)
    strips = [
        Strip(f"pose augmentation {number}", _seen(view, dataset, metre).points)
        for number, view in enumerate(views, 1)
    ]
    return stacked([original, *strips], dataset.layout)


def jitter(dataset: SkeletonDataset, clip: int, seed: int = 0) -> Figure:
    """Figure 3: a clip, and two views with some joints at irregular places (eq. 2), ringed."""
    whole, draws = _turned(dataset, clip), generator(seed, "figure")
    config, joints = JitterConfig(), whole.shape[3]
    chosen = spatial.jitter_joints(VIEWS, joints, config, draws)
    matrix = spatial.jitter_matrix(VIEWS, config, draws, dataset.layout.dimensions)
    views = spatial.apply(whole.repeat(VIEWS, 1, 1, 1, 1), matrix, chosen)
    original, metre = _original(dataset, clip, whole)
    strips = []
    for number, (view, moved) in enumerate(zip(views, chosen, strict=True), 1):
        marked = tuple(moved.nonzero()[:, 0].tolist())
        title = f"joint jitter {number}: {len(marked)} of {joints} joints (ringed)"
        strips.append(Strip(title, _seen(view, dataset, metre).points, marked=marked))
    return stacked([original, *strips], dataset.layout)


def crop(dataset: SkeletonDataset, clip: int, seed: int = 0) -> Figure:
    """Figure 4: a clip, and two parts of it that are resized to one length (eq. 3)."""
    bank, draws = ClipBank(dataset, "cpu").oriented("first_frame"), generator(seed, "figure")
    clips = torch.full((VIEWS,), clip)
    start, length = random_crop(bank.lengths[clips], CropConfig(), draws)
    views = bank.resized(clips, start, length, FRAMES)
    whole = _turned(dataset, clip)
    metre = _seen(whole[0], dataset).metre
    strips, spans = [], []
    for view, first, frames, colour in zip(
        views, start.tolist(), length.tolist(), _CROPS, strict=True
    ):
        last = first + frames - 1
        spans.append((first, last, colour))
        title = f"frames {first + 1} to {last + 1}, resized to {FRAMES}"
        strips.append(Strip(title, _seen(view, dataset, metre).points, colour))
    original, _ = _original(dataset, clip, whole, tuple(spans))
    return stacked([original, *strips], dataset.layout)


def further(name: str) -> Callable[[SkeletonDataset, int, int], Figure]:
    """The figure of one of the augmentations in `skelcon.augment.strong`: a clip and two views."""

    def drawn(dataset: SkeletonDataset, clip: int, seed: int = 0) -> Figure:
        whole, draws = _turned(dataset, clip), generator(seed, "figure")
        config = getattr(AugmentConfig.model_validate({name: {"p": 1}}), name)
        views = STRONG[name](whole.repeat(VIEWS, 1, 1, 1, 1), config, dataset.layout, draws)
        original, metre = _original(dataset, clip, whole)
        strips = [
            Strip(f"{name.replace('_', ' ')} {number}", _seen(view, dataset, metre).points)
            for number, view in enumerate(views, 1)
        ]
        return stacked([original, *strips], dataset.layout)

    return drawn


FIGURES: dict[str, Callable[[SkeletonDataset, int, int], Figure]] = {
    "pose": pose,
    "jitter": jitter,
    "crop": crop,
    **{name: further(name) for name in FURTHER},
}
"""Augmentation -> its figure, of a data set, the index of a clip and a seed."""


def _turned(dataset: SkeletonDataset, clip: int) -> Tensor:
    """(1, M, T, V, 3) all frames of a clip, turned."""
    bank = ClipBank(dataset, "cpu").oriented("first_frame")
    one = torch.tensor([clip])
    frames = bank.lengths[one]
    return bank.resized(one, torch.zeros_like(frames), frames, int(frames))


def _seen(view: Tensor, dataset: SkeletonDataset, metre: float | None = None) -> View:
    done = _TURNED if dataset.layout.dimensions == 3 else dataset.normalisation
    return seen(view.numpy(), dataset.layout, done, metre)


def _original(
    dataset: SkeletonDataset,
    clip: int,
    whole: Tensor,
    spans: tuple[tuple[float, float, str], ...] = (),
) -> tuple[Strip, float]:
    """The clip as it is, and how long a metre is in its coordinates."""
    label = dataset.class_names[dataset.labels[clip]]
    title = f"{dataset.clip_names[clip]}: {label}, {whole.shape[2]} frames"
    view = _seen(whole[0], dataset)
    return Strip(title, view.points, spans=spans), view.metre
