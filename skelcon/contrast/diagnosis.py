"""What a pre-training has learned, measured on its embeddings and features, without labels.

Notation: B clips of a batch, D the size of an embedding, F the size of a feature. All is computed
on the device that trains, without gradient; nothing waits for the device before
:meth:`EpochDiagnosis.values`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from skelcon.contrast.objective import ContrastResult

POTENTIAL_T = 2.0
"""t of the Gaussian potential (Wang & Isola 2020, section 4.2)."""


@torch.no_grad()
def alignment(query: Tensor, key: Tensor) -> Tensor:
    """Mean squared distance of positive pairs: Wang & Isola 2020, section 4.1.1, alpha = 2.

    0 if the views of a clip have the same embedding; 2 if they are orthogonal, as by chance.

    Args:
        query, key: (B, D) unit vectors; row i of both is of clip i.
    """
    return (query.float() - key.float()).square().sum(dim=1).mean()


@torch.no_grad()
def gaussian_potential(embeddings: Tensor, t: float = POTENTIAL_T) -> Tensor:
    """Mean of exp(-t |z_i - z_j|^2) over the pairs i < j; NaN for a single embedding.

    Args:
        embeddings: (B, D) unit vectors.
        t: how fast the potential falls.
    """
    return torch.pdist(embeddings.float()).square().mul(-t).exp().mean()


def uniformity(embeddings: Tensor, t: float = POTENTIAL_T) -> Tensor:
    """Logarithm of the :func:`gaussian_potential`: Wang & Isola 2020, section 4.1.2.

    0 if all embeddings are the same, -2 t = -4 if they are all orthogonal; lower is more uniform.
    """
    return gaussian_potential(embeddings, t).log()


@torch.no_grad()
def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values: Roy & Vetterli 2007, definition 1.

    Of the features minus their mean, so between 1 (all lie on a line, or in a point) and
    min(B - 1, F) (they spread equally in all directions). Singular values no larger than the
    rounding of the features count as zero.

    Args:
        features: (B, F).
    """
    B, F = features.shape
    eps = torch.finfo(features.dtype).eps
    x = features.double()
    rounding = eps * torch.linalg.matrix_norm(x) * (B**-0.5 + F**-0.5)
    x = x - x.mean(dim=0)
    # The smaller Gram matrix: of 64 features of 1024 values it is five times as fast as an SVD.
    gram = x @ x.T if B <= F else x.T @ x
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    values = torch.where(values > rounding, values, 0.0)
    shares = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp().float()


class EpochDiagnosis:
    """Sums over the steps of an epoch, and its last step's features.

    Args:
        pairs: (query, key) pairs of representations that are contrasted.
        device: where the embeddings are.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], device: torch.device) -> None:
        self._pairs, self._steps = pairs, 0
        self._names = list(dict.fromkeys(query for query, _ in pairs))
        self._features: dict[str, Tensor] = {}
        self._alignment = torch.zeros((), device=device)
        self._potentials = torch.zeros(len(self._names), device=device)

    @property
    def sums(self) -> list[Tensor]:
        """Several processes replace these, in place, by their mean over the processes."""
        return [self._alignment, self._potentials]

    @torch.no_grad()
    def add(self, result: ContrastResult) -> None:
        """Add a step."""
        queries, keys = result.queries, result.keys
        distances = [alignment(queries[query], keys[key]) for query, key in self._pairs]
        self._alignment += torch.stack(distances).mean()
        self._potentials += torch.stack([gaussian_potential(queries[n]) for n in self._names])
        self._features, self._steps = result.features, self._steps + 1

    def values(self, gather: Callable[[Tensor], Tensor]) -> dict[str, float | None]:
        """``alignment``, ``uniformity`` and ``effective_rank`` of the epoch; waits for the device.

        Alignment is the mean over steps and pairs. Uniformity is the logarithm of the mean
        potential over the steps. The effective rank is computed from the last step's features,
        before the projection head. With several representations the worst one counts: the largest
        uniformity, the smallest rank. A value that is not finite becomes None.

        Args:
            gather: from this process's rows of features to the rows of all processes.
        """
        if not self._steps:
            return dict.fromkeys(("alignment", "uniformity", "effective_rank"))
        ranks = [self._rank(gather(self._features[name])) for name in self._names]
        found = {
            "alignment": float(self._alignment / self._steps),
            "uniformity": float((self._potentials / self._steps).max().log()),
            "effective_rank": min(ranks),
        }
        return {name: value if math.isfinite(value) else None for name, value in found.items()}

    @staticmethod
    def _rank(features: Tensor) -> float:
        return float(effective_rank(features)) if features.isfinite().all() else math.nan
