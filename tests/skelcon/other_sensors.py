"""What a pose estimator would have made of synthetic performers: COCO-17 and MediaPipe-33."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from skelcon.data import KINECT_V2, LAYOUTS, ClipInfo, DatasetWriter, SkeletonDataset, normalise
from skelcon.data.normalise import Normalisation, usual_steps
from skelcon.data.synthetic import Take, render

ACTIONS = (1, 3, 11, 16)
FOCAL, CENTRE = 1000.0, (960.0, 540.0)
# Right, up and forwards in metres from the middle of the head.
_FACE = {
    "nose": (0, 0, 0.1),
    "eye_inner": (0.02, 0.03, 0.09),
    "eye": (0.035, 0.03, 0.085),
    "eye_outer": (0.05, 0.03, 0.08),
    "ear": (0.08, 0, 0),
    "mouth": (0.025, -0.05, 0.09),
}
_ELSEWHERE = {"pinky": "hand_tip", "index": "hand_tip", "heel": "ankle", "foot_index": "foot"}


def joint_of(clip: np.ndarray, name: str) -> np.ndarray:
    """(M, T, 3): a joint of COCO or MediaPipe on a clip of Kinect v2."""
    words = name.split("_")
    side = next((word for word in words if word in ("left", "right")), "")
    part = "_".join(word for word in words if word != side)
    joints = KINECT_V2.joints
    if part not in _FACE:
        return clip[:, :, joints.index(f"{side}_{_ELSEWHERE.get(part, part)}")]
    left, right = (clip[:, :, joints.index(f"{one}_shoulder")] for one in ("left", "right"))
    across = (right - left) / np.linalg.norm(right - left, axis=-1, keepdims=True)
    up = np.array([0.0, 1, 0])
    ahead = np.cross(across, up)
    x, y, z = _FACE[part]
    head = clip[:, :, joints.index("head")]
    return head + x * (-1 if side == "left" else 1) * across + y * up + z * ahead


def as_layout(clip: np.ndarray, name: str) -> np.ndarray:
    """(M, T, V, 3) metres, on the joints of another layout."""
    return np.stack([joint_of(clip, joint) for joint in LAYOUTS[name].joints], axis=2)


def as_coco(clip: np.ndarray) -> np.ndarray:
    """(M, T, 17, 3): pixels of an image whose y points down, and a confidence."""
    x, y, z = np.moveaxis(as_layout(clip, "coco-17"), -1, 0)
    across, down = CENTRE[0] - FOCAL * x / z, CENTRE[1] - FOCAL * y / z
    confidence = np.where(np.arange(17) % 5, 0.9, 0.5) * np.ones_like(across)
    return np.stack([across, down, confidence], axis=-1)


def as_mediapipe(clip: np.ndarray) -> np.ndarray:
    """(M, T, 33, 3): metres from between the main body's hips, x to the image's right, y down."""
    body = as_layout(clip, "mediapipe-33")[:1]
    hips = body[:, :, [LAYOUTS["mediapipe-33"].joints.index(f"{s}_hip") for s in ("left", "right")]]
    return (body - hips.mean(axis=2, keepdims=True)) * (-1, -1, 1)


SENSORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "coco-17": as_coco,
    "mediapipe-33": as_mediapipe,
}


def takes(subjects: int = 4) -> list[Take]:
    return [
        Take(1, 2, subject, 1, action) for action in ACTIONS for subject in range(1, subjects + 1)
    ]


def seen(name: str, take: Take) -> np.ndarray:
    """Every second frame of a take, (M, T, V, 3)."""
    return SENSORS[name](render(take, noise=False)[:, ::2])


def write(path: Path, name: str, steps: Normalisation | None = None) -> SkeletonDataset:
    """A data set as an import would write it: normalised, odd subjects train."""
    layout = LAYOUTS[name]
    steps = steps or usual_steps(layout)
    with DatasetWriter(
        path,
        name=name,
        layout=layout,
        class_names=[f"action {action}" for action in ACTIONS],
        family="test",
        normalisation=steps,
    ) as writer:
        for take in takes():
            info = ClipInfo(take.info.name, ACTIONS.index(take.action), take.subject)
            writer.add(info, normalise(seen(name, take), layout, steps))
        return writer.close({"xsub": [(info.subject + 1) % 2 for info in writer.infos]})
