"""The tensors of an encoder, taken by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from skelcon.data import KINECT_V2
from skelcon.errors import UserError

JOINTS, COORDINATES = KINECT_V2.num_joints, 3


class Tensors:
    """The tensors of one encoder; each is taken once, in the shape that it must have.

    Args:
        path: of the checkpoint, for messages.
        prefix: which the names have in the checkpoint.
        tensors: by name, without the prefix.
    """

    def __init__(self, path: Path, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        self._path, self._prefix, self._left = path, prefix, dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def error(self, name: str, problem: str) -> UserError:
        """An error about the tensor ``name``."""
        full = f"{self._prefix}{name}".rstrip(".")
        return UserError(f"'{self._path}': '{full}' {problem}")

    def has(self, pattern: str) -> bool:
        """Whether the name of a tensor that was not taken yet starts with ``pattern``."""
        return any(map(re.compile(pattern).match, self._left))

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of a tensor, which must have so many axes."""
        if name not in self._left:
            raise self.error(name, "is missing")
        shape = tuple(self._left[name].shape)
        if len(shape) != axes or 0 in shape:
            raise self.error(name, f"has the shape {shape}, expected {axes} axes, none empty")
        return shape

    def count(self, pattern: str) -> int:
        """The largest number that the group of ``pattern`` matches in a name; 0 without a match."""
        return max(
            (int(hit[1]) for hit in map(re.compile(pattern).match, self._left) if hit), default=0
        )

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor of this shape, floats as float32."""
        if name not in self._left:
            raise self.error(name, "is missing")
        tensor = self._left.pop(name)
        if tensor.shape != shape:
            raise self.error(name, f"has the shape {tuple(tensor.shape)}, expected {shape}")
        return tensor.float() if tensor.is_floating_point() else tensor

    def layer(self, theirs: str, ours: str, *shape: int) -> dict[str, Tensor]:
        """A layer (or a layer norm) with a weight of this shape and a bias."""
        return {
            f"{ours}.weight": self.take(f"{theirs}.weight", *shape),
            f"{ours}.bias": self.take(f"{theirs}.bias", shape[0]),
        }

    def norm(self, theirs: str, ours: str, size: int) -> dict[str, Tensor]:
        """A batch norm."""
        return {
            **self.layer(theirs, ours, size),
            f"{ours}.running_mean": self.take(f"{theirs}.running_mean", size),
            f"{ours}.running_var": self.take(f"{theirs}.running_var", size),
            f"{ours}.num_batches_tracked": self.take(f"{theirs}.num_batches_tracked"),
        }

    def bodies(self, name: str, size: int) -> int:
        """How many bodies have ``size`` values in a frame."""
        bodies, rest = divmod(size, JOINTS * COORDINATES)
        if rest:
            raise self.error(
                name, f"takes {size} values per frame, not a multiple of 3 x {JOINTS} joints"
            )
        return bodies

    def drop(self, start: str) -> None:
        """Drop all tensors whose names start with ``start``."""
        self._left = {name: each for name, each in self._left.items() if not name.startswith(start)}

    def check_all_used(self) -> None:
        """UserError if a tensor was not taken."""
        if self._left:
            raise self.error(min(self._left), "is unexpected")
