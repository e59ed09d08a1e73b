"""Files of UTD-MHAD of somebody who stands."""

import io
from pathlib import Path

import numpy as np
import scipy.io

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
