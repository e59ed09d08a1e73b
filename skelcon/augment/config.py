"""Which augmentations make a view, and their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from skelcon.augment.options import (
    AxisMaskConfig,
    FlipConfig,
    GaussianBlurConfig,
    GaussianNoiseConfig,
    JointMaskConfig,
    ReverseConfig,
    RotationConfig,
    SpeedConfig,
    TemporalMaskConfig,
    share_of,
)
from skelcon.config import Config
from skelcon.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("crop", "pose", "jitter")
"""Temporal crop-resize (eq. 3), pose augmentation (eq. 1) and joint jittering (eq. 2)."""

FURTHER = (
    "flip",
    "rotation",
    "axis_mask",
    "gaussian_noise",
    "gaussian_blur",
    "joint_mask",
    "temporal_mask",
    "reverse",
    "speed",
)
"""The augmentations of AimCLR and its successors: :mod:`skelcon.augment.strong`."""

AUGMENTATIONS: Registry[Callable[..., Tensor]] = Registry(
    "augmentation",
    ("view", "generator"),
    (*NAMES, *FURTHER),
    reserved=("use", "custom", "versions"),
)
"""The augmentations that plugins have registered, in addition to the built-in ones."""

Name = Annotated[str, AfterValidator(AUGMENTATIONS.known)]


class CropConfig(Config):
    """Temporal crop-resize (eq. 3)."""

    l_min: float = Field(0.1, gt=0, le=1, description="the shortest crop, as a ratio of the clip")
    min_frames: int = Field(
        1, ge=1, description="no crop is shorter than this (64 in the authors' code)"
    )
    p: float = Field(
        1.0, ge=0, le=1, description="probability for a sample of a view; else the whole clip"
    )


class PoseConfig(Config):
    """Pose augmentation (eq. 1)."""

    amplitude: float = Field(
        1.0, gt=0, description="off-diagonal entries of the shear are uniform in [-a, a]"
    )
    p: float = Field(
        1.0, ge=0, le=1, description="probability for a sample of a view, of those that draw it"
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
    p: float = Field(
        1.0, ge=0, le=1, description="probability for a sample of a view, of those that draw it"
    )

    def count(self, num_joints: int) -> int:
        """How many of ``num_joints`` joints are jittered: at least one, and never all.

        >>> JitterConfig(joints=15).count(20)
        12
        """
        return share_of(self.joints, num_joints)


class AugmentConfig(Config):
    """Which augmentations make a view (eq. 4): the crop, then one spatial drawn at random.

    The others follow in the order of ``use``. Each is applied to every view, with its probability
    ``p`` to each sample of it.
    """

    use: tuple[Name, ...] = Field(
        NAMES,
        description="any of crop, pose, jitter, " + ", ".join(FURTHER) + " and registered ones; "
        "with none the whole clip is resized",
    )
    crop: CropConfig = CropConfig()
    pose: PoseConfig = PoseConfig()
    jitter: JitterConfig = JitterConfig()
    flip: FlipConfig = FlipConfig()
    rotation: RotationConfig = RotationConfig()
    axis_mask: AxisMaskConfig = AxisMaskConfig()
    gaussian_noise: GaussianNoiseConfig = GaussianNoiseConfig()
    gaussian_blur: GaussianBlurConfig = GaussianBlurConfig()
    joint_mask: JointMaskConfig = JointMaskConfig()
    temporal_mask: TemporalMaskConfig = TemporalMaskConfig()
    reverse: ReverseConfig = ReverseConfig()
    speed: SpeedConfig = SpeedConfig()
    custom: dict[str, dict[str, Any]] = Field(
        {}, description="registered augmentation -> its options"
    )
    versions: dict[str, str] = Field(
        {}, description="registered augmentation -> its version; any other version is an error"
    )

    @field_validator("use")
    @classmethod
    def _in_one_order(cls, use: tuple[str, ...]) -> tuple[str, ...]:
        """The paper's in their canonical order, the others in the user's."""
        others = dict.fromkeys(name for name in use if name not in NAMES)
        return (*(name for name in NAMES if name in use), *others)

    @model_validator(mode="after")
    def _check_registered(self) -> Self:
        for name in {**self.custom, **self.versions}:
            if name in AUGMENTATIONS.builtin:
                raise ValueError(f"custom is for registered augmentations; '{name}' is built in")
        for name in {**self.custom, **self.versions, **dict.fromkeys(self.registered)}:
            AUGMENTATIONS[name].expect(self.versions.get(name))
            self.options(name)
        return self

    @property
    def others(self) -> tuple[str, ...]:
        """The augmentations in use beside the paper's, in the order in which they are applied."""
        return tuple(name for name in self.use if name not in NAMES)

    @property
    def registered(self) -> tuple[str, ...]:
        """The registered ones among them."""
        return tuple(name for name in self.others if name not in FURTHER)

    def options(self, name: str) -> dict[str, Any]:
        """All options of a registered augmentation, defaults included.

        Unless its function has a ``p`` of its own, there is one for it, left out where it is 1.
        """
        given = dict(self.custom.get(name, {}))
        p = 1.0 if has_own_p(name) else given.pop("p", 1.0)
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ValueError(f"augmentation '{name}': p is between 0 and 1 (given: {p!r})")
        options = AUGMENTATIONS[name].options(given)
        return options if p == 1 else {**options, "p": float(p)}

    def resolved(self) -> dict[str, Any]:
        """What determines a view: the parameters of the augmentations in use, and no others."""
        values = self.model_dump(mode="json")
        kept = {key: value for key, value in values.items() if key == "use" or key in self.use}
        for name in NAMES:  # there are results from before they had a p
            if name in kept and kept[name]["p"] == 1:
                del kept[name]["p"]
        if self.registered:
            kept["custom"] = {name: self.options(name) for name in self.registered}
            kept["versions"] = {name: AUGMENTATIONS[name].version for name in self.registered}
        return kept


def has_own_p(name: str) -> bool:
    """Whether the function of a registered augmentation decides itself which samples it changes."""
    parameters = inspect.signature(AUGMENTATIONS[name].function).parameters.values()
    return any(each.name == "p" or each.kind is each.VAR_KEYWORD for each in parameters)
