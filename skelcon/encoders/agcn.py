"""STG: the adaptive graph convolutional network (A-GCN), joint stream."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon.data.layouts import SkeletonLayout
from skelcon.encoders.bodies import WeightedBatchNorm2d, mean_over_bodies
from skelcon.encoders.options import AGCNConfig
from skelcon.encoders.representations import InputNorm


def spatial_graph(layout: SkeletonLayout) -> Tensor:
    """(3, V, V) fixed adjacency: self, inward and outward links, each column summing to 1 or 0."""
    V = layout.num_joints
    # (Some operations of torch import its compiler where nothing but sizes is counted.)
    adjacency = np.zeros((3, V, V), np.float32)
    adjacency[0] = np.eye(V)
    for child, parent in layout.bones:
        adjacency[1, parent, child] = 1
        adjacency[2, child, parent] = 1
    return torch.from_numpy(adjacency / np.maximum(adjacency.sum(axis=1, keepdims=True), 1))


def initialise(conv: nn.Conv2d, std: float | None = None) -> None:
    """Normal weights: of deviation ``std``, by default kaiming's fan-out; a bias of zero."""
    if std is None:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    else:
        nn.init.normal_(conv.weight, 0, std)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv, WeightedBatchNorm2d(conv.out_channels))

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """(N, C, T, V), each of which counts ``weights`` (N,) times, or once."""
        conv, norm = self
        y: Tensor = norm(conv(x), weights)
        return y


class _GraphUnit(nn.Module):
    """Adaptive graph convolution: fixed + learned + data-dependent adjacency, three subsets."""

    def __init__(self, inputs: int, outputs: int, graph: Tensor) -> None:
        super().__init__()
        self.subsets, self.embedding = len(graph), outputs // 4
        self.register_buffer("fixed", graph.clone(), persistent=False)
        self.fixed: Tensor
        self.learned = nn.Parameter(torch.full_like(graph, 1e-6))
        # theta and phi of all subsets in one product, and their sum over subsets in another.
        self.attention = nn.Conv2d(inputs, 2 * self.subsets * self.embedding, 1)
        self.out = nn.Conv2d(self.subsets * inputs, outputs, 1)
        self.norm = WeightedBatchNorm2d(outputs)
        self.down: ConvNorm | None = None
        if inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1)
            initialise(conv)
            self.down = ConvNorm(conv)
        # kaiming fan_out of each subset's own convolution, as in the original
        initialise(self.attention, math.sqrt(2 / self.embedding))
        initialise(self.out, math.sqrt(2 / (outputs * inputs * self.subsets)))
        nn.init.constant_(self.norm.weight, 1e-6)

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """(N, C, T, V), each of which counts ``weights`` (N,) times -> (N, outputs, T, V)."""
        N, C, T, V = x.shape
        pairs = self.attention(x).view(N, 2, self.subsets, self.embedding * T, V)
        theta, phi = pairs[:, 0], pairs[:, 1]
        scores = theta.transpose(2, 3) @ phi / (self.embedding * T)
        adjacency = scores.softmax(dim=2) + self.fixed + self.learned
        mixed = x.reshape(N, 1, C * T, V) @ adjacency
        y = self.norm(self.out(mixed.view(N, self.subsets * C, T, V)), weights)
        return functional.relu(y + (x if self.down is None else self.down(x, weights)))


class _Unit(nn.Module):
    """A graph convolution, then a temporal one, with a residual path."""

    def __init__(
        self, inputs: int, outputs: int, graph: Tensor, stride: int, kernel: int, residual: bool
    ) -> None:
        super().__init__()
        self.spatial = _GraphUnit(inputs, outputs, graph)
        self.temporal = self._temporal(outputs, outputs, kernel, stride)
        self.residual: ConvNorm | None = None
        self.shortcut = residual and inputs == outputs and stride == 1
        if residual and not self.shortcut:
            self.residual = self._temporal(inputs, outputs, 1, stride)

    @staticmethod
    def _temporal(inputs: int, outputs: int, kernel: int, stride: int) -> ConvNorm:
        conv = nn.Conv2d(
            inputs, outputs, (kernel, 1), stride=(stride, 1), padding=((kernel - 1) // 2, 0)
        )
        initialise(conv)
        return ConvNorm(conv)

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        y = self.temporal(self.spatial(x, weights), weights)
        if self.residual is not None:
            y = y + self.residual(x, weights)
        elif self.shortcut:
            y = y + x
        return functional.relu(y)


class AGCN(nn.Module):
    """Units over a body's spatio-temporal graph; the mean over bodies, frames and joints.

    Of clips of several bodies an absent one is computed once, and counts for all of them.
    """

    def __init__(self, config: AGCNConfig, bodies: int, layout: SkeletonLayout) -> None:
        super().__init__()
        graph = spatial_graph(layout)
        self.norm = InputNorm(bodies, layout.num_joints) if config.input_norm else nn.Identity()
        units, inputs = [], 3
        for i, (channels, stride) in enumerate(zip(config.channels, config.strides, strict=True)):
            units.append(_Unit(inputs, channels, graph, stride, config.kernel, residual=i > 0))
            inputs = channels
        self.units = nn.ModuleList(units)
        self.feature_size = inputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, C, T, V) -> features (B, channels of the last unit)."""
        B, M = x.shape[:2]
        # A permuted batch would keep its order of strides through convolutions, and run slowly.
        bodies = self.norm(x).reshape(B * M, *x.shape[2:]).contiguous()
        return mean_over_bodies(self._pooled, x, bodies)

    def _pooled(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        for unit in self.units:
            x = unit(x, weights)
        return x.flatten(2).mean(dim=2)
