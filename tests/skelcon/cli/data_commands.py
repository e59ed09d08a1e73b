"""Files for the tests of ``skelcon data``, and the type of the fixture that runs it."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io

Run = Callable[..., tuple[int, str, str]]
CLIPS = [(action, subject, trial) for action in (1, 2) for subject in (1, 2) for trial in (1, 2, 3)]


def name_of(action: int, subject: int, trial: int) -> str:
    return f"a{action}_s{subject}_t{trial}"


_SIDE = [(0.2, 0.4), (0.25, 0.15), (0.27, -0.1), (0.28, -0.2)]
_SIDE += [(0.1, -0.05), (0.12, -0.5), (0.13, -0.9), (0.13, -0.95)]
_TRUNK = [(0, 0.7), (0, 0.45), (0, 0.1), (0, 0)]
_LIMBS = [[(side * x, y) for x, y in limb] for limb in (_SIDE[:4], _SIDE[4:]) for side in (-1, 1)]
BODY = np.array([*_TRUNK, *(joint for limb in _LIMBS for joint in limb)])
"""(20, 2): the first Kinect's joints of somebody who stands, in UTD-MHAD's order."""


def write_mat(folder: Path, name: str, frames: int, seed: int) -> None:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).normal(2, 0.01, (20, 3, frames))
    values[:, :2] += BODY[:, :, None]
    scipy.io.savemat(buffer, {"d_skel": values})
    (folder / f"{name}_skeleton.mat").write_bytes(buffer.getvalue())
