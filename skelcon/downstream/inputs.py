"""The inputs of every downstream task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skelcon.precision import Precision

if TYPE_CHECKING:
    from torch import Tensor

    from skelcon.data import ClipBank
    from skelcon.encoders import Encoder


@dataclass(frozen=True)
class Inputs:
    """What a task evaluates: encoders, and the clips of two sides.

    Attributes:
        encoders: trained or random; the features of several are concatenated (Table 10).
        bank: the clips, on the device that evaluates; turned to the encoders' orientation.
        train, test: (n,) int64 clips of the two sides, on that device.
        num_classes: the number of classes.
        frames: T, the frames of a view.
        seed: the evaluation's seed.
        groups: (n,) int64 the group (subject, camera or setup) of each training clip, from
            `skelcon.data.groups_of`.

    Raises:
        ValueError: if the encoders differ in their orientation.
    """

    encoders: Sequence[Encoder]
    bank: ClipBank
    train: Tensor
    test: Tensor
    num_classes: int
    frames: int
    seed: int
    groups: Tensor

    def __post_init__(self) -> None:
        """Turn the clips."""
        seen = sorted({encoder.orientation for encoder in self.encoders})
        if len(seen) > 1:
            raise ValueError(f"encoders of clips turned {' and '.join(seen)} cannot be combined")
        if seen:
            object.__setattr__(self, "bank", self.bank.oriented(seen[0]))

    def features(self, clips: Tensor, ratio: float = 0.95, precision: Precision = "fp32") -> Tensor:
        """The features of clips; the features of several encoders are concatenated.

        Args:
            clips: (n,) int64.
            ratio: the central part of each clip that is used (A.1: 0.95).
            precision: of the encoders.

        Returns:
            (n, D) float32 on their device; no encoder changes.
        """
        from skelcon.augment import evaluation_view
        from skelcon.downstream.features import extract

        def view(some: Tensor) -> Tensor:
            return evaluation_view(self.bank, some, ratio, self.frames)

        return extract(self.encoders, clips, view, precision=precision)
