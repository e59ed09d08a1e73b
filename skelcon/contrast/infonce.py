"""InfoNCE (eq. 5), and which query is contrasted with which key (eqs. 6-8)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional


def contrast_logits(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Similarities over temperature: the positive first, then every negative of the queue.

    Args:
        query, key: (B, D) unit vectors; row i of ``key`` is the positive of row i of ``query``.
        queue: (K, D) unit vectors, the negatives N of eq. 5.
        temperature: tau.

    Returns:
        (B, 1 + K) float32 logits.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, queue = query.float(), key.float(), queue.float()
        positive = (query * key).sum(dim=1, keepdim=True)
        return torch.cat((positive, query @ queue.T), dim=1) / temperature


def info_nce(logits: Tensor) -> Tensor:
    """Eq. 5, the mean over the batch: cross-entropy with the positive in column 0."""
    return functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def distribution_loss(logits: Tensor, target: Tensor) -> Tensor:
    """AimCLR's D3M, the mean over the batch: cross-entropy of the two softmaxes over all keys.

    Args:
        logits: (B, 1 + K) of a strongly augmented view.
        target: (B, 1 + K) of a view augmented as usual, which gets no gradient.
    """
    return functional.cross_entropy(logits, target.detach().softmax(dim=1))


def pairings(names: Sequence[str]) -> list[tuple[str, str]]:
    """The (query, key) pairs of a set of representations.

    One representation is contrasted with itself (intra-skeleton, eq. 5). Of several, each is
    contrasted with every *other* one (inter-skeleton: eqs. 6-8 for two, all ordered pairs for
    three).

    >>> pairings(["img", "seq"])
    [('img', 'seq'), ('seq', 'img')]
    """
    if len(names) == 1:
        return [(names[0], names[0])]
    return list(permutations(names, 2))
