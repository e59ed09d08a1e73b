"""Clips to export, and their protocols."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from skelcon.data import (
    KINECT_V1,
    KINECT_V1_SDK,
    KINECT_V2,
    ClipInfo,
    SkeletonDataset,
)
from skelcon.data.importers import RAW

COUNT = 12


def moving(seed: int, bodies: int, frames: int, joints: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0.1, 1, (bodies, frames, joints, 3)).astype(np.float32)


def ntu_clips() -> tuple[list[ClipInfo], list[np.ndarray]]:
    """Clips of one and two bodies, with all that padding could hide."""
    infos, clips = [], []
    for at in range(COUNT):
        setup, camera, subject, label = 1 + at % 3, 1 + at % 3, 1 + at % 7, 5 * at
        name = f"S{setup:03}C{camera:03}P{subject:03}R001A{label + 1:03}"
        infos.append(ClipInfo(name, label, subject, camera, setup))
        clips.append(moving(at, 1 + at % 2, 5 + 7 * at, 25))
    clips[2][:, -4:] = 0  # ends with nobody
    clips[3][0] = 0  # only the second body
    clips[4][:, :2] = 0  # begins with nobody
    clips[5][1, :6] = clips[5][1, 9:] = 0  # a second body that comes late and goes early
    clips[6] = np.tile(clips[6][:, :4], (1, 3, 1, 1))  # a movement that is repeated
    clips[7] = moving(7, 2, 1, 25)  # one frame
    clips[8] = moving(8, 1, 320, 25)  # longer than arrays usually are
    clips[9][:, :, 3] = 0  # a joint that is never seen
    return infos, clips


def own_clips() -> tuple[list[ClipInfo], list[np.ndarray]]:
    infos = [ClipInfo(f"take {at} – ü", at % 5, subject=at % 2) for at in range(COUNT)]
    return infos, [moving(at, 1, 3 + at, 20) for at in range(COUNT)]


SIDES = {
    "ntu": {
        "xsub": np.array([0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0], np.int8),
        "xview": np.array([0, 0, 1, 0, 0, 1, 0, -1, 1, 1, 0, 0], np.int8),
    },
    "own": {"xsetup": np.array([0, 0, 0, 0, -1, 1, 1, 1, 1, 0, 1, -1], np.int8)},
}
SIDES["sdk"] = SIDES["own"]
MADE = {"ntu": ntu_clips, "own": own_clips, "sdk": own_clips}
LAYOUTS = {"ntu": KINECT_V2, "own": KINECT_V1, "sdk": KINECT_V1_SDK}


def written(write: Callable[..., SkeletonDataset], place: Path, kind: str) -> SkeletonDataset:
    """The data set of a kind of clips, with the fixture ``write``."""
    infos, clips = MADE[kind]()
    return write(
        place,
        infos,
        clips,
        SIDES[kind],
        layout=LAYOUTS[kind],
        normalisation=RAW,
        class_names=[f"class {at}" for at in range(60 if kind == "ntu" else 5)],
    )
