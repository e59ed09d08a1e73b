from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import (
    KINECT_V1,
    KINECT_V2,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
    import_dataset,
    joint_mapping,
    split,
)

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
HIP_CENTRE = KINECT_V1.joints.index("hip_centre")


@pytest.fixture(scope="module")
def utd(real_utd: Path, tmp_path_factory: pytest.TempPathFactory) -> SkeletonDataset:
    dataset, skipped = import_dataset(real_utd, tmp_path_factory.mktemp("real") / "utd", RAW)
    assert skipped == []
    return dataset


def test_the_published_counts(utd: SkeletonDataset):
    assert len(utd) == 861
    assert utd.num_classes == len(set(utd.labels)) == 27
    assert set(utd.columns["subject"]) == set(range(1, 9))
    assert len(split(utd, "xsub", "train")) == 431
    assert len(split(utd, "xsub", "test")) == 430
    assert (utd.lengths.min(), np.median(utd.lengths), utd.lengths.max()) == (41, 67, 125)
    assert utd.max_bodies == 1
    assert utd.fingerprint == utd.content_digest()


def test_the_joints_are_in_the_order_of_the_file(real_utd: Path):
    text = (real_utd / "Skeleton_joint_order.txt").read_text()
    names = [line.split(".")[1].strip(" ;.") for line in text.splitlines() if line[:1].isdigit()]
    assert tuple(name.replace("center", "centre") for name in names) == KINECT_V1.joints


def test_bodies_are_of_human_size(utd: SkeletonDataset):
    """Metres, and joints where the layout says: arms and legs come in pairs of like lengths."""
    bones = {}
    for child, parent in KINECT_V1.bones:
        lengths = np.linalg.norm(utd.frames[:, child] - utd.frames[:, parent], axis=-1)
        bones[KINECT_V1.joints[child]] = float(np.median(lengths))
    for limb in ("elbow", "wrist", "knee", "ankle"):
        assert bones[f"left_{limb}"] == pytest.approx(bones[f"right_{limb}"], rel=0.15)
        assert 0.15 < bones[f"left_{limb}"] < 0.5


def heights(frames: np.ndarray, layout: SkeletonLayout, bottom: str) -> dict[str, float]:
    """Each joint's place on the line from ``bottom`` (0) to the head (1), the median."""
    start = frames[:, [layout.joints.index(bottom)]]
    line = frames[:, [layout.joints.index("head")]] - start
    along = ((frames - start) * line).sum(axis=-1) / (line**2).sum(axis=-1)
    return dict(zip(layout.joints, np.median(along, axis=0).tolist(), strict=True))


def test_the_trunks_of_both_sensors_are_mapped_by_height(utd: SkeletonDataset, real_utd: Path):
    """Of the second sensor's joints at the neck, the shoulder centre's is the nearest."""
    video = real_utd.parent / "pku_mmd" / "A10N08-L.txt"
    if not video.is_file():
        pytest.skip(f"no recording of the second sensor at '{video}'")
    frames = np.loadtxt(video).reshape(-1, 2, 25, 3)[:, 0]
    frames = frames[np.any(frames != 0, axis=(1, 2))]
    first = heights(utd.frames, KINECT_V1, "hip_centre")
    second = heights(frames, KINECT_V2, "spine_base")
    counterpart = {
        name: KINECT_V2.joints[at]
        for name, at in zip(KINECT_V1.joints, joint_mapping(KINECT_V2, KINECT_V1), strict=True)
    }
    near = min(
        ("spine_mid", "spine_shoulder", "neck", "head"),
        key=lambda name: abs(second[name] - first["shoulder_centre"]),
    )
    assert counterpart["shoulder_centre"] == near == "spine_shoulder"
    trunk = ("hip_centre", "spine", "shoulder_centre", "head")
    for lower, upper in pairwise(trunk):
        assert first[lower] < first[upper]
        assert second[counterpart[lower]] < second[counterpart[upper]]


def resized(clip: np.ndarray, frames: int) -> np.ndarray:
    """(T, V, 3) to ``frames`` frames, linearly."""
    at = np.linspace(0, len(clip) - 1, frames)
    low = np.minimum(at.astype(int), len(clip) - 2)
    part = (at - low)[:, None, None]
    return clip[low] * (1 - part) + clip[low + 1] * part


def test_the_nearest_neighbour_is_as_good_as_is_known(utd: SkeletonDataset):
    """Root-centred raw coordinates, the cosine as likeness: 85.6 % cross-subject."""
    rows = []
    for at in range(len(utd)):
        clip = utd.clip(at)[0].astype(np.float64)
        row = resized(clip - clip[:, [HIP_CENTRE]], 64).ravel()
        rows.append(row / np.linalg.norm(row))
    train, test = (split(utd, "xsub", part) for part in ("train", "test"))
    values = np.array(rows)
    found = utd.labels[train][(values[test] @ values[train].T).argmax(axis=1)]
    accuracy = 100 * float((found == utd.labels[test]).mean())
    assert accuracy == pytest.approx(85.6, abs=1.0)
