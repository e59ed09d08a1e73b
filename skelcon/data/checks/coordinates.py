"""Coordinates that cannot be, files that do not belong together, and clips without anything."""

from __future__ import annotations

import numpy as np

from skelcon.data.checks.case import Case
from skelcon.data.checks.finding import Finding, number_of, of_clips
from skelcon.data.dataset import SkeletonDataset
from skelcon.data.importers.parts import FARTHEST

AGAIN = "import the data again, or leave what is bad out (--exclude)"


def unread(dataset: SkeletonDataset) -> Finding | None:
    """Why the frames cannot be read at all, if they cannot."""
    rows = int(np.maximum(dataset.blocks["count"], 0).astype(float).sum())
    if rows <= len(dataset.frames):
        return None
    text = (
        f"index.npz lists {rows} frames and frames.npy has {len(dataset.frames)}: they do not "
        "belong together; import the data again"
    )
    return Finding("index", "error", len(dataset), text)


def judge_coordinates(case: Case) -> list[Finding] | str:
    """Whether all coordinates are numbers that a sensor can have seen."""
    scan = case.scan
    kinds = (
        ("nan", scan.nan, f"a coordinate that is not a number (NaN): {AGAIN}"),
        ("infinite", scan.infinite, f"an infinite coordinate: {AGAIN}"),
        (
            "far",
            scan.far,
            f"a coordinate of {FARTHEST:g} m or beyond, which no sensor can see: {AGAIN}",
        ),
    )
    found = [
        of_clips(kind, clips, case.dataset, f"{number_of(clips, 'clip has', 'clips have')} {text}")
        for kind, clips, text in kinds
        if clips
    ]
    return found or "all are finite numbers"


def judge_files(case: Case) -> list[Finding] | str:
    """Whether the files are those that were written."""
    dataset, found = case.dataset, []
    if misplaced := np.flatnonzero(case.scan.misplaced).tolist():
        text = (
            f"{number_of(misplaced, 'clip has', 'clips have')} a label without a class, or frames "
            "beyond its end or the end of frames.npy: index.npz is damaged; import the data again"
        )
        found.append(of_clips("index", misplaced, dataset, text))
    return (found + fingerprint(dataset)) or "they are as they were written"


def fingerprint(dataset: SkeletonDataset) -> list[Finding]:
    """Whether the content matches the fingerprint."""
    if dataset.content_digest() == dataset.fingerprint:
        return []
    text = (
        f"the content does not match the fingerprint {dataset.fingerprint}: a file was changed or "
        "damaged since it was written; import the data again"
    )
    return [Finding("fingerprint", "error", 1, text)]


def judge_emptiness(case: Case) -> list[Finding] | str:
    """Clips without a body, or without motion."""
    dataset, found = case.dataset, []
    if zero := case.scan.zero:
        text = f"nothing but zeros, so no body is present: {AGAIN}"
        text = f"{number_of(zero, 'clip has', 'clips have')} {text}"
        found.append(of_clips("zero", zero, dataset, text))
    single = np.flatnonzero(dataset.lengths == 1).tolist()
    if single:
        have = number_of(single, "clip has", "clips have")
        text = f"{have} a single frame: there is no motion in it"
        found.append(of_clips("single-frame", single, dataset, text, "note"))
    return found or "every clip has a body, and more than one frame"
