"""ST-GCN (Yan et al., AAAI 2018): graph convolutions over a spatial partition of neighbours."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon.data.layouts import SkeletonLayout
from skelcon.encoders.agcn import ConvNorm, initialise, spatial_graph
from skelcon.encoders.bodies import WeightedBatchNorm2d, mean_over_bodies
from skelcon.encoders.options import Partition, STGCNConfig
from skelcon.encoders.representations import InputNorm


def spatial_partition(layout: SkeletonLayout, partition: Partition = "paper") -> Tensor:
    """(3, V, V): a joint itself, those towards the root and those away from it.

    Of all three together each column sums to 1: A D^-1, with A of bones and self-links.

    Args:
        layout: its bones are the links.
        partition: ``code``: as ST-GCN's public code, which takes joints that are more than one bone
            from the root for equally far from it: of a bone between two of these both directions
            are in the third subset.
    """
    links = spatial_graph(layout).sign()
    if partition == "code":
        near = [layout.root, *(child for child, parent in layout.bones if parent == layout.root)]
        far = links[1].clone()
        far[near] = 0  # what stays are links from a parent further away
        links[1:] += torch.stack((-far, far))
    return links / links.sum(dim=(0, 1))


class _Unit(nn.Module):
    """A graph convolution, then a temporal one, with a residual path."""

    def __init__(
        self, inputs: int, outputs: int, graph: Tensor, stride: int, kernel: int, residual: bool
    ) -> None:
        super().__init__()
        self.register_buffer("fixed", graph.clone(), persistent=False)
        self.fixed: Tensor
        self.importance = nn.Parameter(torch.ones_like(graph))
        self.spatial = nn.Conv2d(inputs, len(graph) * outputs, 1)
        self.norm = WeightedBatchNorm2d(outputs)
        temporal = nn.Conv2d(
            outputs, outputs, (kernel, 1), stride=(stride, 1), padding=((kernel - 1) // 2, 0)
        )
        initialise(self.spatial, math.sqrt(2 / outputs))
        initialise(temporal)
        self.temporal = ConvNorm(temporal)
        self.shortcut = residual and inputs == outputs and stride == 1
        self.residual: ConvNorm | None = None
        if residual and not self.shortcut:
            conv = nn.Conv2d(inputs, outputs, 1, stride=(stride, 1))
            initialise(conv)
            self.residual = ConvNorm(conv)

    def forward(self, x: Tensor, weights: Tensor | None, dropout: nn.Module) -> Tensor:
        """(N, C, T, V), each of which counts ``weights`` (N,) times -> (N, outputs, T', V)."""
        N, _, T, V = x.shape
        adjacency = self.fixed * self.importance
        each = self.spatial(x).view(N, len(adjacency), -1, V) @ adjacency
        y = functional.relu(self.norm(each.sum(dim=1).view(N, -1, T, V), weights))
        y = dropout(self.temporal(y, weights))
        if self.residual is not None:
            y = y + self.residual(x, weights)
        elif self.shortcut:
            y = y + x
        return functional.relu(y)


class STGCN(nn.Module):
    """Units over a body's spatio-temporal graph; the mean over bodies, frames and joints.

    Each unit weighs the partition's links by a learned importance. The published size has 3.08M
    parameters, and 3.10M with a classifier of 60 classes.

    Of clips of several bodies an absent one is computed once, and counts for all of them, unless
    there is dropout, which has a mask for each.
    """

    def __init__(self, config: STGCNConfig, layout: SkeletonLayout) -> None:
        super().__init__()
        graph = spatial_partition(layout, config.partition)
        self.norm = InputNorm(1, layout.num_joints)  # bodies share it
        units, inputs = [], 3
        for i, (channels, stride) in enumerate(zip(config.channels, config.strides, strict=True)):
            units.append(_Unit(inputs, channels, graph, stride, config.kernel, residual=i > 0))
            inputs = channels
        self.units = nn.ModuleList(units)
        self.dropout = nn.Dropout(config.dropout)
        self.drops = config.dropout > 0
        self.feature_size = inputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, C, T, V) -> features (B, channels of the last unit)."""
        B, M = x.shape[:2]
        bodies = self.norm(x.flatten(0, 1)[:, None])[:, 0].contiguous()
        if self.training and self.drops:
            return self._pooled(bodies, None).view(B, M, -1).mean(dim=1)
        return mean_over_bodies(self._pooled, x, bodies)

    def _pooled(self, x: Tensor, weights: Tensor | None) -> Tensor:
        for i, unit in enumerate(self.units):
            x = unit(x, weights, self.dropout if i else nn.Identity())
        return x.flatten(2).mean(dim=2)
