"""Linear evaluation: a linear classifier on a frozen encoder (A.1).

Beside its accuracy stands that of the nearest neighbour on the same features: it asks the features
alone, without a classifier's training.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from skelcon.data import ClipBank
from skelcon.downstream.config import LinearConfig
from skelcon.downstream.linear.base import LinearEvaluation, linear_classifier
from skelcon.downstream.linear.lbfgs import RegularisedEvaluation
from skelcon.downstream.linear.sgd import SGDEvaluation
from skelcon.downstream.result import EvaluationResult
from skelcon.encoders import Encoder

__all__ = [
    "LinearEvaluation",
    "RegularisedEvaluation",
    "SGDEvaluation",
    "kind_of",
    "linear_classifier",
    "linear_evaluation",
]


def kind_of(config: LinearConfig) -> type[LinearEvaluation]:
    """The kind of evaluation that ``config`` asks for."""
    return RegularisedEvaluation if config.weight_decay == "auto" else SGDEvaluation


def linear_evaluation(
    encoders: Sequence[Encoder],
    bank: ClipBank,
    train: Tensor,
    test: Tensor,
    num_classes: int,
    frames: int,
    config: LinearConfig,
    seed: int,
    groups: Tensor | None = None,
) -> EvaluationResult:
    """Train a linear classifier on ``train`` and report its last epoch on ``test``.

    Args:
        encoders: frozen; of several the features are concatenated (Table 10).
        bank: the clips.
        train, test: (n,) int64 clips of the two sides.
        num_classes: the number of classes.
        frames: T, the frames of a view.
        config: the classifier's training.
        seed: the unit's seed.
        groups: (n,) int64 the subject, camera or setup of each training clip, for
            ``weight_decay: auto``; clips are drawn at random where they are not known.

    Returns:
        As :meth:`LinearEvaluation.result` has it.
    """
    evaluation = kind_of(config)(
        encoders, bank, train, test, num_classes, frames, config, seed, groups
    )
    while not evaluation.done:
        evaluation.run_epoch()
    return evaluation.result()
