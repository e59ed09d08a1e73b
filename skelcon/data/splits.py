"""Evaluation protocols: who trains and who tests, and folds of the training side to validate on.

A data set carries its protocols as (N,) int8 rows (0 trains, 1 tests, -1 takes no part); an
importer makes them from the subjects, cameras and setups of its source.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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

NAME = r"[a-z][a-z0-9_-]{0,40}"
"""What a protocol may be called, as a regular expression."""

Part = Literal["train", "test", "fit", "validation"]
GroupKind = Literal["subject", "camera", "setup"]
TRAIN, TEST = 0, 1
CROSSED: dict[str, GroupKind] = {"xsub": "subject", "xview": "camera", "xsetup": "setup"}
"""What a protocol crosses; one that has a name of its own, subjects."""
FOLDS = 5
"""Folds of a cross-validation, where there are as many groups."""


@dataclass(frozen=True)
class Fold:
    """One of the folds of a cross-validation over the groups of the training side.

    Attributes:
        index: which one, from 0.
        of: how many there are.
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not (self.of >= 2 and 0 <= self.index < self.of):
            raise ValueError(f"there is no fold {self.index} of {self.of}")

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


def crossed_by(protocol: str) -> GroupKind:
    """What ``protocol``, by its canonical name, crosses."""
    return CROSSED.get(protocol, "subject")


def canonical_protocol(name: str, own: Collection[str] = ()) -> str:
    """``xsub``, ``xview`` or ``xsetup`` for any usual spelling, or one of a data set's ``own``.

    Raises:
        UserError: for any other name.
    """
    lowered = name.strip().lower()
    found = ALIASES.get(lowered, lowered)
    if found not in PROTOCOLS and found not in own:
        hint = nearest(lowered, (*PROTOCOLS, *ALIASES, *own))
        raise UserError(f"unknown protocol '{name}': {hint}")
    return found


def empty_sides(sides: NDArray[np.integer], *parts: Part) -> list[str]:
    """Which of ``parts`` of a protocol, by default train and test, have no clip, in words."""
    known = {"train": ("training", TRAIN), "test": ("test", TEST)}
    asked = [known[part] for part in parts or known]
    return [name for name, value in asked if not (sides == value).any()]


def choose_protocol(dataset: SkeletonDataset, preferred: Sequence[str]) -> str:
    """The first of ``preferred`` that the data set has; :class:`UserError` if it has none.

    Where several would do, and the data set has one protocol only, under a name of its own (such as
    ``random``), it is that.
    """
    wanted = [canonical_protocol(name, dataset.splits) for name in preferred]
    for name in wanted:
        if name in dataset.splits:
            return name
    if len(wanted) > 1 and len(dataset.splits) == 1:
        (only,) = dataset.splits
        if only not in PROTOCOLS:
            return only
    raise UserError(
        f"data set '{dataset.name}' has no protocol {' or '.join(wanted)}; "
        f"it has: {', '.join(sorted(dataset.splits)) or 'none'}"
    )


def require_sides(dataset: SkeletonDataset, protocol: str, *parts: Part) -> None:
    """:class:`UserError` if a side of a protocol that is about to be used has no clip.

    Args:
        dataset: where the clips are.
        protocol: one that it has.
        parts: ``train``, ``test``; by default both.
    """
    missing = empty_sides(dataset.splits[protocol], *parts)
    if not missing:
        return
    others = [name for name in sorted(dataset.splits) if not empty_sides(dataset.splits[name])]
    cure = f"give --protocol {others[0]}" if others else "import data that has both sides"
    lacks = " and no ".join(missing)
    raise UserError(f"data set '{dataset.name}', {protocol}: no {lacks} clip: {cure}")


def split(
    dataset: SkeletonDataset, protocol: str, part: Part, fold: Fold | None = None
) -> NDArray[np.int64]:
    """The clips of one side of a protocol, in file order.

    ``train`` and ``test`` are the protocol's own, whatever ``fold`` is. Of a fold ``validation``
    is the groups (see :func:`groups_of`) that it holds out of ``train``, and ``fit`` the rest of
    ``train``. No group is in both, no test clip is in either, and each training clip is validated
    in exactly one fold.

    Returns:
        (n,) int64 clip indices.

    Raises:
        UserError: if the data set has no such protocol, or fewer groups than folds.
        ValueError: for ``fit`` or ``validation`` without a fold.
    """
    name = choose_protocol(dataset, [protocol])
    sides = dataset.splits[name]
    if part in ("train", "test"):
        return np.flatnonzero(sides == (TRAIN if part == "train" else TEST))
    if fold is None:
        raise ValueError(f"'{part}' is a part of a fold: say of which")
    train = np.flatnonzero(sides == TRAIN)
    groups = groups_of(dataset, name, train)
    most = num_folds(dataset, name, at_most=fold.of)
    if most < fold.of:
        raise UserError(
            f"data set '{dataset.name}', {name}: the {most} groups of its training side cannot be "
            f"divided into {fold.of} folds"
        )
    held_out: NDArray[np.bool_] = deal(groups, fold.of) == fold.index
    return train[held_out if part == "validation" else ~held_out]


def groups_of(
    dataset: SkeletonDataset, protocol: str, clips: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which clips belong together: the clips of one subject, camera or setup.

    The groups are what the protocol crosses (subjects, cameras, setups); where the clips have
    fewer than two of them, or they are not known, subjects, and else setups. Of the training side
    they are what its folds hold out.

    Args:
        dataset: where the clips are.
        protocol: what is crossed.
        clips: (n,) indices.

    Returns:
        (n,) the group of each clip; zeros where there are no two groups.
    """
    kind = kind_of_groups(dataset, protocol, clips)
    if kind is None:
        return np.zeros(len(clips), np.int64)
    groups: NDArray[np.int64] = dataset.columns[kind][clips]
    return groups


def kind_of_groups(
    dataset: SkeletonDataset, protocol: str, clips: NDArray[np.int64]
) -> GroupKind | None:
    """What :func:`groups_of` the same clips are; None where there are no two groups."""
    crossed = crossed_by(choose_protocol(dataset, [protocol]))
    kinds: tuple[GroupKind, ...] = (crossed, "subject", "setup")
    return next((k for k in kinds if len(np.unique(dataset.columns[k][clips])) >= 2), None)


def num_folds(dataset: SkeletonDataset, protocol: str, at_most: int = FOLDS) -> int:
    """How many folds the training side has: one per group, but no more than ``at_most``.

    Raises:
        UserError: if the training side has a single group.
    """
    name = choose_protocol(dataset, [protocol])
    groups = len(np.unique(groups_of(dataset, name, split(dataset, name, "train"))))
    if groups < 2:
        raise UserError(
            f"data set '{dataset.name}', {name}: the training side has a single "
            f"{crossed_by(name)}, so no validation side can be made of it"
        )
    return min(at_most, groups)


def deal(groups: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """(n,) the fold of each clip: each group, the largest first, to the smallest fold so far.

    No group is in two folds. With fewer groups than folds the last folds are empty.
    """
    values, clips = np.unique(groups, return_counts=True)
    fold_of, sizes = np.zeros(len(values), np.int64), np.zeros(folds, np.int64)
    for at in np.argsort(-clips, kind="stable"):  # of equal ones the smaller value first
        fold_of[at] = sizes.argmin()
        sizes[fold_of[at]] += clips[at]
    return fold_of[np.searchsorted(values, groups)]


def sides_of(train: NDArray[np.bool_]) -> NDArray[np.int8]:
    """An (N,) split row: the clips of the mask ``train`` train, the others test."""
    return np.where(train, TRAIN, TEST).astype(np.int8)
