"""How a clip is turned when an encoder sees it: one rotation a clip, found once.

The turn is the one of `normalise`: the main body's spine to the z axis, then the line between its
shoulders to the x axis. What differs is where the two are taken from: from the body's first frame,
as the paper's code does, or from their median over the frames, which one noisy frame cannot move.

A clip of two dimensions is never turned: the vertical of an image is known, and distinguishes lying
from standing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import SkeletonDataset
from skelcon.data.layouts import joints_of, mean_of

Orientation = Literal["as_recorded", "first_frame", "median"]
Array = NDArray[np.float64]

_Z, _X = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
_CHUNK = 1 << 16
"""Frames of which the bones are in memory at once."""


def turns(
    dataset: SkeletonDataset, orientation: Orientation, axes: Array | None = None
) -> Array | None:
    """The rotation R of each clip: a joint x is seen at R x.

    A step that was taken when the data set was imported is not taken again by ``first_frame``;
    ``median`` turns what is there. The main body is the first that is ever present. A bone that
    vanishes, or is parallel to its axis, turns nothing (as in `normalise`).

    Args:
        dataset: whose clips.
        orientation: ``first_frame``: by the main body's first frame. ``median``: by the median of
            each coordinate of the spine over the frames in which it is not zero, and then of the
            shoulders after the first turn. ``as_recorded``: not at all.
        axes: what the clips' axes have been turned by before (`axes_turned`); not at all if None.

    Returns:
        (N, 3, 3) float64; None if no clip is turned.
    """
    done = dataset.normalisation
    if orientation == "as_recorded" or dataset.layout.dimensions == 2:
        return None
    offset, count = dataset.main_blocks
    if orientation == "median":
        return _by_median(dataset, offset, count, axes)
    if done.spine_to_z and done.shoulders_to_x:
        return None
    spine, shoulders = _bones(dataset, offset, axes)
    turn = np.broadcast_to(np.eye(3), (len(offset), 3, 3))
    if not done.spine_to_z:
        turn = rotations_to(spine, _Z)
    if not done.shoulders_to_x:
        turn = rotations_to(_turned(shoulders, turn), _X) @ turn
    return turn


def rotations_to(sources: Array, target: Array) -> Array:
    """`rotation_between` for each of ``sources`` (N, 3) and one ``target``: (N, 3, 3)."""
    axes = np.cross(sources, target)
    still = (np.abs(sources).sum(axis=1) < 1e-6) | (np.abs(axes).sum(axis=1) < 1e-6)
    x, y, z = (axes / np.where(still, 1, np.linalg.norm(axes, axis=1))[:, None]).T
    lengths = np.where(still, 1, np.linalg.norm(sources, axis=1) * np.linalg.norm(target))
    cosine = np.clip(sources @ target / lengths, -1, 1)[:, None, None]
    zero = np.zeros_like(x)
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    rotation = np.eye(3) + np.sin(np.arccos(cosine)) * cross + (1 - cosine) * (cross @ cross)
    return np.where(still[:, None, None], np.eye(3), rotation)


def _by_median(
    dataset: SkeletonDataset,
    offset: NDArray[np.int64],
    count: NDArray[np.int64],
    axes: Array | None,
) -> Array:
    turn = np.empty((len(count), 3, 3))
    for clips in _chunks(count):
        at = np.arange(count[clips].max())
        inside = at < count[clips, None]
        rows = np.where(inside, offset[clips, None] + at, offset[clips, None])
        spine, shoulders = _bones(dataset, rows, axes)
        first = rotations_to(_median(spine, inside), _Z)
        second = rotations_to(_median(_turned(shoulders, first), inside), _X)
        turn[clips] = second @ first
    return turn


def _chunks(count: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """All clips, clips of similar lengths together, so that few rows are padding."""
    order = np.argsort(count, kind="stable")
    while len(order):
        longest = int(count[order[-1]])
        taken = max(1, _CHUNK // max(1, longest))
        yield order[-taken:]
        order = order[:-taken]


def _bones(
    dataset: SkeletonDataset, rows: NDArray[np.int64], axes: Array | None
) -> tuple[Array, Array]:
    """Spine (bottom to top) and shoulders (left to right) in frames of ``rows``: (*rows, 3)."""
    layout = dataset.layout
    bottom, top, right, left = (
        mean_of(dataset.frames[rows[..., None], joints_of(end)].astype(np.float64))
        for end in (*layout.spine, *layout.shoulders)
    )
    spine, shoulders = top - bottom, right - left
    return (spine, shoulders) if axes is None else (spine @ axes.T, shoulders @ axes.T)


def _turned(vectors: Array, turn: Array) -> Array:
    """Each of ``vectors`` (N, ..., 3) by the rotation of its clip."""
    turned: Array = np.einsum("nij,n...j->n...i", turn, vectors)
    return turned


def _median(vectors: Array, inside: NDArray[np.bool_]) -> Array:
    """(N, 3): the median over T of the ``vectors`` (N, T, 3) that are inside and not zero."""
    known = inside & vectors.any(axis=-1)
    ordered = np.sort(np.where(known[..., None], vectors, np.inf), axis=1)
    found = known.sum(axis=1)
    low, high = (
        np.take_along_axis(ordered, middle[:, None, None], axis=1)[:, 0]
        for middle in (np.maximum(found - 1, 0) // 2, found // 2)
    )
    return np.where(found[:, None] > 0, (low + high) / 2, 0)
