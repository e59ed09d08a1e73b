"""Downstream tasks on frozen encoders: embedding, linear evaluation and retrieval."""

from skelcon.downstream.embed import embed
from skelcon.downstream.features import extract
from skelcon.downstream.linear import LinearConfig, linear_evaluation
from skelcon.downstream.result import EvaluationResult
from skelcon.downstream.retrieval import RetrievalConfig, nearest_clips, retrieval

__all__ = [
    "EvaluationResult",
    "LinearConfig",
    "RetrievalConfig",
    "embed",
    "extract",
    "linear_evaluation",
    "nearest_clips",
    "retrieval",
]
