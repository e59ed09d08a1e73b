"""Momentum contrast over one or more representations (sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from skelcon.contrast.config import ContrastConfig
from skelcon.contrast.infonce import contrast_logits, distribution_loss, info_nce
from skelcon.contrast.objective import (
    Branch,
    ContrastResult,
    Objective,
    momentum_copy,
    momentum_update,
)
from skelcon.encoders import Encoder, ProjectionHead


class _Branch(Branch):
    """One representation: a query and a key network, and the queue of its keys."""

    queue: Tensor

    def __init__(
        self, encoder: Encoder, config: ContrastConfig, generator: torch.Generator
    ) -> None:
        super().__init__(
            encoder, ProjectionHead(encoder.feature_size, config.head_hidden, config.dim)
        )
        self.key = momentum_copy(self.query)
        negatives = torch.randn(config.queue, config.dim, generator=generator)
        self.register_buffer("queue", functional.normalize(negatives, dim=1))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, at: Tensor) -> None:
        """Replace the entries from ``at`` by ``keys`` (B, D), wrapping around at the end."""
        size = len(self.queue)
        rows = (torch.arange(len(keys), device=keys.device) + at) % size
        self.queue[rows[-size:]] = keys[-size:].to(self.queue)


class MomentumContrast(Objective):
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

    takes_extra = True
    pointer: Tensor

    def __init__(
        self, encoders: Mapping[str, Encoder], config: ContrastConfig, generator: torch.Generator
    ) -> None:
        super().__init__(
            {name: _Branch(encoder, config, generator) for name, encoder in encoders.items()}
        )
        self.config = config
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def queue(self, representation: str) -> Tensor:
        """(K, D) the negatives of ``representation``."""
        return self._branch(representation).queue

    def _branch(self, name: str) -> _Branch:
        branch = self.branches[name]
        assert isinstance(branch, _Branch)
        return branch

    def forward(self, query_view: Tensor, key_view: Tensor, *extra: Tensor) -> ContrastResult:
        """The loss of a step on views (B, M, T, V, C) of the same clips; updates the keys.

        The queues do not change until :meth:`after_backward`, as the backward pass needs them. Each
        ``extra`` view is one more query for the same keys and queues; the mean of their losses is
        added.

        Returns:
            The sum of the pairs' losses, the mean top-1 of the contrast, embeddings and features.
        """
        features, queries = self.embed(query_view)
        others = [self.embed(view)[1] for view in extra]
        with torch.no_grad():
            keys = {}
            for name in self.branches:
                branch = self._branch(name)
                momentum_update(branch.key, branch.query, self.config.momentum)
                keys[name] = branch.key(key_view)
        losses, hits = [], []
        for query, key in self.pairs:
            against = keys[key], self.queue(key), self.config.temperature
            logits = contrast_logits(queries[query], *against)
            losses.append(info_nce(logits))
            for other in others:
                loss = self._loss_of_extra(contrast_logits(other[query], *against), logits)
                losses.append(loss / len(others))
            ahead = logits.detach()[:, 0] > logits.detach()[:, 1:].amax(dim=1)  # a tie is not a hit
            hits.append(ahead.float().mean())
        losses += self.further_losses(queries, keys)
        return ContrastResult(
            torch.stack(losses).sum(),
            torch.stack(hits).mean(),
            {name: query.detach() for name, query in queries.items()},
            keys,
            {name: feature.detach() for name, feature in features.items()},
            chance=1 / (1 + self.config.queue),
        )

    def further_losses(
        self, queries: Mapping[str, Tensor], keys: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """Losses that a subclass adds; here none. Queries have a gradient, keys have none."""
        return []

    def _loss_of_extra(self, logits: Tensor, of_query: Tensor) -> Tensor:
        if self.config.extra == "distribution":
            return distribution_loss(logits, of_query)
        return info_nce(logits)

    @torch.no_grad()
    def after_backward(self, result: ContrastResult) -> None:
        """Enqueue the keys of all processes, in the order of the batch."""
        self.enqueue({name: self.gather(keys.float()) for name, keys in result.keys.items()})

    @torch.no_grad()
    def enqueue(self, keys: Mapping[str, Tensor]) -> None:
        """Replace the oldest negatives of each representation by ``keys`` (B, D).

        Args:
            keys: the keys of a step; in distributed training of the whole batch.
        """
        for name, rows in keys.items():
            self._branch(name).enqueue(rows, self.pointer)
        self.pointer.add_(len(rows)).remainder_(self.config.queue)
