"""Momentum contrast over one or more representations (sections 3.2 and 3.3)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon.contrast.config import ContrastConfig
from skelcon.contrast.infonce import contrast_logits, info_nce, pairings
from skelcon.encoders import Encoder, ProjectionHead


@dataclass(frozen=True)
class ContrastResult:
    """The loss of a step, and how often the positive had the highest similarity.

    ``queries`` and ``keys`` are the embeddings (B, D) of each representation, ``features`` (B, F)
    what the query encoders gave to their projection heads; all without gradient.
    """

    loss: Tensor
    top1: Tensor
    queries: dict[str, Tensor]
    keys: dict[str, Tensor]
    features: dict[str, Tensor]


class _Branch(nn.Module):
    """One representation: a query and a key network, and the queue of its keys."""

    queue: Tensor

    def __init__(
        self, encoder: Encoder, config: ContrastConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        head = ProjectionHead(encoder.feature_size, config.head_hidden, config.dim)
        self.query = nn.Sequential(encoder, head)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        negatives = torch.randn(config.queue, config.dim, generator=generator)
        self.register_buffer("queue", functional.normalize(negatives, dim=1))

    @torch.no_grad()
    def update_key(self, momentum: float) -> None:
        """Momentum update of the key's parameters; buffers keep their own statistics."""
        keys: list[Tensor] = list(self.key.parameters())
        queries: list[Tensor] = list(self.query.parameters())
        torch._foreach_lerp_(keys, queries, 1 - momentum)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, at: Tensor) -> None:
        """Replace the entries from ``at`` by ``keys`` (B, D), wrapping around at the end."""
        size = len(self.queue)
        rows = (torch.arange(len(keys), device=keys.device) + at) % size
        self.queue[rows[-size:]] = keys[-size:].to(self.queue)


class MomentumContrast(nn.Module):
    """Query and key encoders with a queue for each representation, and the loss over all pairs.

    The intra-skeleton contrast (eq. 5) is the case of one representation. For more, each query is
    contrasted with the keys and the queue of every other representation (eqs. 6-8). As in the
    authors' code the key encoder runs in training mode, its buffers are neither copied nor
    averaged, and the loss is not symmetrised over the two views.

    Args:
        encoders: representation -> its query encoder; the key encoder starts as its copy.
        config: the contrastive task.
        generator: a CPU generator for the initial queues.
    """

    pointer: Tensor

    def __init__(
        self, encoders: Mapping[str, Encoder], config: ContrastConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.pairs = pairings(list(encoders))
        self.branches = nn.ModuleDict(
            {name: _Branch(encoder, config, generator) for name, encoder in encoders.items()}
        )
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def encoder(self, representation: str) -> Encoder:
        """The query encoder of ``representation``, without its projection head."""
        encoder = self._branch(representation).query[0]
        assert isinstance(encoder, Encoder)
        return encoder

    def queue(self, representation: str) -> Tensor:
        """(K, D) the negatives of ``representation``."""
        return self._branch(representation).queue

    def query_parameters(self, representation: str | None = None) -> list[nn.Parameter]:
        """The parameters that the optimiser trains, of one representation or of all."""
        names = self.branches if representation is None else (representation,)
        return [p for name in names for p in self._branch(name).query.parameters()]

    def _branch(self, name: str) -> _Branch:
        branch = self.branches[name]
        assert isinstance(branch, _Branch)
        return branch

    def forward(self, query_view: Tensor, key_view: Tensor) -> ContrastResult:
        """The loss of a step on two views (B, M, T, V, C) of the same clips; updates the keys.

        The queues stay as they are: call :meth:`enqueue` after the backward pass, which needs them.

        Returns:
            The summed loss over the pairs, the mean top-1 of the contrast, and what they are of.
        """
        queries, features = {}, {}
        for name in self.branches:
            encoder, head = self._branch(name).query
            features[name] = encoder(query_view)
            queries[name] = head(features[name])
        with torch.no_grad():
            keys = {}
            for name in self.branches:
                self._branch(name).update_key(self.config.momentum)
                keys[name] = self._branch(name).key(key_view)
        losses, hits = [], []
        for query, key in self.pairs:
            logits = contrast_logits(
                queries[query], keys[key], self.queue(key), self.config.temperature
            )
            losses.append(info_nce(logits))
            ahead = logits.detach()[:, 0] > logits.detach()[:, 1:].amax(dim=1)  # a tie is not a hit
            hits.append(ahead.float().mean())
        return ContrastResult(
            torch.stack(losses).sum(),
            torch.stack(hits).mean(),
            {name: query.detach() for name, query in queries.items()},
            keys,
            {name: feature.detach() for name, feature in features.items()},
        )

    @torch.no_grad()
    def enqueue(self, keys: Mapping[str, Tensor]) -> None:
        """Replace the oldest negatives of each representation by ``keys`` (B, D).

        Args:
            keys: those of a step; in distributed training those of the whole batch.
        """
        for name, rows in keys.items():
            self._branch(name).enqueue(rows, self.pointer)
        self.pointer.add_(len(rows)).remainder_(self.config.queue)
