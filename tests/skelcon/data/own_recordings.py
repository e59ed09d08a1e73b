"""A made set of clips, and the ways in which somebody may have it on a disk."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skelcon.data import SkeletonDataset, import_dataset
from skelcon.data.importers.own.finding import described_source
from skelcon.errors import UserError

LAYOUT = """\
name: tiny
joints: [base, top, left, right]
bones: [[top, base], [left, top], [right, top]]
centre: base
spine: [base, top]
shoulders: [right, left]
"""
ACTIONS = ("sit", "stand", "wave")
SUBJECTS = (1, 2, 3, 5)


@dataclass(frozen=True)
class Made:
    """A clip: coordinates (T, 4, 3) with three decimals, none of them zero."""

    name: str
    label: str
    subject: int
    values: np.ndarray


def made_clips(seed: int = 0) -> list[Made]:
    draws = np.random.default_rng(seed)
    out = []
    for action in ACTIONS:
        for subject in SUBJECTS:
            values = draws.integers(1, 2000, (int(draws.integers(3, 7)), 4, 3)) / 1000
            out.append(Made(f"{action}_p{subject:02d}", action, subject, values))
    return out


def padded(clips: Sequence[Made], fill: float = 0.0) -> np.ndarray:
    joints = clips[0].values.shape[1]
    out = np.full((len(clips), max(len(clip.values) for clip in clips), joints, 3), fill)
    for at, clip in enumerate(clips):
        out[at, : len(clip.values)] = clip.values
    return out


def write_layout(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(LAYOUT)
    return str(path)


def write_npz(path: Path, clips: Sequence[Made], **others: Any) -> Path:
    facts = {
        "x": padded(clips),
        "y": np.array([clip.label for clip in clips]),
        "subject": np.array([clip.subject for clip in clips]),
        "names": np.array([clip.name for clip in clips]),
    }
    np.savez(path, **{**facts, **others})
    return path


def write_files(folder: Path, clips: Sequence[Made]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        rows = [" ".join(f"{x:.3f}" for x in joint) for frame in clip.values for joint in frame]
        (folder / f"{clip.name}.txt").write_text("\n".join(rows) + "\n")
    return folder


def write_manifest(path: Path, clips: Sequence[Made], folder: str) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "subject", "side"])
        for clip in clips:
            side = "train" if clip.subject < 3 else "test"
            rows.writerow([f"{folder}/{clip.name}.txt", clip.label, clip.subject, side])
    return path


def long_rows(clips: Sequence[Made]) -> list[list[Any]]:
    return [
        [clip.name, t, v, *joint.tolist(), clip.label, clip.subject]
        for clip in clips
        for t, frame in enumerate(clip.values)
        for v, joint in enumerate(frame)
    ]


LONG = ["clip", "frame", "joint", "x", "y", "z", "label", "subject"]


def write_long(path: Path, clips: Sequence[Made]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([LONG, *long_rows(clips)])
    return path


def imported(
    path: Path, out: Path, options: Mapping[str, Any], **how: Any
) -> tuple[SkeletonDataset, list[Any]]:
    source = described_source(path, options)
    if source is None:
        raise UserError(f"nothing describes '{path}'")
    return import_dataset(source, out, **{"workers": 1, **how})


def digest(dataset: SkeletonDataset) -> str:
    """Of the coordinates alone."""
    return hashlib.sha256(np.ascontiguousarray(dataset.frames).tobytes()).hexdigest()
