"""Pre-training: epochs, schedule, exact resume, and the weights that it produces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports
from skelcon.pretrain.config import OptimiserConfig, PretrainConfig, check_batch, share_of

if TYPE_CHECKING:
    from skelcon.pretrain.metrics import EpochMetrics
    from skelcon.pretrain.trainer import Pretraining
    from skelcon.pretrain.weights import load_encoder

__all__ = [
    "EpochMetrics",
    "OptimiserConfig",
    "PretrainConfig",
    "Pretraining",
    "check_batch",
    "load_encoder",
    "share_of",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "EpochMetrics": "skelcon.pretrain.metrics",
        "Pretraining": "skelcon.pretrain.trainer",
        "load_encoder": "skelcon.pretrain.weights",
    },
)
