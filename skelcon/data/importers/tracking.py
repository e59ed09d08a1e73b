"""Bodies followed over the frames of a clip, phantoms dropped, and the rest ranked.

A sensor lists the bodies of a frame in any order, and lists things that are not bodies. Here a body
is followed by the ids of the file where these can be used, else by least motion of its centre. A
body that is lost and found again near by is one body. Phantoms are found by the rules and
thresholds of the public preprocessing of NTU RGB+D (HCN's authors, and CTR-GCN's after them):

- ``short``: seen in at most 11 frames, and in less than half as many as the body seen longest;
- ``wide``: wider than 0.8 of its height in 69.8 % of its frames or more, while another is not;
- ``motion``: the variance of its joints is not within 0.09 and 2 m², while another body's is.

A clip never loses its last body. What is left is ranked by presence times motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from skelcon.printable import counted

SHORT = 11
"""Frames."""
WIDE, OFTEN_WIDE = 0.8, 0.69754
"""Width over height of a frame, and the share of frames."""
LEAST_VARIANCE, MOST_VARIANCE = 0.089925, 2.0
"""Square metres, of all joints in all frames, the three coordinates added."""
_STEP, _SPEED, _FARTHEST = 0.5, 0.1, 2.0
"""Metres that a body moves between two frames, more for each frame unseen, and at most."""
_UNSEEN = 30
"""Frames after which a body that has no id is looked for no longer."""

_CANDIDATES = 16
"""Bodies that one may be the continuation of: the sensor sees six at a time."""

Clip = NDArray[np.floating]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class BodyCounts:
    """What was done to the bodies of clips.

    Attributes:
        short, wide, motion: phantoms dropped, by rule.
        swaps: frames in which a body that was kept changed its place in the listing.
        joined: bodies that were lost, and found again as another.
    """

    short: int = 0
    wide: int = 0
    motion: int = 0
    swaps: int = 0
    joined: int = 0

    def __add__(self, other: BodyCounts) -> BodyCounts:
        names = [field.name for field in fields(self)]
        return BodyCounts(*(getattr(self, name) + getattr(other, name) for name in names))

    def __str__(self) -> str:
        rules = {"short": self.short, "wide": self.wide, "motion": self.motion}
        why = ", ".join(f"{rule} {count:,}" for rule, count in rules.items() if count)
        return (
            f"{counted(sum(rules.values()), 'phantom')} dropped{f' ({why})' if why else ''}, "
            f"{counted(self.swaps, 'swap')} corrected, {self.joined:,} joined"
        )


@dataclass(frozen=True)
class _Body:
    """One body: the frames that have it, in order, its place in the listing of each, its joints.

    ``points`` is (n, V, 3), and ``centres`` (n, 3) the mean of the joints that are there.
    """

    frames: NDArray[np.int64]
    places: NDArray[np.int64]
    points: Clip
    centres: Clip


def track(clip: Clip, ids: Ids | None = None, up: int = 1) -> tuple[Clip, BodyCounts]:
    """The bodies of a clip as it lists them, followed and ranked.

    Args:
        clip: (M, T, V, 3) metres as the sensor has them, absent bodies and joints zeros.
        ids: (M, T) which body it is, -1 where that is not stated.
        up: the axis of a body's height.

    Returns:
        (B, T, V, 3), B >= 1, the main body first; and what was done.
    """
    present: NDArray[np.bool_] = np.asarray(clip.any(axis=(2, 3)))
    if not present.any() or (len(clip) == 1 and (ids is None or _is_one(ids[present]))):
        return clip[:1], BodyCounts()
    centres = _centres(clip)
    if ids is None or not _usable(ids, present):
        ids = _followed(centres, present)
    found = _split(clip, centres, np.where(present, ids, -1))
    bodies = _joined(found)
    joined = len(found) - len(bodies)
    counts = {}
    for rule, is_phantom in _RULES:
        before = len(bodies)
        bodies = _without(bodies, is_phantom, up)
        counts[rule] = before - len(bodies)
    if len(bodies) > 1:
        bodies.sort(key=lambda body: -len(body.frames) * _motion(body))  # stable: else as seen
    out = np.zeros((len(bodies), *clip.shape[1:]), clip.dtype)
    changed: set[int] = set()
    for number, body in enumerate(bodies):
        out[number, body.frames] = body.points
        changed.update(body.frames[1:][np.diff(body.places) != 0].tolist())
    return out, BodyCounts(**counts, swaps=len(changed), joined=joined)


def _centres(clip: Clip) -> Clip:
    """(M, T, 3) the mean of the joints that are there; zeros of an absent body."""
    there = clip.any(axis=3).sum(axis=2)
    means: Clip = clip.sum(axis=2) / np.maximum(there, 1)[..., None]
    return means


def _is_one(ids: Ids) -> bool:
    return bool(ids[0] >= 0 and (ids == ids[0]).all())


def _usable(ids: Ids, present: NDArray[np.bool_]) -> bool:
    """Whether every body has an id, and no two of a frame the same."""
    if (ids[present] < 0).any():
        return False
    ordered = np.sort(np.where(present, ids, -1), axis=0)
    return not ((ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)).any()


def _reach(unseen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Metres that a body may be off where it was, by the frames in between."""
    return np.asarray(np.minimum(_STEP + _SPEED * unseen, _FARTHEST))


def _followed(centres: Clip, present: NDArray[np.bool_]) -> Ids:
    """(M, T) ids by least motion: the bodies of a frame are assigned to the bodies seen last."""
    from scipy.optimize import linear_sum_assignment  # takes a moment that others need not spend

    ids = np.full(present.shape, -1, np.int64)
    last = np.empty((0, 3))
    seen = np.empty(0, np.int64)  # the last frame of each
    numbers = np.empty(0, np.int64)
    count = 0
    for frame in np.flatnonzero(present.any(axis=0)).tolist():
        places = np.flatnonzero(present[:, frame])
        recent = frame - seen <= _UNSEEN
        last, seen, numbers = last[recent], seen[recent], numbers[recent]
        here = centres[places, frame].astype(np.float64)
        far = np.linalg.norm(here[:, None] - last[None], axis=2)
        reach = np.broadcast_to(_reach(frame - seen - 1), far.shape)
        far = np.where(far <= reach, far, 1e6)  # rather any number of motions than a new body
        rows, columns = linear_sum_assignment(far)
        close = far[rows, columns] < 1e6
        rows, columns = rows[close], columns[close]
        ids[places[rows], frame] = numbers[columns]
        last[columns], seen[columns] = here[rows], frame
        new = np.setdiff1d(np.arange(len(places)), rows)
        fresh = count + np.arange(len(new))
        ids[places[new], frame] = fresh
        last = np.concatenate([last, here[new]])
        seen = np.concatenate([seen, np.full(len(new), frame)])
        numbers = np.concatenate([numbers, fresh])
        count += len(new)
    return ids


def _split(clip: Clip, centres: Clip, ids: Ids) -> list[_Body]:
    """One body an id, those first seen first."""
    frames, places = np.nonzero(ids.T >= 0)  # frame after frame
    which = ids[places, frames]
    order = np.argsort(which, kind="stable")
    ends = np.flatnonzero(np.diff(which[order])) + 1
    joints, middles = clip[places, frames], centres[places, frames]
    bodies = [
        _Body(frames[part], places[part], joints[part], middles[part])
        for part in np.split(order, ends)
    ]
    return sorted(bodies, key=lambda body: (body.frames[0], body.places[0]))


def _joined(bodies: list[_Body]) -> list[_Body]:
    """Bodies that end where another begins soon after are one: the nearest of them."""
    out: list[list[_Body]] = []
    ended: list[list[_Body]] = []  # those that were seen last, the latest at the end
    for body in bodies:
        start = body.frames[0]
        ends = np.array([parts[-1].frames[-1] for parts in ended], np.int64)
        places = np.array([parts[-1].centres[-1] for parts in ended]).reshape(-1, 3)
        far = np.linalg.norm(places - body.centres[0], axis=1)
        far[(ends >= start) | (far > _reach(start - ends - 1))] = np.inf
        if len(far) and far.min() < np.inf:
            parts = ended.pop(int(far.argmin()))
            parts.append(body)
        else:
            parts = [body]
            out.append(parts)
        ended = [*ended[1 - _CANDIDATES :], parts]
    return [parts[0] if len(parts) == 1 else _concatenated(parts) for parts in out]


def _concatenated(parts: list[_Body]) -> _Body:
    names = ("frames", "places", "points", "centres")
    return _Body(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _without(
    bodies: list[_Body], is_phantom: Callable[[_Body, int, int], bool], up: int
) -> list[_Body]:
    """Without the phantoms of one rule; all of them, if it would leave none."""
    longest = max(len(body.frames) for body in bodies)
    if len(bodies) == 1:
        return bodies
    return [body for body in bodies if not is_phantom(body, longest, up)] or bodies


def _is_short(body: _Body, longest: int, up: int) -> bool:
    return len(body.frames) <= SHORT and 2 * len(body.frames) < longest


def _is_wide(body: _Body, longest: int, up: int) -> bool:
    width, height = (_spread(body.points, axis) for axis in (0, up))
    return float((width > WIDE * height).mean()) >= OFTEN_WIDE


def _spread(points: Clip, axis: int) -> NDArray[np.floating]:
    """(n,) from the lowest to the highest of the joints that are there."""
    there = points.any(axis=2)
    values = points[..., axis]
    highest = values.max(axis=1, where=there, initial=-np.inf)
    lowest = values.min(axis=1, where=there, initial=np.inf)
    return np.asarray(highest - lowest)


def _has_odd_motion(body: _Body, longest: int, up: int) -> bool:
    variance = _joints(body).var(axis=0).sum()
    return not LEAST_VARIANCE <= variance <= MOST_VARIANCE


def _motion(body: _Body) -> float:
    """Metres, as :func:`~skelcon.data.importers.bodies.motion`."""
    return float(_joints(body).std(axis=0).sum())


def _joints(body: _Body) -> NDArray[np.float64]:
    """(n, 3) the joints of all frames that are there."""
    return body.points[body.points.any(axis=2)].astype(np.float64)


_RULES: Iterable[tuple[str, Callable[[_Body, int, int], bool]]] = (
    ("short", _is_short),
    ("wide", _is_wide),
    ("motion", _has_odd_motion),
)
