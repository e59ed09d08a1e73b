"""Pre-training objectives: from two views of a clip to a loss, over one or more representations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.contrast.config import ContrastConfig
from skelcon.contrast.objectives import MOCO, OBJECTIVES, ObjectiveConfig
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.contrast.diagnosis import EpochDiagnosis, alignment, effective_rank, uniformity
    from skelcon.contrast.infonce import (
        contrast_logits,
        distribution_loss,
        info_nce,
        pairings,
    )
    from skelcon.contrast.momentum import MomentumContrast
    from skelcon.contrast.objective import (
        Branch,
        ContrastResult,
        JointEmbedding,
        Objective,
        meet_the_key,
        mlp,
        momentum_copy,
        momentum_update,
    )

__all__ = [
    "MOCO",
    "OBJECTIVES",
    "Branch",
    "ContrastConfig",
    "ContrastResult",
    "EpochDiagnosis",
    "JointEmbedding",
    "MomentumContrast",
    "Objective",
    "ObjectiveConfig",
    "alignment",
    "contrast_logits",
    "distribution_loss",
    "effective_rank",
    "info_nce",
    "meet_the_key",
    "mlp",
    "momentum_copy",
    "momentum_update",
    "pairings",
    "uniformity",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "Branch": "skelcon.contrast.objective",
        "ContrastResult": "skelcon.contrast.objective",
        "EpochDiagnosis": "skelcon.contrast.diagnosis",
        "JointEmbedding": "skelcon.contrast.objective",
        "MomentumContrast": "skelcon.contrast.momentum",
        "Objective": "skelcon.contrast.objective",
        "alignment": "skelcon.contrast.diagnosis",
        "contrast_logits": "skelcon.contrast.infonce",
        "distribution_loss": "skelcon.contrast.infonce",
        "effective_rank": "skelcon.contrast.diagnosis",
        "info_nce": "skelcon.contrast.infonce",
        "meet_the_key": "skelcon.contrast.objective",
        "mlp": "skelcon.contrast.objective",
        "momentum_copy": "skelcon.contrast.objective",
        "momentum_update": "skelcon.contrast.objective",
        "pairings": "skelcon.contrast.infonce",
        "uniformity": "skelcon.contrast.diagnosis",
    },
)
