"""Contrast: momentum encoders, queues and InfoNCE over one or more representations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.contrast.config import ContrastConfig
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.contrast.infonce import contrast_logits, info_nce, pairings
    from skelcon.contrast.momentum import ContrastResult, MomentumContrast

__all__ = [
    "ContrastConfig",
    "ContrastResult",
    "MomentumContrast",
    "contrast_logits",
    "info_nce",
    "pairings",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "ContrastResult": "skelcon.contrast.momentum",
        "MomentumContrast": "skelcon.contrast.momentum",
        "contrast_logits": "skelcon.contrast.infonce",
        "info_nce": "skelcon.contrast.infonce",
        "pairings": "skelcon.contrast.infonce",
    },
)
