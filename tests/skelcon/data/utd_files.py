"""Clips of UTD-MHAD, made for the tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

MatBytes = Callable[..., bytes]

# By action, subject and trial, as numbers: not the order of the names.
# (20 of them, so that one bad file is less than an import survives.)
TAKES = (
    *((1, 1, 1), (1, 2, 1), (2, 1, 3), (2, 10, 1), (10, 3, 2)),
    *((11, subject, 1) for subject in range(1, 15)),
    (27, 8, 4),
)


def mat_name(action: int, subject: int, trial: int) -> str:
    return f"a{action}_s{subject}_t{trial}_skeleton.mat"


def values_of(action: int, subject: int, trial: int) -> np.ndarray:
    rng = np.random.default_rng((action, subject, trial))
    return rng.normal((0.1, -0.2, 2.5), 0.4, (4 + action, 20, 3)).transpose(1, 2, 0)


def write_takes(folder: Path, mat_bytes: MatBytes) -> Path:
    """All takes as files, half of them compressed; and two files that are no recordings."""
    folder.mkdir()
    for at, take in enumerate(TAKES):
        packed = bool(at % 2)
        (folder / mat_name(*take)).write_bytes(mat_bytes(values_of(*take), packed=packed))
    (folder / "Skeleton_joint_order.txt").write_text("head\n")
    (folder / "a1_s1_t1_inertial.mat").write_bytes(b"another sensor's")
    return folder
