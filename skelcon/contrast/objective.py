"""An objective: the loss of two or more views of the same clips, and the networks behind it.

Notation: B clips of a batch, D the size of an embedding, F the size of a feature.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon.contrast.infonce import pairings
from skelcon.encoders import Encoder

Embedded = dict[str, Tensor]
"""Representation -> a row for each clip."""


@dataclass(frozen=True)
class ContrastResult:
    """The loss of a step, with embeddings and features.

    Attributes:
        loss: with gradient; its mean over the processes is minimised.
        top1: how often the positive had the highest similarity; None if nothing is ranked.
        queries, keys: (B, D) the embeddings of each representation in the first and the second
            view, of unit length.
        features: (B, F) what the encoders gave to their projection heads in the first view.
        chance: ``top1`` of random embeddings.

    Embeddings and features are without gradient.
    """

    loss: Tensor
    top1: Tensor | None
    queries: Embedded
    keys: Embedded
    features: Embedded
    chance: float | None = None


class Branch(nn.Module):
    """One representation: ``query`` is its encoder, and the projection head behind it."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.query = nn.Sequential(encoder, head)


class Objective(nn.Module, ABC):
    """The networks and the loss of a pre-training.

    A subclass keeps further networks, such as predictors, in an ``nn.ModuleDict`` by the
    representation's name: their parameters are trained at the rate of that representation, unless
    they require no gradient.

    Args:
        branches: representation -> its networks.

    Attributes:
        pairs: the (first, second) representations whose views meet: one with itself
            (intra-skeleton), or each of several with every other one (inter-skeleton).
        takes_extra: whether :meth:`forward` accepts further views, each compared with the key view.
        gather: from the rows of this process to the rows of all processes, with gradient; a loss
            over the whole batch has to use it. All processes have to call it equally often.
        draw: uniform random numbers (B, ...) for the rows of this process, on the CPU: each process
            draws the numbers for all rows and takes its own.
        fewest, most: how many representations it takes; no limit if None.
        joints_only: whether encoders have to see joints and no other stream.
    """

    takes_extra: ClassVar[bool] = False
    gather: Callable[[Tensor], Tensor]
    draw: Callable[[Sequence[int]], Tensor]
    fewest: ClassVar[int] = 1
    most: ClassVar[int | None] = None
    joints_only: ClassVar[bool] = False

    def __init__(self, branches: Mapping[str, Branch]) -> None:
        super().__init__()
        self.pairs = pairings(list(branches))
        self.gather, self.draw = own_rows, torch.rand
        self.branches = nn.ModuleDict(branches)

    @abstractmethod
    def forward(self, query_view: Tensor, key_view: Tensor) -> ContrastResult:
        """The loss of a step on two views (B, M, T, V, C) of the same clips, rows of a batch.

        With ``takes_extra`` it also accepts further views, ``*extra``.
        """

    def after_backward(self, result: ContrastResult) -> None:
        """Called after the backward pass of a step, before the optimiser's step."""

    def encoder(self, representation: str) -> Encoder:
        """The encoder of ``representation`` that is kept, without its projection head."""
        encoder = self.query(representation)[0]
        assert isinstance(encoder, Encoder)
        return encoder

    def query(self, representation: str) -> nn.Sequential:
        """The encoder of ``representation`` and its projection head."""
        branch = self.branches[representation]
        assert isinstance(branch, Branch)
        return branch.query

    def query_parameters(self, representation: str | None = None) -> list[nn.Parameter]:
        """The parameters that the optimiser trains, of one representation or of all."""
        names = self.branches if representation is None else (representation,)
        groups = [each for each in self.children() if isinstance(each, nn.ModuleDict)]
        modules = [group[name] for name in names for group in groups if name in group]
        return [p for module in modules for p in module.parameters() if p.requires_grad]

    def embed(self, view: Tensor) -> tuple[Embedded, Embedded]:
        """Features (B, F) and embeddings (B, D) of a view, of each representation."""
        features, embeddings = {}, {}
        for name in self.branches:
            encoder, head = self.query(name)
            features[name] = encoder(view)
            embeddings[name] = head(features[name])
        return features, embeddings

    def result(
        self,
        losses: Sequence[Tensor],
        first: Embedded,
        second: Embedded,
        features: Embedded,
        *,
        hits: Sequence[Tensor] = (),
        chance: float | None = None,
    ) -> ContrastResult:
        """The sum of ``losses``, one for each pair, and the mean of ``hits``, if there are any.

        Args:
            losses: scalars.
            first, second: embeddings of the two views, of any length.
            features: of the first view.
            hits: the share of rows of each pair whose positive had the highest similarity.
            chance: that share for random embeddings.
        """
        queries, keys = (
            {
                name: functional.normalize(rows.detach().float(), dim=1)
                for name, rows in each.items()
            }
            for each in (first, second)
        )
        top1 = torch.stack(list(hits)).mean() if hits else None
        features = {name: rows.detach() for name, rows in features.items()}
        return ContrastResult(
            torch.stack(list(losses)).sum(), top1, queries, keys, features, chance
        )


class JointEmbedding(Objective):
    """All views pass the same networks, with gradient, and a loss compares two batches of rows.

    The loss is over the whole batch, which several processes gather.

    Args:
        encoders: representation -> its encoder.
        dim: D, the size of an embedding.
        hidden: hidden units of the projection head; the feature size if not set.
        layers: linear layers of the projection head.
    """

    takes_extra = True

    def __init__(
        self, encoders: Mapping[str, Encoder], dim: int, hidden: int | None, layers: int
    ) -> None:
        heads = {name: mlp(e.feature_size, hidden, dim, layers) for name, e in encoders.items()}
        super().__init__({name: Branch(encoders[name], head) for name, head in heads.items()})

    @abstractmethod
    def compare(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of embeddings (B, D) of the same clips, and the top-1 if it has one."""

    def chance(self, batch: int) -> float | None:
        """``top1`` of random embeddings, in a batch of so many clips."""

    def forward(self, query_view: Tensor, key_view: Tensor, *extra: Tensor) -> ContrastResult:
        """The sum of the loss over all pairs, plus the mean loss of the further views."""
        seen = [self.embed(view) for view in (query_view, key_view, *extra)]
        losses, hits = [], []
        with torch.autocast(query_view.device.type, enabled=False):
            rows = [
                {name: self.gather(own.float()) for name, own in embeddings.items()}
                for _, embeddings in seen
            ]
            for at, weight in meet_the_key(len(rows)):
                for one, other in self.pairs:
                    loss, hit = self.compare(rows[at][one], rows[1][other])
                    losses.append(weight * loss)
                    if hit is not None and at == 0:
                        hits.append(hit)
        (features, first), (_, second) = seen[:2]
        chance = self.chance(len(next(iter(rows[0].values()))))
        return self.result(losses, first, second, features, hits=hits, chance=chance)


def meet_the_key(views: int) -> list[tuple[int, float]]:
    """Positions of the views that are compared with the second, the key view, and their weights.

    The first, the query, has the weight 1; further views share another 1.

    >>> meet_the_key(4)
    [(0, 1.0), (2, 0.5), (3, 0.5)]
    """
    return [(0, 1.0), *((at, 1 / (views - 2)) for at in range(2, views))]


def own_rows(rows: Tensor) -> Tensor:
    """:attr:`Objective.gather` of a process that trains by itself."""
    return rows


def mlp(inputs: int, hidden: int | None, outputs: int, layers: int = 2) -> nn.Sequential:
    """``layers`` linear layers, with batch norm and ReLU between them: a head or a predictor.

    Args:
        inputs, outputs: sizes of its input and its output.
        hidden: size of the layers between; ``inputs`` if not set.
        layers: how many linear layers.
    """
    sizes = [inputs, *[hidden or inputs] * (layers - 1), outputs]
    parts: list[nn.Module] = []
    for i, (size, following) in enumerate(pairwise(sizes)):
        if i:
            parts += [nn.BatchNorm1d(size), nn.ReLU()]
        # A bias in front of a batch norm does nothing.
        parts.append(nn.Linear(size, following, bias=i == layers - 1))
    return nn.Sequential(*parts)


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy that no optimiser trains; :func:`momentum_update` updates it."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def momentum_update(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Moving average of the parameters; buffers keep their own statistics."""
    followers: list[Tensor] = list(follower.parameters())
    leaders: list[Tensor] = list(leader.parameters())
    torch._foreach_lerp_(followers, leaders, 1 - momentum)
