"""Videos, labels and lists in the layout of PKU-MMD."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from skelcon.data import (
    Normalisation,
    SkeletonDataset,
)

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
UserErrorOf = Callable[..., str]
Row = tuple[int, int, int, int]

FRAMES = 30
LABELS: Mapping[str, Sequence[Row]] = {
    "0002-L": [(1, 0, 7, 1), (51, 7, 30, 2), (14, 12, 20, 1)],
    "0002-M": [(1, 1, 8, 1)],
    "0003-R": [(28, 3, 4, 2), (2, 5, 30, 2)],
    "0004-M": [(9, 2, 20, 1)],
}
LABELS_2: Mapping[str, Sequence[Row]] = {
    "A01N02-L": [(4, 0, 9, 2)],
    "A01N03-R": [(5, 2, 9, 2), (6, 9, 12, 1)],
    "A10N08-L": [(51, 1, 30, 2)],
}
CROSS_VIEW = "Training videos: \n0002-L, 0003-R, \nValidataion videos: \n0002-M, "
CROSS_SUBJECT = "Training videos: \r\n0003-R, 0003-M,\r\nValidataion videos: \r\n0002-M,0002-L"


def values_of(video: str) -> np.ndarray:
    """(T, 150), of six digits as the files have them; the second body comes late, or never."""
    rng = np.random.default_rng(list(video.encode()))
    values = rng.normal(0.3, 0.9, (FRAMES, 150)).round(6)
    values[: 10 if video.endswith("L") else FRAMES, 75:] = 0
    return values


def rows_of(values: np.ndarray, end: str = "\n") -> bytes:
    """``end`` may have blanks before the end of the line."""
    lines = [" ".join(f"{value:.6f}" for value in row) for row in values]
    return (end.join(lines) + end).encode()


def write_videos(
    folder: Path,
    labels: Mapping[str, Sequence[Row]],
    *,
    skeletons: str = "PKU_Skeleton_Renew",
    label: str = "Label/Train_Label_PKU_final",
    lists: Mapping[str, str] | None = None,
    end: str = "\n",
) -> Path:
    for place in (skeletons, label):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for video, rows in labels.items():
        (folder / skeletons / f"{video}.txt").write_bytes(rows_of(values_of(video), end))
        text = "".join(f"{a},{b},{c},{d}{end}" for a, b, c, d in rows)
        (folder / label / f"{video}.txt").write_bytes(text.encode())
    for name, text in (lists or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def write_source(folder: Path) -> Path:
    """The videos of ``LABELS`` with lists of both protocols."""
    lists = {"Split/cross-view.txt": CROSS_VIEW, "Split/cross-subject.txt": CROSS_SUBJECT}
    return write_videos(folder, LABELS, lists=lists)


def check_clips(dataset: SkeletonDataset, labels: Mapping[str, Sequence[Row]]) -> None:
    listed = [(video, at, *row) for video, rows in labels.items() for at, row in enumerate(rows, 1)]
    assert dataset.clip_names == tuple(f"{video}-{at:03d}" for video, at, *_ in listed)
    assert dataset.labels.tolist() == [number - 1 for _, _, number, *_ in listed]
    for at, (video, _, _, start, end, _) in enumerate(listed):
        expected = np.zeros((dataset.max_bodies, end - start, 25, 3), np.float32)
        frames = values_of(video)[start:end].astype(np.float32).reshape(-1, 2, 25, 3)
        expected[: frames.shape[1]] = frames.transpose(1, 0, 2, 3)
        np.testing.assert_array_equal(dataset.clip(at), expected)
