"""Evaluation protocols: who trains and who tests, and a validation side of training clips only.

A data set carries its protocols as (N,) int8 rows (0 trains, 1 tests, -1 takes no part); an
importer makes them from the subjects, cameras and setups of its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import SkeletonDataset
from skelcon.errors import UserError, nearest

PROTOCOLS = ("xsub", "xview", "xsetup")
ALIASES = {
    "cross_subject": "xsub",
    "cross-subject": "xsub",
    "cs": "xsub",
    "x-sub": "xsub",
    "cross_view": "xview",
    "cross-view": "xview",
    "cv": "xview",
    "x-view": "xview",
    "cross_setup": "xsetup",
    "cross-setup": "xsetup",
    "x-setup": "xsetup",
    "xset": "xsetup",
    "x-set": "xsetup",
    "csetup": "xsetup",
    "cset": "xsetup",
    "csub": "xsub",
}

Part = Literal["train", "test", "fit", "validation"]
TRAIN, TEST = 0, 1
CROSSED = {"xsub": "subject", "xview": "camera", "xsetup": "setup"}


def canonical_protocol(name: str) -> str:
    """``xsub``, ``xview`` or ``xsetup`` for any usual spelling; :class:`UserError` otherwise."""
    lowered = name.strip().lower()
    found = ALIASES.get(lowered, lowered)
    if found not in PROTOCOLS:
        raise UserError(f"unknown protocol '{name}': {nearest(lowered, (*PROTOCOLS, *ALIASES))}")
    return found


def choose_protocol(dataset: SkeletonDataset, preferred: Sequence[str]) -> str:
    """The first of ``preferred`` that the data set has; :class:`UserError` if it has none."""
    wanted = [canonical_protocol(name) for name in preferred]
    for name in wanted:
        if name in dataset.splits:
            return name
    raise UserError(
        f"data set '{dataset.name}' has no protocol {' or '.join(wanted)}; "
        f"it has: {', '.join(sorted(dataset.splits))}"
    )


def split(dataset: SkeletonDataset, protocol: str, part: Part) -> NDArray[np.int64]:
    """The clips of one side of a protocol, in file order.

    ``train`` and ``test`` are the protocol's own. ``fit`` and ``validation`` divide ``train``
    by its groups, about two to one: no test clip is in either. Its groups are what the protocol
    crosses (subjects, cameras, setups); where fewer than two of them train, or they are not known,
    subjects, and else setups.

    Returns:
        (n,) int64 clip indices.
    """
    name = choose_protocol(dataset, [protocol])
    sides = dataset.splits[name]
    if part in ("train", "test"):
        return np.flatnonzero(sides == (TRAIN if part == "train" else TEST))
    train = np.flatnonzero(sides == TRAIN)
    crossed = CROSSED[name]
    for column in (crossed, "subject", "setup"):
        groups = dataset.columns[column][train]
        ordered = np.unique(groups)
        if len(ordered) >= 2:
            break
    else:
        raise UserError(
            f"data set '{dataset.name}', {name}: the training side has a single {crossed}, "
            "so no validation side can be made of it"
        )
    held_out = ordered[2::3] if len(ordered) > 2 else ordered[1:]
    chosen = np.isin(groups, held_out)
    return train[chosen if part == "validation" else ~chosen]


def groups_of(
    dataset: SkeletonDataset, protocol: str, clips: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which clips belong together: those of one subject, camera or setup.

    The groups are what the protocol crosses (subjects, cameras, setups); where the clips have
    fewer than two of them, or they are not known, subjects, and else setups.

    Args:
        dataset: where the clips are.
        protocol: what is crossed.
        clips: (n,) indices.

    Returns:
        (n,) the group of each clip; zeros where there are no two groups.
    """
    crossed = CROSSED[choose_protocol(dataset, [protocol])]
    for column in (crossed, "subject", "setup"):
        groups: NDArray[np.int64] = dataset.columns[column][clips]
        if len(np.unique(groups)) >= 2:
            return groups
    return np.zeros(len(clips), np.int64)


def sides_of(train: NDArray[np.bool_]) -> NDArray[np.int8]:
    """An (N,) split row from who trains; everyone else tests."""
    return np.where(train, TRAIN, TEST).astype(np.int8)
