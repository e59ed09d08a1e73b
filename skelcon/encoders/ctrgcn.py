"""CTR-GCN (Chen et al., ICCV 2021): each channel has a topology of its own, refined from the data.

Notation: N bodies, C channels in, O out, R = C / reduction, T frames, V joints, K = 3 subsets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon.data.layouts import SkeletonLayout
from skelcon.encoders.agcn import ConvNorm, initialise, spatial_graph
from skelcon.encoders.bodies import WeightedBatchNorm2d, mean_over_bodies
from skelcon.encoders.options import CTRGCNConfig
from skelcon.encoders.representations import InputNorm


class _Topology(nn.Module):
    """CTR-GC, summed over the subsets: (A_k + alpha Q_k) applied to a transform of the input.

    Q_k = xi(tanh(psi(x)_i - phi(x)_j)) refines the topology A_k, which all channels share, for each
    channel, from the input's mean over frames (section 3.2 of the paper).
    """

    def __init__(self, inputs: int, outputs: int, graph: Tensor, reduction: int) -> None:
        super().__init__()
        K = len(graph)
        R = 8 if inputs == 3 else max(1, inputs // reduction)  # coordinates are not reduced
        self.shared = nn.Parameter(graph.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.pairs = nn.Conv2d(inputs, 2 * K * R, 1)
        self.refine = nn.Conv2d(K * R, K * outputs, 1, groups=K)
        self.transform = nn.Conv2d(inputs, K * outputs, 1)
        # kaiming fan_out of each subset's own convolution
        initialise(self.pairs, math.sqrt(2 / R))
        initialise(self.refine, math.sqrt(2 / outputs))
        initialise(self.transform, math.sqrt(2 / outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, O, T, V)."""
        N, _, T, V = x.shape
        K = len(self.shared)
        # The mean over frames commutes with the convolution.
        psi, phi = self.pairs(x.mean(dim=2, keepdim=True)).squeeze(2).chunk(2, dim=1)
        correlation = torch.tanh(psi[:, :, :, None] - phi[:, :, None, :])
        refined = self.refine(correlation).view(N, K, -1, V, V) * self.alpha
        topology = refined + self.shared[:, None]
        values = self.transform(x).view(N, K, -1, T, V)
        y: Tensor = (values @ topology.transpose(3, 4)).sum(dim=1)
        return y


class _Spatial(nn.Module):
    """The topology's graph convolution with its norm and a residual path."""

    def __init__(self, inputs: int, outputs: int, graph: Tensor, reduction: int) -> None:
        super().__init__()
        self.topology = _Topology(inputs, outputs, graph, reduction)
        self.norm = WeightedBatchNorm2d(outputs)
        nn.init.constant_(self.norm.weight, 1e-6)
        self.down = _conv(inputs, outputs) if inputs != outputs else None

    def forward(self, x: Tensor, weights: Tensor | None) -> Tensor:
        y = self.norm(self.topology(x), weights)
        return functional.relu(y + (x if self.down is None else self.down(x, weights)))


class _MultiScale(nn.Module):
    """Temporal branches side by side: dilated convolutions, a maximum, and the frames themselves.

    Each has an equal share of the channels, and all but the last a 1 x 1 convolution in front.
    """

    def __init__(self, channels: int, config: CTRGCNConfig, stride: int) -> None:
        super().__init__()
        own = channels // (len(config.dilations) + 2)
        self.reduced = nn.ModuleList(_conv(channels, own) for _ in (*config.dilations, "pool"))
        self.dilated = nn.ModuleList(
            _conv(own, own, config.kernel, stride, dilation) for dilation in config.dilations
        )
        self.pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        self.pool_norm = WeightedBatchNorm2d(own)
        self.direct = _conv(channels, own, stride=stride)

    def forward(self, x: Tensor, weights: Tensor | None) -> Tensor:
        """(N, C, T, V) -> (N, C, T / stride, V)."""
        *dilated, pooled = (functional.relu(reduce(x, weights)) for reduce in self.reduced)
        branches = [conv(y, weights) for conv, y in zip(self.dilated, dilated, strict=True)]
        branches += [self.pool_norm(self.pool(pooled), weights), self.direct(x, weights)]
        return torch.cat(branches, dim=1)


class _Unit(nn.Module):
    """A graph convolution, then the temporal branches, with a residual path."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        graph: Tensor,
        stride: int,
        config: CTRGCNConfig,
        first: bool,
    ) -> None:
        super().__init__()
        self.spatial = _Spatial(inputs, outputs, graph, config.reduction)
        self.temporal = _MultiScale(outputs, config, stride)
        self.shortcut = not first and inputs == outputs and stride == 1
        own = not first and not self.shortcut
        self.residual = _conv(inputs, outputs, stride=stride) if own else None

    def forward(self, x: Tensor, weights: Tensor | None) -> Tensor:
        y: Tensor = self.temporal(self.spatial(x, weights), weights)
        if self.residual is not None:
            y = y + self.residual(x, weights)
        elif self.shortcut:
            y = y + x
        return functional.relu(y)


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1
) -> ConvNorm:
    """A convolution over frames that keeps their number, but for the stride, and its norm."""
    conv = nn.Conv2d(
        inputs,
        outputs,
        (kernel, 1),
        stride=(stride, 1),
        padding=((kernel - 1) * dilation // 2, 0),
        dilation=(dilation, 1),
    )
    initialise(conv)
    return ConvNorm(conv)


class CTRGCN(nn.Module):
    """Units over a body's spatio-temporal graph; the mean over bodies, frames and joints.

    The published size has 1.43M parameters, and 1.46M with a classifier of 120 classes. Of clips of
    several bodies an absent one is computed once, and counts for all of them.
    """

    def __init__(self, config: CTRGCNConfig, bodies: int, layout: SkeletonLayout) -> None:
        super().__init__()
        graph = spatial_graph(layout)
        self.norm = InputNorm(bodies, layout.num_joints)
        units, inputs = [], 3
        for i, (channels, stride) in enumerate(zip(config.channels, config.strides, strict=True)):
            units.append(_Unit(inputs, channels, graph, stride, config, first=i == 0))
            inputs = channels
        self.units = nn.ModuleList(units)
        self.feature_size = inputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, C, T, V) -> features (B, channels of the last unit)."""
        return mean_over_bodies(self._pooled, x, self.norm(x).flatten(0, 1).contiguous())

    def _pooled(self, x: Tensor, weights: Tensor | None) -> Tensor:
        for unit in self.units:
            x = unit(x, weights)
        return x.flatten(2).mean(dim=2)
