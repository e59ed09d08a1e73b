"""UTD-MHAD: ``a{action}_s{subject}_t{trial}_skeleton.mat``, variable d_skel (20, 3, T), metres."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.files import check_file, files_named, numbers_in, read_class_names
from skelcon.data.importers.mat import read_mat
from skelcon.data.importers.source import ClipFiles, Source
from skelcon.data.layouts import KINECT_V1
from skelcon.data.splits import sides_of

CLASS_NAMES = read_class_names("utd_mhad")

LARGEST = 16 << 20
"""Bytes; some thirty thousand frames, where a clip has at most some hundred."""
_LARGEST_SUBJECT = 10**6
_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat")


class UtdMhad(ClipFiles):
    """UTD-MHAD: 27 actions, 8 subjects, one body, a file a clip."""

    family = "utd-mhad"
    title = "UTD-MHAD"
    name = "UTD-MHAD"
    layout = KINECT_V1
    class_names = CLASS_NAMES

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """The clips' files in a directory, by action, subject and trial."""
        found = files_named(path, _NAME)
        found.sort(key=lambda file: numbers_in(file.name, _NAME))
        return cls(path, found) if found else None

    def info(self, name: str) -> ClipInfo:
        """Action and subject of a file's name."""
        action, subject, _ = numbers_in(name, _NAME)
        if not 1 <= action <= len(CLASS_NAMES):
            raise ValueError(f"action {action} is not one of 1 to {len(CLASS_NAMES)}")
        if subject > _LARGEST_SUBJECT:
            raise ValueError(f"subject {subject} is beyond all subjects")
        return ClipInfo(name.removesuffix("_skeleton.mat"), action - 1, subject)

    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """Cross-subject: odd subjects train, even subjects test."""
        subjects = np.array([info.subject for info in infos])
        return {"xsub": sides_of(subjects % 2 == 1)}

    def coordinates(self, path: Path, info: ClipInfo) -> NDArray[np.float64]:
        """(1, T, 20, 3) metres."""
        check_file(path, LARGEST)
        values = read_mat(path, "d_skel", LARGEST).get("d_skel")
        if values is None:
            raise ValueError("has no variable d_skel")
        if values.ndim != 3 or values.shape[:2] != (20, 3) or not values.shape[2]:
            raise ValueError(f"d_skel has shape {values.shape}, not (20, 3, T)")
        if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
            raise ValueError(f"d_skel holds {values.dtype}, not real numbers")
        clip: NDArray[np.float64] = np.asarray(values, np.float64).transpose(2, 0, 1)[None]
        return clip
