"""Pre-training: epochs, schedule, exact resume, and the weights that come of it."""

from skelcon.pretrain.config import OptimiserConfig, PretrainConfig
from skelcon.pretrain.trainer import EpochMetrics, Pretraining
from skelcon.pretrain.weights import load_encoder

__all__ = ["EpochMetrics", "OptimiserConfig", "PretrainConfig", "Pretraining", "load_encoder"]
