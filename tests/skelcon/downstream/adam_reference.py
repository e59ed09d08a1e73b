"""Fine-tuning by Adam, in numpy."""

import numpy as np

from skelcon.downstream import FinetuneConfig


def adam_in_float64(
    inputs: np.ndarray, labels: np.ndarray, weights: list[np.ndarray], config: FinetuneConfig
) -> tuple[list[np.ndarray], list[float], float]:
    """Softmax regression behind a linear map, both trained by Adam on all clips at once."""
    first = [np.zeros_like(w) for w in weights]
    second = [np.zeros_like(w) for w in weights]
    losses, hits = [], 0.0
    for epoch in range(config.epochs):
        lr = config.lr * 0.1 ** sum(epoch >= at for at in config.milestones)
        A, a, W, b = weights
        features = inputs @ A.T + a
        logits = features @ W.T + b
        hits = float((logits.argmax(axis=1) == labels).mean())
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        losses.append(float(-np.log(share[np.arange(len(labels)), labels]).mean()))
        share[np.arange(len(labels)), labels] -= 1
        share /= len(labels)
        back = share @ W
        slopes = [back.T @ inputs, back.sum(axis=0), share.T @ features, share.sum(axis=0)]
        new = []
        for i, (weight, bare) in enumerate(zip(weights, slopes, strict=True)):
            slope = bare + config.weight_decay * weight
            first[i] = 0.9 * first[i] + 0.1 * slope
            second[i] = 0.999 * second[i] + 0.001 * slope**2
            mean = first[i] / (1 - 0.9 ** (epoch + 1))
            square = second[i] / (1 - 0.999 ** (epoch + 1))
            new.append(weight - lr * mean / (np.sqrt(square) + 1e-8))
        weights = new
    return weights, losses, hits
