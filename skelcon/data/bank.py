"""`ClipBank`: the clips of a data set as tensors on the training device, gathered by frame.

Notation of tensor shapes, here and everywhere after: B clips of a batch, M bodies, T frames,
V joints, C = 3 coordinates; of clips in 2D x, y and the confidence. A *view* is a (B, M, T, V, C)
float tensor.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelcon.data.dataset import BLOCK_COLUMNS, SkeletonDataset
from skelcon.data.layouts import Point, SkeletonLayout, axes_turned, joint_mapping, point_of
from skelcon.data.orientation import Orientation, turns
from skelcon.errors import UserError

_CHUNK = 1 << 14
"""Frames that are turned together."""


class ClipBank:
    """All clips of a data set, ragged, on one device.

    On the CPU their frames stay on disk, memory-mapped, unless they are mapped to another skeleton:
    a data set larger than memory can be trained on, and processes share its cached pages.

    An encoder takes one skeleton and one number of bodies. For encoders that were trained on
    another data set, ``layout`` and ``bodies`` map the clips to what those take. How it sees them
    turned is :meth:`oriented`.

    Args:
        dataset: whose clips.
        device: where their tensors live.
        layout: the skeleton to map them to; the data set's own if not set.
        bodies: M; the data set's own number if not set. Bodies beyond it are absent in all clips.

    Attributes:
        layout: the clips' skeleton.
        lengths: (N,) int64 frames of each clip.
        labels: (N,) int64 class indices.
        num_bodies: M.
        num_joints: V.
        orientation: how the clips of :meth:`resized` are turned.

    Raises:
        UserError: if the clips cannot be mapped to ``layout``, or have more bodies than ``bodies``.
    """

    def __init__(
        self,
        dataset: SkeletonDataset,
        device: torch.device | str = "cpu",
        layout: SkeletonLayout | None = None,
        bodies: int | None = None,
    ) -> None:
        self._dataset = dataset
        self.layout = layout or dataset.layout
        self.num_bodies = dataset.max_bodies if bodies is None else bodies
        missing = self.num_bodies - dataset.max_bodies
        if missing < 0:
            raise UserError(
                f"data set '{dataset.name}' has {dataset.max_bodies} bodies in a clip, which do "
                f"not fit {bodies}: {dataset.max_bodies} or more are valid"
            )
        mapping = joint_mapping(dataset.layout, self.layout)
        self.num_joints = len(mapping)
        # One more row, all zeros, is what a body outside its block gathers.
        self._zero_row = len(dataset.frames)
        turned = dataset.normalisation.spine_to_z  # then z is up, whatever the layout says
        self._axes = None if turned else axes_turned(dataset.layout, self.layout)
        rows = _mapped_to(dataset, mapping, self._axes)
        self._frames = torch.from_numpy(rows).flatten(1).to(device)
        blocks = np.stack([dataset.blocks[name] for name in BLOCK_COLUMNS])
        self._blocks = torch.from_numpy(np.pad(blocks, ((0, 0), (0, 0), (0, missing)))).to(device)
        self.lengths = torch.from_numpy(np.ascontiguousarray(dataset.lengths)).to(device)
        self.labels = torch.from_numpy(np.ascontiguousarray(dataset.labels)).to(device)
        self.device = self._frames.device
        self.orientation: Orientation = "as_recorded"
        # Of each orientation that was asked for: (N, 3, 3) for row vectors, or None. All banks
        # that `oriented` made share it, as they share the frames.
        self._turns: dict[Orientation, Tensor | None] = {"as_recorded": None}

    def oriented(self, orientation: Orientation) -> ClipBank:
        """The same clips turned as ``orientation`` says (`skelcon.data.orientation.turns`).

        Frames are shared, not copied: :meth:`resized` turns what it gathers.
        """
        if orientation == self.orientation:
            return self
        if orientation not in self._turns:
            found = turns(self._dataset, orientation, self._axes)
            self._turns[orientation] = (
                None
                if found is None
                else torch.from_numpy(found.transpose(0, 2, 1).astype(np.float32)).to(self.device)
            )
        other = copy.copy(self)
        other.orientation = orientation
        return other

    @property
    def names(self) -> Sequence[str]:
        """(N,) what the clips are called."""
        return self._dataset.clip_names

    @property
    def up_axis(self) -> int:
        """Which of x, y and z is vertical in what :meth:`resized` shows, in 3D."""
        turned = self.orientation != "as_recorded" or self._dataset.normalisation.spine_to_z
        return "xyz".index("z" if turned else self.layout.up[-1])

    def frames(self, clips: Tensor, times: Tensor) -> Tensor:
        """The frames ``times`` (B, T) of ``clips`` (B,) as stored: (B, M, T, V, C), not turned."""
        bodies = self._bodies(clips)
        return self.view(self._gathered(clips, bodies, times), bodies, len(clips))

    def resized(self, clips: Tensor, start: Tensor, length: Tensor, size: int) -> Tensor:
        """The crop [start, start + length) of each clip, turned, and resized to ``size`` frames.

        Only the 2 x ``size`` frames that it interpolates between, linearly, are gathered. Positions
        are half-pixel centres, as in ``torch.nn.functional.interpolate`` with
        ``align_corners=False``.

        Args:
            clips, start, length: (B,) int64, with 0 <= start and start + length <= the clip's.
            size: the number of frames T of the result.

        Returns:
            (B, M, size, V, C) float32.
        """
        return self.view(*self.resized_bodies(clips, start, length, size), len(clips))

    def resized_bodies(
        self, clips: Tensor, start: Tensor, length: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """What :meth:`resized` is made of: the bodies that are computed, and which they are.

        On the CPU these are the ones that are there, and on a GPU all: the host would have to wait
        for their number.

        Returns:
            (n, size, V, C) float32, and (n,) int64: which of the B M bodies, clip by clip.
        """
        steps = torch.arange(size, device=self.device, dtype=torch.float32) + 0.5
        at = (steps * (length[:, None].float() / size) - 0.5).clamp_(min=0)
        lower = at.floor().long()
        upper = torch.minimum(lower + 1, length[:, None] - 1)
        bodies = self._bodies(clips)
        of = bodies // self.num_bodies
        first, second = (
            self._gathered(clips, bodies, start[:, None] + times) for times in (lower, upper)
        )
        seen = first.lerp_(second, (at - lower)[of, :, None, None])
        turn = self._turns[self.orientation]
        if turn is not None:
            # A rotation commutes with the interpolation; what is absent stays zero.
            seen = torch.bmm(seen.flatten(1, 2), turn[clips[of]]).view(seen.shape)
        return seen, bodies

    def view(self, seen: Tensor, bodies: Tensor, clips: int) -> Tensor:
        """(B, M, T, V, C) of B clips, with (n, T, V, C) of the ``bodies``; the rest is zero."""
        every = clips * self.num_bodies
        if len(seen) < every:
            seen = seen.new_zeros(every, *seen.shape[1:]).index_copy_(0, bodies, seen)
        return seen.view(clips, self.num_bodies, *seen.shape[1:])

    def _bodies(self, clips: Tensor) -> Tensor:
        if self.device.type != "cpu":
            return torch.arange(len(clips) * self.num_bodies, device=self.device)
        count: Tensor = self._blocks[2, clips]
        return count.flatten().nonzero().flatten()

    def _gathered(self, clips: Tensor, bodies: Tensor, times: Tensor) -> Tensor:
        """The frames ``times`` (B, T) of the ``bodies`` (n,) of ``clips``: (n, T, V, C)."""
        of = bodies // self.num_bodies
        offset, start, count = self._blocks[:, clips[of], bodies % self.num_bodies, None]
        inside = times[of] - start
        rows = torch.where((inside >= 0) & (inside < count), offset + inside, self._zero_row)
        gathered = self._frames.index_select(0, rows.flatten())
        return gathered.view(*rows.shape, self.num_joints, self._frames.shape[1] // self.num_joints)


def _mapped_to(
    dataset: SkeletonDataset, mapping: tuple[Point, ...], axes: NDArray[np.float64] | None
) -> NDArray[np.float32]:
    """All frames on other joints, and a row of zeros: (F + 1, V, 3), not copied if need not be."""
    rows, joints, coords = dataset.frames.shape
    same = mapping == tuple(range(joints))
    if same and axes is None and dataset.padded is not None:
        return dataset.padded
    frames = np.zeros((rows + 1, len(mapping), coords), np.float32)
    if same:
        frames[:rows] = dataset.frames
    elif all(isinstance(point, int) for point in mapping):
        # (with mode="raise" the result would be buffered: a second copy of all frames)
        np.take(dataset.frames, np.array(mapping), axis=1, out=frames[:rows], mode="clip")
    else:
        for joint, point in enumerate(mapping):
            frames[:rows, joint] = point_of(dataset.frames, point)
    if axes is not None:
        turn = axes.T.astype(np.float32)
        for at in range(0, rows, _CHUNK):
            frames[at : at + _CHUNK] = frames[at : at + _CHUNK] @ turn
    return frames
