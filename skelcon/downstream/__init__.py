"""Downstream tasks: linear evaluation and retrieval of frozen encoders, and fine-tuning."""

from skelcon.downstream.features import extract
from skelcon.downstream.finetune import FinetuneConfig, Finetuning, labelled_subset
from skelcon.downstream.linear import LinearConfig, linear_evaluation
from skelcon.downstream.result import EvaluationResult
from skelcon.downstream.retrieval import RetrievalConfig, retrieval

__all__ = [
    "EvaluationResult",
    "FinetuneConfig",
    "Finetuning",
    "LinearConfig",
    "RetrievalConfig",
    "extract",
    "labelled_subset",
    "linear_evaluation",
    "retrieval",
]
