"""What pickles of pyskl hold, made for the tests."""

from itertools import product
from typing import Any

import numpy as np

# Setup, camera, subject, replication, action: in no order, some subjects of either side.
TAKES = [
    (17, 3, 20, 2, 60),
    (1, 1, 1, 1, 1),
    (1, 2, 3, 1, 2),
    *(
        (setup, camera, subject, 1, 5)
        for setup, camera, subject in product((2, 3), (1, 2, 3), (4, 6, 8))
    ),
]


def ntu_name(setup: int, camera: int, subject: int, replication: int, action: int) -> str:
    return f"S{setup:03}C{camera:03}P{subject:03}R{replication:03}A{action:03}"


def annotation_of(
    name: str, label: int, bodies: int = 1, frames: int = 6, joints: int = 25, kind: str = "f2"
) -> dict[str, Any]:
    rng = np.random.default_rng(list(name.encode()))
    keypoint = rng.normal((0.1, -0.2, 2.5), 0.4, (bodies, frames, joints, 3)).astype(kind)
    return {
        "frame_dir": name,
        "label": label,
        "keypoint": keypoint,
        "total_frames": frames,
    }


def ntu_content() -> dict[str, Any]:
    """As ``ntu60_3danno.pkl``: clips of one and of two bodies, and of all lengths."""
    names = [ntu_name(*take) for take in TAKES]
    return {
        "split": {
            "xsub_train": [name for name in names if name[9:12] in ("001", "004", "008")],
            "xsub_val": [name for name in names if name[9:12] in ("003", "006", "020")],
            "xview_train": [name for name in names if name[5:8] != "001"],
            "xview_val": [name for name in names if name[5:8] == "001"],
        },
        "annotations": [
            annotation_of(name, int(name[-3:]) - 1, 1 + at % 2, 5 + at)
            for at, name in enumerate(names)
        ],
    }


def other_content() -> dict[str, Any]:
    """Clips of one's own, by a first Kinect."""
    names = [f"take {at}" for at in range(20)]
    return {
        "split": {"cross_subject_train": names[:12], "cross_subject_test": names[12:]},
        "annotations": [
            annotation_of(name, at % 4, joints=20, kind="f4") for at, name in enumerate(names)
        ],
    }
