"""A small study and small data for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

TINY_STUDY = """
title: A tiny study
reproduces: Table 5
protocols: [xsub]
base:
  pretrain.epochs: 3
  pretrain.batch: 8
  pretrain.contrast: {queue: 16, dim: 8, head_hidden: 8, momentum: 0.9}
  pretrain.encoders.frames: 16
  pretrain.encoders.seq: {hidden: 4, layers: 1}
  pretrain.encoders.img: {channels: 4, cooccurrence: 16}
  pretrain.optimiser: {name: adamw, lr: 0.01, schedule: cosine}
  linear: {epochs: 3, crops: 1}
ticks: {crop: Crop, jitter: Jitter}
rows:
  none: {set: {pretrain.augment.use: []}}
  crop+jitter: {ticks: [crop, jitter], set: {pretrain.augment.use: [crop, jitter]}}
references:
  random: {label: random weights, pretrain: false}
columns:
  img: {label: IMG, downstream: [img], set: {pretrain.representations: [img]}}
  seq: {label: SEQ, downstream: [seq], set: {pretrain.representations: [seq]}}
paper:
  - source: Table 5
    values: {none: {img: 51.0, seq: 50.0}, crop+jitter: {img: 77.0, seq: 80.0}}
"""


_ARM, _LEG = [(0.2, 0.45), (0.25, 0.2), (0.25, -0.05), (0.25, -0.15)], [(0.1, 0), (0.1, -0.4)]
_SIDE = np.array([*_ARM, *_LEG, (0.1, -0.8), (0.12, -0.9)])
STANDING = np.concatenate(
    [
        [(0, 0.75), (0, 0.5), (0, 0.2), (0, 0.05)],
        *(_SIDE[:4], _SIDE[:4] * (-1, 1)),
        *(_SIDE[4:], _SIDE[4:] * (-1, 1)),
    ]
)
"""(20, 2): the joints of UTD-MHAD, in its order, of somebody who stands; metres."""


def write_utd(folder: Path, actions: int = 3, subjects: int = 4, trials: int = 3) -> Path:
    """A few clips in UTD-MHAD's layout: each action moves another arm joint in its own way."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rest = np.column_stack([STANDING, rng.normal(2, 0.01, 20)])
    for action in range(1, actions + 1):
        for subject in range(1, subjects + 1):
            for trial in range(1, trials + 1):
                frames = int(rng.integers(20, 40))
                clip = np.repeat(rest[:, :, None], frames, axis=2)
                clip += rng.normal(0, 0.01, clip.shape)
                clip[4 + action, 1] += 0.2 * np.sin(np.linspace(0, action * np.pi, frames))
                name = f"a{action}_s{subject}_t{trial}_skeleton.mat"
                scipy.io.savemat(folder / name, {"d_skel": clip})
    return folder
