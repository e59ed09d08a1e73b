"""Augmentation: two random views of a batch (eqs. 1-4), every draw from a generator passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.augment.config import (
    AUGMENTATIONS,
    FURTHER,
    NAMES,
    AugmentConfig,
    CropConfig,
    JitterConfig,
    PoseConfig,
)
from skelcon.augment.policies import ViewsConfig
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.augment.views import augmented_view, evaluation_view, training_view

__all__ = [
    "AUGMENTATIONS",
    "FURTHER",
    "NAMES",
    "AugmentConfig",
    "CropConfig",
    "JitterConfig",
    "PoseConfig",
    "ViewsConfig",
    "augmented_view",
    "evaluation_view",
    "training_view",
]

__getattr__ = lazy_exports(
    __name__,
    dict.fromkeys(("augmented_view", "evaluation_view", "training_view"), "skelcon.augment.views"),
)
