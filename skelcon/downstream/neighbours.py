"""Retrieval: the class of the nearest training clip by cosine similarity (A.1, k = 1)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skelcon.downstream.config import RetrievalConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.result import EvaluationResult, scored
from skelcon.precision import computing


def retrieval(inputs: Inputs, config: RetrievalConfig) -> EvaluationResult:
    """Give each test clip the class of its nearest training clip; nothing is trained.

    (The authors' retrieval runs with dropout and batch statistics on; here both are off.)

    Args:
        inputs: the clips of both sides, and frozen encoders.
        config: which part of a clip is used.

    Returns:
        ``top1`` on the test side; also as ``nn_top1``, which linear evaluation calls it.
    """
    labels = inputs.bank.labels
    with computing("fp32", inputs.bank.device):  # all but the encoders
        queries, gallery = (
            inputs.features(clips, config.test_ratio, config.precision)
            for clips in (inputs.test, inputs.train)
        )
        predicted = nearest_labels(queries, gallery, labels[inputs.train])
    result = scored(inputs.test, labels[inputs.test], predicted)
    result.metrics["nn_top1"] = result.metrics["top1"]
    return result


def nearest_labels(queries: Tensor, gallery: Tensor, labels: Tensor) -> Tensor:
    """The label of the row of ``gallery`` that is most similar to each query, by cosine.

    Args:
        queries: (n, D).
        gallery: (m, D).
        labels: (m,) of ``gallery``.

    Returns:
        (n,) labels.
    """
    unit = functional.normalize(gallery, dim=1)
    parts = torch.split(functional.normalize(queries, dim=1), 1024)
    return labels[torch.cat([(some @ unit.T).argmax(dim=1) for some in parts])]


def vote(
    queries: Tensor, gallery: Tensor, labels: Tensor, k: int, temperature: float | None
) -> Tensor:
    r"""The label that the k rows of ``gallery`` most similar to each query vote for.

    Args:
        queries: (n, D).
        gallery: (m, D); k is at most m.
        labels: (m,) int64 of ``gallery``.
        k: how many vote.
        temperature: a row with the cosine similarity s has the weight :math:`e^{s/\tau}` (as in
            Wu et al. 2018, Unsupervised feature learning via non-parametric instance
            discrimination). None: each has one vote; the nearest row decides a tie.

    Returns:
        (n,) labels.
    """
    unit, k = functional.normalize(gallery, dim=1), min(k, len(gallery))
    found = []
    for some in torch.split(functional.normalize(queries, dim=1), 1024):
        similar, rows = (some @ unit.T).topk(k, dim=1)  # the nearest comes first
        of = functional.one_hot(labels[rows], int(labels.max()) + 1)  # (B, k, classes)
        if temperature is None:
            place = torch.arange(k, device=of.device)[:, None]
            first = torch.where(of.bool(), place, k).amin(dim=1)
            votes = of.sum(dim=1) - first / (k + 1)  # less than a vote
        else:
            weights = ((similar - similar[:, :1]) / temperature).exp()
            votes = (of * weights[:, :, None]).sum(dim=1)
        found.append(votes.argmax(dim=1))
    return torch.cat(found)


def nearest_clips(
    query: NDArray[np.float32], gallery: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows of ``gallery`` (n, D) most similar to ``query`` (D,), nearest first.

    Returns:
        The rows, and their cosine similarities, each (min(k, n),). Ties are in row order.
    """
    unit = functional.normalize(torch.from_numpy(gallery), dim=1)
    cosines = unit @ functional.normalize(torch.from_numpy(query), dim=0)
    rows = cosines.argsort(descending=True, stable=True)[:k]
    return rows.numpy(), cosines[rows].numpy()
