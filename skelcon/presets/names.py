"""The data sets and representations that parts of a preset are for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skelcon.data import SkeletonDataset

BY_DATA, BY_REPRESENTATIONS = "by_data", "by_representations"
PARTS = (BY_DATA, BY_REPRESENTATIONS)


@dataclass(frozen=True)
class DataNames:
    """The names of the data sets whose parts of a preset apply; a transfer has two.

    Attributes:
        pretraining: for the settings of ``pretrain``.
        task: for the settings of the downstream task.
    """

    pretraining: str
    task: str

    @classmethod
    def of(cls, dataset: SkeletonDataset, source: SkeletonDataset | None = None) -> DataNames:
        """Of an evaluation on ``dataset``; ``source``: what is pre-trained on, if another."""
        return cls((source or dataset).name, dataset.name)


def canonical_data(name: str) -> str:
    """One spelling of a data set's name.

    >>> [canonical_data(name) for name in ("ntu-120", "NTU RGB+D 60", "PKU-MMD II", "UTD-MHAD")]
    ['ntu120', 'ntu60', 'pkummd2', 'utdmhad']
    """
    letters = re.sub(r"[^\w]|_", "", name.lower())
    known = re.fullmatch(r"(ntu|pku)(?:rgbd|mmd)?(60|120|1|2|i|ii)", letters)
    if known is None:
        return letters
    family, part = known.groups()
    return f"ntu{part}" if family == "ntu" else f"pkummd{len(part) if 'i' in part else part}"
