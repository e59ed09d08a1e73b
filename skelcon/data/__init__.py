"""Data: from files on disk to one packed, memory-mapped `SkeletonDataset`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.data.checks import Finding, Findings, check_dataset, leaking_clips
from skelcon.data.dataset import UNKNOWN, ClipInfo, SkeletonDataset
from skelcon.data.importers import SkippedFile, Source, detect, import_dataset, open_or_import
from skelcon.data.importers.source import ClipFiles, RawClip
from skelcon.data.layouts import (
    KINECT_V1,
    KINECT_V1_SDK,
    KINECT_V2,
    LAYOUTS,
    SkeletonLayout,
    common_layout,
    joint_mapping,
    layout_from,
)
from skelcon.data.normalise import CENTRED, Normalisation, normalise
from skelcon.data.orientation import Orientation, turns
from skelcon.data.splits import (
    FOLDS,
    PROTOCOLS,
    Fold,
    Part,
    canonical_protocol,
    choose_protocol,
    groups_of,
    kind_of_groups,
    num_folds,
    require_sides,
    split,
)
from skelcon.data.summary import Summary, summarise
from skelcon.data.writer import DatasetWriter
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.data.bank import ClipBank

__all__ = [
    "CENTRED",
    "FOLDS",
    "KINECT_V1",
    "KINECT_V1_SDK",
    "KINECT_V2",
    "LAYOUTS",
    "PROTOCOLS",
    "UNKNOWN",
    "ClipBank",
    "ClipFiles",
    "ClipInfo",
    "DatasetWriter",
    "Finding",
    "Findings",
    "Fold",
    "Normalisation",
    "Orientation",
    "Part",
    "RawClip",
    "SkeletonDataset",
    "SkeletonLayout",
    "SkippedFile",
    "Source",
    "Summary",
    "canonical_protocol",
    "check_dataset",
    "choose_protocol",
    "common_layout",
    "detect",
    "groups_of",
    "import_dataset",
    "joint_mapping",
    "kind_of_groups",
    "layout_from",
    "leaking_clips",
    "normalise",
    "num_folds",
    "open_or_import",
    "require_sides",
    "split",
    "summarise",
    "turns",
]

__getattr__ = lazy_exports(__name__, {"ClipBank": "skelcon.data.bank"})  # which imports torch
