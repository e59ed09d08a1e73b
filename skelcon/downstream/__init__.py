"""Downstream tasks: linear evaluation, retrieval and embedding, all frozen, and fine-tuning."""

from skelcon.downstream.embed import embed
from skelcon.downstream.features import extract
from skelcon.downstream.finetune import FinetuneConfig, Finetuning, labelled_subset
from skelcon.downstream.linear import LinearConfig, linear_evaluation
from skelcon.downstream.result import EvaluationResult
from skelcon.downstream.retrieval import RetrievalConfig, nearest_clips, retrieval

__all__ = [
    "EvaluationResult",
    "FinetuneConfig",
    "Finetuning",
    "LinearConfig",
    "RetrievalConfig",
    "embed",
    "extract",
    "labelled_subset",
    "linear_evaluation",
    "nearest_clips",
    "retrieval",
]
