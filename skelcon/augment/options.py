"""The options of AimCLR's and later augmentations; nothing here imports torch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from skelcon.config import Config

Probability = Annotated[float, Field(ge=0, le=1, description="probability for a sample of a view")]


def share_of(joints: int, num_joints: int) -> int:
    """``joints`` of 25 as a number of ``num_joints``: at least one, and never all.

    >>> share_of(15, 20)
    12
    """
    return max(1, min(num_joints - 1, round(joints * num_joints / 25)))


class FlipConfig(Config):
    """Left and right change places (AimCLR's spatial flip)."""

    p: Probability = 0.5


class RotationConfig(Config):
    """A turn about the three axes, most of it about one drawn at random (AimCLR)."""

    p: Probability = 1.0
    main: float = Field(
        30.0, ge=0, le=180, description="largest angle about the main axis, in degrees"
    )
    other: float = Field(
        1.0, ge=0, le=180, description="largest angle about the other two axes, in degrees"
    )


class AxisMaskConfig(Config):
    """One coordinate becomes zero, in all frames and joints (AimCLR)."""

    p: Probability = 0.5


class GaussianNoiseConfig(Config):
    """Noise on each coordinate (AimCLR)."""

    p: Probability = 0.5
    std: float = Field(0.05, ge=0, description="standard deviation, in the data's unit (metres)")


class GaussianBlurConfig(Config):
    """Each joint is smoothed over time (AimCLR)."""

    p: Probability = 0.5
    kernel: int = Field(15, ge=1, description="frames that a frame is averaged with (odd)")
    sigma_min: float = Field(0.1, gt=0, description="smallest width of the Gaussian, in frames")
    sigma_max: float = Field(2.0, gt=0, description="largest width of the Gaussian, in frames")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError("the blur's kernel must be odd")
        if self.sigma_min > self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} is above sigma_max {self.sigma_max}")
        return self


class JointMaskConfig(Config):
    """Random joints become missing, in all frames (as many as in PSTL: central ones)."""

    p: Probability = 0.5
    joints: int = Field(
        9, ge=1, description="of 25 joints; another skeleton loses the same share of its own"
    )


class TemporalMaskConfig(Config):
    """Random frames become empty (as many as in PSTL: frames of much motion)."""

    p: Probability = 0.5
    ratio: float = Field(0.2, gt=0, lt=1, description="share of the view's frames")


class ReverseConfig(Config):
    """Time runs backwards (AimCLR's temporal flip)."""

    p: Probability = 0.5


class SpeedConfig(Config):
    """Faster or slower about the view's middle; the first and the last pose are held."""

    p: Probability = 0.5
    factor: float = Field(
        2.0, ge=1, description="at most so much faster or slower, log-uniform between"
    )
