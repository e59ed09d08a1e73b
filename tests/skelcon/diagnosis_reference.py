"""Alignment, potential and rank in numpy and double precision, spelt out."""

import itertools

import numpy as np
import torch


def numpy_alignment(query: torch.Tensor, key: torch.Tensor) -> float:
    pairs = zip(query.double().numpy(), key.double().numpy(), strict=True)
    return float(np.mean([np.sum((q - k) ** 2) for q, k in pairs]))


def numpy_potential(embeddings: torch.Tensor) -> float:
    rows = embeddings.double().numpy()
    distances = [np.sum((a - b) ** 2) for a, b in itertools.combinations(rows, 2)]
    return float(np.mean(np.exp(-2 * np.array(distances))))


def numpy_rank(features: torch.Tensor) -> float:
    rows = features.double().numpy()
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = values[values > 1e-6 * np.linalg.norm(rows)]
    shares = shares / shares.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))
