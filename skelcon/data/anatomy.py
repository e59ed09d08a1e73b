"""Whether coordinates can be bodies: the order of the joints, the unit, the axis up.

A bone keeps its length while a body moves, both sides of a body are alike, and neighbouring joints
are closer than others. In a wrong order of the joints nothing of this holds, so the right order can
be recognised. The lengths of the bones then show the unit, and the head above the feet the axis up.

Distances of 2D layouts are measured in the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import SkeletonDataset
from skelcon.data.layouts import LAYOUTS, SkeletonLayout
from skelcon.data.normalise import Normalisation

Array = NDArray[np.float64]
DoubtKind = Literal["joint-order", "unit", "up"]
DOUBTS: tuple[DoubtKind, ...] = get_args(DoubtKind)

CLIPS, FRAMES = 128, 16
"""Of the sample: clips, and frames of each."""
BETTER = 0.85
"""Another layout is proposed whose misfit is smaller than this share of the own one's."""
MISFIT = 2.5
"""The largest misfit of a layout that is not doubted. Right ones have 1.1 to 1.9."""
HEIGHTS = 0.6, 2.6
"""Metres along the bones from the head to the ankles, of children and of tall people."""
UPRIGHT = 0.7
"""The least share of the line from feet to head along the axis that is up."""
_SMALLER_UNITS = {"mm": 1e-3, "cm": 1e-2}


@dataclass(frozen=True)
class Anatomy:
    """The median body of a sample of clips.

    Attributes:
        distances: (V, V) between joints, in the unit of the data; NaN where one is never seen.
        places: (V, C) relative to the median of all joints.
    """

    distances: Array
    places: Array


@dataclass(frozen=True)
class Fit:
    """How well a layout fits.

    Attributes:
        length: of all bones, as a multiple of the shortest tree that joins all joints.
        asymmetry: the mean difference in length between a bone and the other side's, as a share.
    """

    layout: SkeletonLayout
    length: float
    asymmetry: float

    @property
    def misfit(self) -> float:
        """One number; 1 would be perfect."""
        return self.length * (1 + self.asymmetry)


@dataclass(frozen=True)
class Doubt:
    """Something in which the data contradicts its layout; ``text`` says what and how to fix it."""

    kind: DoubtKind
    severity: Literal["error", "note"]
    text: str


def main_bodies(dataset: SkeletonDataset, clips: Iterable[int]) -> Iterator[Array]:
    """(T, V, C) the main body of each clip, in evenly spaced frames; missing joints are NaN."""
    for offset, count in np.stack(dataset.main_blocks, axis=1)[list(clips)].tolist():
        rows = offset + np.unique(np.linspace(0, max(count - 1, 0), FRAMES).round().astype(int))
        values = dataset.frames[rows].astype(np.float64)
        yield seen_joints(values, dataset.layout, dataset.normalisation)


def seen_joints(body: Array, layout: SkeletonLayout, done: Normalisation) -> Array:
    """(T, V, C) a body (T, V, 3) after the steps ``done``; joints that are missing are NaN."""
    there = np.any(body != 0, axis=-1)
    if done.centre:
        there[:, list(layout.at_origin)] |= there.any(axis=1, keepdims=True)
    usable = there & np.isfinite(body).all(axis=-1)
    return np.where(usable[..., None], body, np.nan)[..., : layout.dimensions]


def anatomy_of(dataset: SkeletonDataset) -> Anatomy:
    """The median body of evenly spaced clips."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, CLIPS).round().astype(int)).tolist()
    return anatomy_of_bodies(main_bodies(dataset, chosen))


def anatomy_of_bodies(bodies: Iterable[Array]) -> Anatomy:
    """The median of bodies (T, V, C), one of each clip; missing joints are NaN."""
    found = [_of_clip(body) for body in bodies]
    return Anatomy(*(median(np.stack(each)) for each in zip(*found, strict=True)))


def _of_clip(body: Array) -> tuple[Array, Array]:
    """Distances and places of a clip (T, V, C)."""
    apart = np.linalg.norm(body[:, :, None] - body[:, None], axis=-1)
    middles = median(np.moveaxis(body, 1, 0))
    return median(apart), median(body - middles[:, None])


def bone_variation(body: Array, layout: SkeletonLayout) -> float:
    """How far the bones of a clip (T, V, C) are from constant: their deviation, as a share."""
    bones = np.array(layout.bones)
    lengths = np.linalg.norm(body[:, bones[:, 0]] - body[:, bones[:, 1]], axis=-1)
    middle = median(lengths)
    spread = median(np.abs(lengths - middle))
    total = float(np.nansum(middle))
    return float(np.nansum(spread)) / total if total > 0 else np.nan


def median(values: Array) -> Array:
    """The median over the first axis of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    ordered = np.sort(values, axis=0)  # NaN last
    count = known.sum(axis=0)
    low, high = (
        np.take_along_axis(ordered, middle[None], axis=0)[0]
        for middle in (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1))
    )
    out: Array = np.where(count > 0, (low + high) / 2, np.nan)
    return out


def fit_of(anatomy: Anatomy, layout: SkeletonLayout) -> Fit | None:
    """How well ``layout`` fits; None if too little is seen of its bones to say so."""
    bones = np.array(layout.bones)
    lengths = anatomy.distances[bones[:, 0], bones[:, 1]]
    known = ~np.isnan(lengths)
    shortest = _shortest_tree(anatomy.distances)
    if known.sum() < 2 or not shortest > 0:
        return None
    mirrored = layout.mirrored
    place = {frozenset(bone): at for at, bone in enumerate(layout.bones)}
    differences = []
    for at, (child, parent) in enumerate(layout.bones):
        other = place.get(frozenset((mirrored[child], mirrored[parent])), at)
        if other > at and lengths[[at, other]].min() > 0:
            one, two = lengths[at], lengths[other]
            differences.append(max(one, two) / min(one, two) - 1)
    asymmetry = float(np.mean(differences)) if differences else 0.0
    return Fit(layout, float(lengths[known].sum()) / shortest, asymmetry)


def _shortest_tree(distances: Array) -> float:
    """The length of the minimum spanning tree of the joints that are seen (Prim)."""
    unknown = np.isnan(distances)
    left = np.flatnonzero(~unknown.all(axis=0))
    if not len(left):
        return 0.0
    lengths = np.where(unknown, np.inf, distances)
    nearest_to_tree, left = lengths[left[-1]], left[:-1]
    total = 0.0
    while len(left):
        at = nearest_to_tree[left].argmin()
        joint, left = left[at], np.delete(left, at)
        if np.isfinite(nearest_to_tree[joint]):
            total += float(nearest_to_tree[joint])
        nearest_to_tree = np.minimum(nearest_to_tree, lengths[joint])
    return total


def best_fit(anatomy: Anatomy, layout: SkeletonLayout) -> tuple[Fit | None, Fit | None]:
    """How ``layout`` fits, and the known one of as many joints that fits much better, if any."""
    own = fit_of(anatomy, layout)
    if own is None:
        return None, None
    others = [
        fit
        for each in LAYOUTS.values()
        if (each.num_joints, each.dimensions) == (layout.num_joints, layout.dimensions)
        and (fit := fit_of(anatomy, each)) is not None
    ]
    best = min(others, key=lambda fit: fit.misfit, default=own)
    return own, best if best.misfit < min(BETTER * own.misfit, MISFIT) else None


def height_of(distances: Array, layout: SkeletonLayout) -> float | None:
    """Along the bones from the head to the ankles (or feet); None if the layout has neither."""
    parents = dict(layout.bones)

    def to_root(joint: int) -> set[tuple[int, int]]:
        bones = set()
        while joint in parents:
            bones.add((joint, parents[joint]))
            joint = parents[joint]
        return bones

    heads, feet = _ends(layout)
    lengths = [
        sum(float(distances[bone]) for bone in to_root(foot) ^ to_root(head))
        for foot in feet
        for head in heads
    ]
    known = [length for length in lengths if length > 0]
    return float(np.median(known)) if known else None


def _ends(layout: SkeletonLayout) -> tuple[list[int], list[int]]:
    """The joints that are the head, and those that are the ankles, by their names."""

    def named(*words: str) -> list[int]:
        found = [[at for at, name in enumerate(layout.joints) if word in name] for word in words]
        return next((each for each in found if each), [])

    head = [at for at, name in enumerate(layout.joints) if name == "head"]
    return head or named("nose", "head"), named("ankle", "foot")


def doubts(anatomy: Anatomy, layout: SkeletonLayout, done: Normalisation) -> tuple[Doubt, ...]:
    """In what the data contradicts ``layout``; ``done`` is what the coordinates went through.

    Unit and axis are judged with the layout that fits best, and the axis not of clips that were
    turned by other joints than those that the layout means.
    """
    own, better = best_fit(anatomy, layout)
    if own is None:
        return ()
    found = [_order(own, better)]
    judged = layout if better is None else better.layout
    turned = done.spine_to_z or done.shoulders_to_x
    if better is not None or own.misfit <= MISFIT:
        if not done.scale:
            found.append(_unit(anatomy, judged))
        if better is None or not turned:
            found.append(_up(anatomy, judged, "z" if done.spine_to_z else layout.up))
    return tuple(doubt for doubt in found if doubt is not None)


def doubts_about(dataset: SkeletonDataset) -> tuple[Doubt, ...]:
    """In what a data set contradicts its layout."""
    return doubts(anatomy_of(dataset), dataset.layout, dataset.normalisation)


def _order(own: Fit, better: Fit | None) -> Doubt | None:
    facts = (
        f"its bones are {own.length:.1f} times as long as a body needs, and left and right "
        f"differ by {own.asymmetry:.0%}"
    )
    name = own.layout.name
    if better is not None:
        return Doubt(
            "joint-order",
            "error",
            f"the joints are not in the order of {name}: {facts}; {better.layout.name} fits "
            f"({better.length:.1f} times, {better.asymmetry:.0%}): import the data with it "
            f"(--layout {better.layout.name})",
        )
    if own.misfit > MISFIT:
        return Doubt(
            "joint-order",
            "note",
            f"the joints may not be in the order of {name}: {facts}; no known layout of "
            f"{own.layout.num_joints} joints fits better: draw a clip (skelcon data show), and "
            "describe the order in a file (--layout FILE.yaml)",
        )
    return None


def _unit(anatomy: Anatomy, layout: SkeletonLayout) -> Doubt | None:
    height = height_of(anatomy.distances, layout)
    low, high = HEIGHTS
    if height is None or layout.dimensions == 2 or low <= height <= high:
        return None
    body = f"a body measures {height:,.{0 if height > 20 else 2}f} m from ankles to head"
    for unit, factor in _SMALLER_UNITS.items():
        if low <= height * factor <= high:
            return Doubt(
                "unit",
                "error",
                f"{body}: the coordinates are in {unit}, not in metres; import them with a layout "
                f"that has unit: {unit}",
            )
    return Doubt(
        "unit",
        "note",
        f"{body}: the coordinates are not in metres, or were scaled; import them with a layout "
        "that states their unit",
    )


def up_axis(anatomy: Anatomy, layout: SkeletonLayout) -> tuple[dict[str, float], str] | None:
    """The share of the line from feet to head along each axis, and the axis with the largest share.

    None if the layout has no head or no feet, or they are not seen.
    """
    heads, feet = _ends(layout)
    if not heads or not feet:
        return None
    line = median(anatomy.places[heads]) - median(anatomy.places[feet])
    length = float(np.linalg.norm(line))
    if not length > 0:
        return None
    shares: dict[str, float] = {}
    for axis, share in zip("xyz", (line / length).tolist(), strict=False):
        shares |= {axis: share, f"-{axis}": -share}
    return shares, max(shares, key=lambda axis: shares[axis])


def _up(anatomy: Anatomy, layout: SkeletonLayout, stated: str) -> Doubt | None:
    found = up_axis(anatomy, layout)
    if found is None:
        return None
    shares, seen = found
    if not shares[seen] > UPRIGHT or shares[stated] > 1 - UPRIGHT:
        return None
    return Doubt(
        "up",
        "error",
        f"the head is above the feet along {seen}, and the layout says that {stated} is up: import "
        f"the data with a layout that has up: {seen}",
    )
