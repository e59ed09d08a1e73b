"""Augmentation: two random views of a batch (eqs. 1-4), every draw from a generator passed in."""

from skelcon.augment.config import (
    AUGMENTATIONS,
    NAMES,
    AugmentConfig,
    CropConfig,
    JitterConfig,
    PoseConfig,
)
from skelcon.augment.views import augmented_view, evaluation_view, training_view

__all__ = [
    "AUGMENTATIONS",
    "NAMES",
    "AugmentConfig",
    "CropConfig",
    "JitterConfig",
    "PoseConfig",
    "augmented_view",
    "evaluation_view",
    "training_view",
]
