"""Contrast: momentum encoders, queues and InfoNCE over one or more representations."""

from skelcon.contrast.infonce import contrast_logits, info_nce, pairings
from skelcon.contrast.momentum import ContrastConfig, ContrastResult, MomentumContrast

__all__ = [
    "ContrastConfig",
    "ContrastResult",
    "MomentumContrast",
    "contrast_logits",
    "info_nce",
    "pairings",
]
