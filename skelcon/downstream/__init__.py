"""Downstream tasks on frozen encoders: linear evaluation and retrieval."""

from skelcon.downstream.features import extract
from skelcon.downstream.linear import LinearConfig, linear_evaluation
from skelcon.downstream.result import EvaluationResult
from skelcon.downstream.retrieval import RetrievalConfig, retrieval

__all__ = [
    "EvaluationResult",
    "LinearConfig",
    "RetrievalConfig",
    "extract",
    "linear_evaluation",
    "retrieval",
]
