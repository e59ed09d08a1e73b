"""Clips of many lengths, whose second body comes and goes."""

import numpy as np

LENGTHS = (1, 2, 7, 16, 30, 40, 63, 64, 65, 100, 129, 150)
NUM_CLASSES = 4


def ragged_clips(joints: int) -> list[np.ndarray]:
    """(M, T, V, 3) clips: a second body in full, absent, late, leaving early, or with a gap."""
    random = np.random.default_rng(7)
    clips = []
    for i, length in enumerate(LENGTHS * 2):
        clip = random.normal(size=(2, length, joints, 3)).astype(np.float32)
        kind = i % 5
        if kind == 1:
            clip[1] = 0
        elif kind == 2:
            clip[1, : length // 2] = 0
        elif kind == 3:
            clip[1, length - length // 3 :] = 0
            clip[0, : length // 4] = 0
        elif kind == 4:
            clip[1, length // 4 : length // 2] = 0
        clips.append(clip)
    return clips
