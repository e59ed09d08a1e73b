"""Which augmentations make a view, and their parameters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from skelcon.config import Config

Name = Literal["crop", "pose", "jitter"]
NAMES: tuple[Name, ...] = ("crop", "pose", "jitter")
"""Temporal crop-resize (eq. 3), pose augmentation (eq. 1) and joint jittering (eq. 2)."""


class CropConfig(Config):
    """Temporal crop-resize (eq. 3)."""

    l_min: float = Field(0.1, gt=0, le=1, description="the shortest crop, as a ratio of the clip")
    min_frames: int = Field(
        1, ge=1, description="no crop is shorter than this (64 in the authors' code)"
    )


class PoseConfig(Config):
    """Pose augmentation (eq. 1)."""

    amplitude: float = Field(
        1.0, gt=0, description="off-diagonal entries of the shear are uniform in [-a, a]"
    )


class JitterConfig(Config):
    """Joint jittering (eq. 2)."""

    joints: int = Field(
        15, ge=1, description="|j| of 25 joints; another skeleton jitters the same share of its own"
    )
    mode: Literal["matrix", "mixed"] = Field(
        "matrix",
        description="matrix: eq. 2; mixed: half the time the joints become zero (authors' code)",
    )

    def count(self, num_joints: int) -> int:
        """How many of ``num_joints`` joints are jittered: at least one, and never all."""
        return max(1, min(num_joints - 1, round(self.joints * num_joints / 25)))


class AugmentConfig(Config):
    """Which augmentations make a view (eq. 4): the crop, then one spatial drawn at random."""

    use: tuple[Name, ...] = Field(
        NAMES, description="any of crop, pose, jitter; with none the whole clip is resized"
    )
    crop: CropConfig = CropConfig()
    pose: PoseConfig = PoseConfig()
    jitter: JitterConfig = JitterConfig()

    @field_validator("use")
    @classmethod
    def _in_one_order(cls, use: tuple[Name, ...]) -> tuple[Name, ...]:
        return tuple(name for name in NAMES if name in use)

    def resolved(self) -> dict[str, Any]:
        """What decides a view: the parameters of the augmentations in use, and no others."""
        values = self.model_dump(mode="json")
        return {key: value for key, value in values.items() if key == "use" or key in self.use}
