"""Linear evaluation: a linear classifier on a frozen encoder (A.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon.augment import evaluation_view, training_view
from skelcon.data import ClipBank
from skelcon.downstream.config import LinearConfig
from skelcon.downstream.features import extract
from skelcon.downstream.result import EvaluationResult, scored
from skelcon.encoders import Encoder
from skelcon.seeding import generator


def linear_classifier(
    inputs: int, num_classes: int, draws: torch.Generator, device: torch.device
) -> nn.Linear:
    """A new classifier: weights from N(0, 0.01^2), zero bias."""
    weight = torch.randn(num_classes, inputs, generator=draws) * 0.01
    classifier: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, num_classes, device=device)
    with torch.no_grad():
        classifier.weight.copy_(weight)
        nn.init.zeros_(classifier.bias)
    return classifier


def linear_evaluation(
    encoders: Sequence[Encoder],
    bank: ClipBank,
    train: Tensor,
    test: Tensor,
    num_classes: int,
    frames: int,
    config: LinearConfig,
    seed: int,
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

    Returns:
        ``top1`` on the test side, ``top1_train`` on the last epoch's crops.
    """
    draws = generator(seed, "linear")
    size = sum(encoder.feature_size for encoder in encoders)
    classifier = linear_classifier(size, num_classes, draws, bank.device)
    optimiser = torch.optim.SGD(
        classifier.parameters(),
        config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    labels = bank.labels[train]

    def cropped() -> Tensor:
        return extract(
            encoders, train, lambda some: training_view(bank, some, config.crop, frames, draws)
        )

    kept = [cropped() for _ in range(min(config.crops or 1, config.epochs))]
    shift, scale = _standardisation(kept[0], config.standardise)
    hits = 0
    for epoch in range(config.epochs):
        fresh = config.crops is None and epoch > 0
        features = ((cropped() if fresh else kept[epoch % len(kept)]) - shift) * scale
        for group in optimiser.param_groups:
            group["lr"] = config.lr * math.prod(0.1 for at in config.milestones if epoch >= at)
        order = torch.randperm(len(train), generator=draws).to(bank.device)
        hits = _fit(classifier, optimiser, features, labels, torch.split(order, config.batch))
    if not classifier.weight.isfinite().all():
        raise FloatingPointError("the linear classifier's weights became infinite: lower linear.lr")
    with torch.no_grad():
        tested = extract(
            encoders, test, lambda some: evaluation_view(bank, some, config.test_ratio, frames)
        )
        result = scored(test, bank.labels[test], classifier((tested - shift) * scale).argmax(dim=1))
    result.metrics["top1_train"] = hits / len(train)
    return result


def _standardisation(features: Tensor, standardise: bool) -> tuple[Tensor, Tensor]:
    """Shift and scale of each of ``features`` (n, D); a constant feature becomes zero."""
    if not standardise:
        return torch.zeros_like(features[0]), torch.ones_like(features[0])
    shift, deviation = features.mean(dim=0), features.std(dim=0)
    return shift, torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0)


def _fit(
    classifier: nn.Linear,
    optimiser: torch.optim.Optimizer,
    features: Tensor,
    labels: Tensor,
    batches: Sequence[Tensor],
) -> int:
    """A step on each of ``batches``; how many of their clips were classified correctly."""
    hits = 0
    for some in batches:
        logits = classifier(features[some])
        optimiser.zero_grad(set_to_none=True)
        functional.cross_entropy(logits, labels[some]).backward()
        optimiser.step()
        hits += int(logits.argmax(dim=1).eq(labels[some]).sum())
    return hits
