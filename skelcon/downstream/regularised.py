r"""Linear classifiers for a path of weight decays, and the folds that choose among them.

Each minimises over n rows

.. math:: \frac{1}{n} \sum_i -\log p(y_i | x_i) + \frac{\lambda}{2} \lVert W \rVert^2 ,

with the bias free, by full-batch L-BFGS. The path runs from the strongest to the weakest
:math:`\lambda`, and each fit starts where the one before ended. The number of iterations is
limited: a weak :math:`\lambda` may not reach its minimum (without any, separable rows have none). A
fit to all clips takes the path of the folds, so that it is the estimator that was validated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from skelcon import optimisers
from skelcon.data.splits import deal as dealt
from skelcon.downstream.config import FOLDS
from skelcon.seeding import generator

ITERATIONS = 25
"""Of L-BFGS for each weight decay, at most."""

Classifier = tuple[Tensor, Tensor]
"""Weight (classes, D) and bias (classes,)."""


def fit_path(
    features: Tensor, labels: Tensor, num_classes: int, weight_decays: Sequence[float]
) -> list[Classifier]:
    """A classifier for each of ``weight_decays``, which are given from strong to weak.

    Args:
        features: (n, D).
        labels: (n,) int64 classes.
        num_classes: the number of classes.
        weight_decays: each is the lambda of this module's text.
    """
    weight = features.new_zeros(num_classes, features.shape[1])
    bias = features.new_zeros(num_classes)
    fitted = []
    for weight_decay in weight_decays:
        weight, bias = _fit(features, labels, weight, bias, weight_decay)
        fitted.append((weight, bias))
    return fitted


def _fit(
    features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, weight_decay: float
) -> Classifier:
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimiser = optimisers.LBFGS(
        [weight, bias],
        max_iter=ITERATIONS,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = functional.linear(features, weight, bias)
        total = functional.cross_entropy(logits, labels) + weight_decay / 2 * weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    return weight.detach(), bias.detach()


def hits_on_path(
    classifiers: Sequence[Classifier], features: Tensor, labels: Tensor
) -> tuple[Tensor, float]:
    """How many of ``features`` (n, D) each classifier gives their label.

    Returns:
        (R,) int64 on the CPU, and the smallest mean cross-entropy.
    """
    logits = [functional.linear(features, weight, bias) for weight, bias in classifiers]
    hits = torch.stack([each.argmax(dim=1).eq(labels).sum() for each in logits])
    losses = torch.stack([functional.cross_entropy(each, labels) for each in logits])
    return hits.cpu(), float(losses.min())


def assign_folds(groups: Tensor, labels: Tensor, seed: int) -> Tensor:
    """The fold of each clip, at most :data:`~skelcon.downstream.config.FOLDS` of them.

    Whole groups go to folds, as in a cross-validation (`skelcon.data.splits`). With a single group
    the clips of each class are distributed at random instead.

    Args:
        groups: (n,) int64 the group of each clip.
        labels: (n,) int64 its class.
        seed: of the random draw.

    Returns:
        (n,) int64 on the device of ``groups``; folds are counted from 0 without gaps.
    """
    if len(groups.unique()) < 2:
        draws = generator(seed, "linear folds")
        order = torch.randperm(len(labels), generator=draws)
        order = order[labels.cpu()[order].argsort(stable=True)]
        folds = torch.empty(len(labels), dtype=torch.long)
        folds[order] = torch.arange(len(labels)) % FOLDS
        return folds.to(groups.device)
    return torch.from_numpy(dealt(groups.cpu().numpy(), FOLDS)).to(groups.device)
