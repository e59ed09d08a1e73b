"""Downstream tasks: the evaluation of trained encoders, frozen or fine-tuned.

The tasks that settings and studies name are in :mod:`skelcon.downstream.tasks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.downstream.config import (
    ClusteringConfig,
    FinetuneConfig,
    KNNConfig,
    LinearConfig,
    MLPConfig,
    OneShotConfig,
    RetrievalConfig,
    RobustnessConfig,
)
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.downstream.calibration import calibrate
    from skelcon.downstream.embedding import embed
    from skelcon.downstream.features import extract
    from skelcon.downstream.finetune import Finetuning, labelled_subset
    from skelcon.downstream.inputs import Inputs
    from skelcon.downstream.neighbours import nearest_clips, retrieval
    from skelcon.downstream.result import EvaluationResult, scored
    from skelcon.downstream.tasks.base import OneGo, Task

__all__ = [
    "ClusteringConfig",
    "EvaluationResult",
    "FinetuneConfig",
    "Finetuning",
    "Inputs",
    "KNNConfig",
    "LinearConfig",
    "MLPConfig",
    "OneGo",
    "OneShotConfig",
    "RetrievalConfig",
    "RobustnessConfig",
    "Task",
    "calibrate",
    "embed",
    "extract",
    "labelled_subset",
    "nearest_clips",
    "retrieval",
    "scored",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "EvaluationResult": "skelcon.downstream.result",
        "Finetuning": "skelcon.downstream.finetune",
        "Inputs": "skelcon.downstream.inputs",
        "OneGo": "skelcon.downstream.tasks.base",
        "Task": "skelcon.downstream.tasks.base",
        "calibrate": "skelcon.downstream.calibration",
        "embed": "skelcon.downstream.embedding",
        "extract": "skelcon.downstream.features",
        "labelled_subset": "skelcon.downstream.finetune",
        "nearest_clips": "skelcon.downstream.neighbours",
        "retrieval": "skelcon.downstream.neighbours",
        "scored": "skelcon.downstream.result",
    },
)
