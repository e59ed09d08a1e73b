"""Protocols: empty sides, classes that cannot be learned, groups on both sides, balance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelcon.data.checks.case import Case
from skelcon.data.checks.finding import SHOWN, Finding, number_of
from skelcon.data.dataset import SkeletonDataset
from skelcon.data.splits import CROSSED, TEST, TRAIN, empty_sides

UNBALANCED = 10
"""Times as many clips in the largest class as in the smallest that has some."""


def judge_sides(case: Case) -> list[Finding] | str:
    """Sides of a protocol without a clip."""
    dataset, found = case.dataset, []
    for name in sorted(dataset.splits):
        empty = empty_sides(dataset.splits[name])
        if empty:
            text = (
                f"the {' and the '.join(empty)} side of {name} has no clip: choose another "
                "protocol, or import all of the data"
            )
            found.append(Finding("empty-side", "note", len(empty), text, tuple(empty), name))
    sizes = [
        f"{name} {(row == TRAIN).sum():,} / {(row == TEST).sum():,}"
        for name, row in sorted(dataset.splits.items())
    ]
    return found or (f"train / test: {', '.join(sizes)}" if sizes else "there is no protocol")


def judge_classes(case: Case) -> list[Finding] | str:
    """Classes without clips, without training clips, and of very different sizes."""
    dataset, found = case.dataset, []
    everywhere = _counts(dataset, np.ones(len(dataset), bool))
    unused = [dataset.class_names[at] for at in np.flatnonzero(everywhere == 0)]
    if unused:
        text = (
            f"{number_of(unused, 'class has', 'classes have')} no clip, of {dataset.num_classes}: "
            "a part of the data may be missing"
        )
        found.append(Finding("empty-class", "note", len(unused), text, tuple(unused[:SHOWN])))
    for name in sorted(dataset.splits):
        if empty_sides(dataset.splits[name]):
            continue
        sides = dataset.splits[name]
        untrained = np.flatnonzero((_counts(dataset, sides == TRAIN) == 0) & (everywhere > 0))
        if len(untrained):
            text = (
                f"{number_of(untrained, 'class has', 'classes have')} no training clip in {name}, "
                f"and {_counts(dataset, sides == TEST)[untrained].sum()} test clips: these cannot "
                "be learned"
            )
            names = tuple(dataset.class_names[at] for at in untrained[:SHOWN])
            found.append(Finding("empty-class", "note", len(untrained), text, names, name))
    return (found + _balance(dataset, everywhere)) or (
        f"{number_of(dataset.class_names, 'class', 'classes')}, {everywhere.min():,} to "
        f"{everywhere.max():,} clips each"
    )


def _balance(dataset: SkeletonDataset, counts: NDArray[np.int64]) -> list[Finding]:
    used = np.flatnonzero(counts)
    if not len(used):
        return []
    least, most = (int(used[at]) for at in (counts[used].argmin(), counts[used].argmax()))
    if counts[most] <= UNBALANCED * counts[least]:
        return []
    few, many = (f"'{dataset.class_names[at]}' has {counts[at]:,}" for at in (least, most))
    text = (
        f"classes differ much in size: {many} clips and {few}: an accuracy over all clips says "
        "little about small classes, report the mean over classes too"
    )
    names = tuple(dataset.class_names[at] for at in used[np.argsort(counts[used])][:SHOWN])
    return [Finding("balance", "note", len(used), text, names)]


def judge_groups(case: Case) -> list[Finding] | str:
    """Subjects on both sides of a cross-subject protocol, likewise cameras and setups."""
    dataset, found, judged = case.dataset, [], []
    for name, kind in CROSSED.items():
        if name not in dataset.splits:
            continue
        sides, groups = dataset.splits[name], dataset.columns[kind]
        train, test = (set(groups[sides == side].tolist()) for side in (TRAIN, TEST))
        if not any(group >= 0 for group in train | test):
            continue  # nothing states them
        judged.append(name)
        both = sorted(group for group in train & test if group >= 0)
        if both:
            clips = int(np.isin(groups[sides == TEST], both).sum())
            text = (
                f"{number_of(both, f'{kind} has', f'{kind}s have')} clips on both sides of {name}, "
                f"{clips} of them in test: it is not a cross-{kind} protocol; split by {kind}, or "
                "rename the protocol"
            )
            names = tuple(f"{kind} {group}" for group in both[:SHOWN])
            found.append(Finding("group", "error", len(both), text, names, name))
    return found or (
        f"none is on both sides of {', '.join(judged)}" if judged else "no groups are stated"
    )


def _counts(dataset: SkeletonDataset, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(classes,) how many of the chosen clips each class has; labels of no class count nowhere."""
    labels = dataset.labels[chosen]
    valid = labels[(labels >= 0) & (labels < dataset.num_classes)]
    return np.bincount(valid, minlength=dataset.num_classes)
