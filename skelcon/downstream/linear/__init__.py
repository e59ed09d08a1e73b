"""Linear evaluation: a linear classifier on a frozen encoder (A.1).

A result also has the accuracy of the nearest neighbour on the same features, which depends on the
features alone and not on a classifier's training.
"""

from __future__ import annotations

from skelcon.downstream.config import LinearConfig
from skelcon.downstream.linear.base import LinearEvaluation, linear_classifier
from skelcon.downstream.linear.lbfgs import RegularisedEvaluation
from skelcon.downstream.linear.sgd import SGDEvaluation

__all__ = [
    "LinearEvaluation",
    "RegularisedEvaluation",
    "SGDEvaluation",
    "kind_of",
    "linear_classifier",
]


def kind_of(config: LinearConfig) -> type[LinearEvaluation]:
    """The kind of evaluation that ``config`` requires."""
    return RegularisedEvaluation if config.weight_decay == "auto" else SGDEvaluation
