"""Contrast: momentum encoders, queues and InfoNCE over one or more representations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.contrast.config import ContrastConfig
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.contrast.diagnosis import EpochDiagnosis, alignment, effective_rank, uniformity
    from skelcon.contrast.infonce import contrast_logits, info_nce, pairings
    from skelcon.contrast.momentum import ContrastResult, MomentumContrast

__all__ = [
    "ContrastConfig",
    "ContrastResult",
    "EpochDiagnosis",
    "MomentumContrast",
    "alignment",
    "contrast_logits",
    "effective_rank",
    "info_nce",
    "pairings",
    "uniformity",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "ContrastResult": "skelcon.contrast.momentum",
        "EpochDiagnosis": "skelcon.contrast.diagnosis",
        "MomentumContrast": "skelcon.contrast.momentum",
        "alignment": "skelcon.contrast.diagnosis",
        "contrast_logits": "skelcon.contrast.infonce",
        "effective_rank": "skelcon.contrast.diagnosis",
        "info_nce": "skelcon.contrast.infonce",
        "pairings": "skelcon.contrast.infonce",
        "uniformity": "skelcon.contrast.diagnosis",
    },
)
