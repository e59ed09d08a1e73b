"""IMG: the Hierarchical Co-occurrence Network (HCN), as the authors' code has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelcon.encoders.options import HCNConfig
from skelcon.encoders.representations import InputNorm


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], config: HCNConfig) -> nn.Module:
    """A convolution that keeps the image's size, followed by batch norm if configured."""
    padding = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs)) if config.batch_norm else conv


WIDE = 64
"""Channels from which images are kept with their channels last in memory: convolutions are faster
so, and maxima ten times. Narrower networks keep the order, and so the bits, that they had."""


class _Stream(nn.Module):
    """conv1 to conv4 of one stream, position or motion: (N, C, T, V) -> (N, c, T/4, c2/4)."""

    def __init__(self, config: HCNConfig, joints: int) -> None:
        super().__init__()
        c, c2 = config.channels, config.cooccurrence
        self.conv1 = nn.Conv2d(3, c, 1)
        self.conv2 = _conv(c, c2, (3, 1), config)
        self.conv3 = _conv(joints, c // 2, (3, 3), config)
        self.conv4 = _conv(c // 2, c, (3, 3), config)
        self.dropout = nn.Dropout2d(config.dropout)
        self.wide = c >= WIDE

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(functional.relu(self.conv1(self._ordered(x))))
        # The joints become the channels: co-occurrence over all of them.
        x = self._ordered(x.permute(0, 3, 2, 1))
        x = functional.max_pool2d(self.conv3(x), 2)
        return functional.max_pool2d(self.dropout(self.conv4(x)), 2)

    def _ordered(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self.wide else x


class DistinctBodies(nn.Module):
    """Which images of a batch are computed: each present body's, and one for all absent bodies.

    (A module, so that distributed training can replace it.)
    """

    def forward(self, present: Tensor) -> tuple[Tensor, Tensor] | None:
        """The images to compute, (n,), and the index among them of each image, (N,).

        Args:
            present: (N,) bool.

        Returns:
            None if all are to be computed.
        """
        number = int(present.sum())
        return None if number == len(present) else self.shared(present, number)

    @staticmethod
    def shared(present: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, but never None.

        Args:
            present: (N,) bool.
            number: how many are present. Nothing else here makes the host wait for the device.
        """
        which = present.int().argsort(descending=True, stable=True)[: number + 1]
        return which, torch.where(present, present.cumsum(0) - 1, len(which) - 1)


class HCN(nn.Module):
    """Two streams (position, and motion between frames), shared by all bodies, maximum over them.

    An absent body is an all-zero image. All absent bodies of a batch are computed once, and
    therefore share one dropout mask in training.
    """

    def __init__(self, config: HCNConfig, bodies: int, joints: int, frames: int) -> None:
        super().__init__()
        if frames % 16:
            raise ValueError(f"HCN halves the frames four times: {frames} is not a multiple of 16")
        c = config.channels
        self.norm = InputNorm(bodies, joints) if config.input_norm else None
        self.distinct = DistinctBodies()
        self.position = _Stream(config, joints)
        self.motion = _Stream(config, joints)
        self.conv5 = _conv(2 * c, 2 * c, (3, 3), config)
        self.conv6 = _conv(2 * c, 4 * c, (3, 3), config)
        self.dropout = nn.Dropout2d(config.dropout)
        self.feature_size = 4 * c * (frames // 16) * (config.cooccurrence // 16)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, C, T, V) -> features (B, feature_size)."""
        B, M, C, T, V = x.shape
        present = x.flatten(2).ne(0).any(dim=2).flatten()
        if self.norm is not None:
            x = self.norm(x)
        bodies = x.reshape(B * M, C, T, V)
        if M == 1:
            return self._trunk(bodies).flatten(1)
        # One absent body is computed for all of them: its image is the same in every clip.
        # (With a norm of the input it differs between body slots.)
        found = None if self.norm is not None else self.distinct(present)
        if found is None:
            features = self._trunk(bodies).flatten(1)
        else:
            which, place = found
            features = self._trunk(bodies[which]).flatten(1)[place]
        return features.view(B, M, -1).amax(dim=1)

    def _trunk(self, x: Tensor) -> Tensor:
        N, C, T, V = x.shape
        difference = (x[:, :, 1:] - x[:, :, :-1]).transpose(2, 3).flatten(1, 2)
        stretched = functional.interpolate(difference, size=T, mode="linear", align_corners=False)
        motion = stretched.view(N, C, V, T).transpose(2, 3)
        out = torch.cat((self.position(x), self.motion(motion)), dim=1)
        out = functional.max_pool2d(self.dropout(functional.relu(self.conv5(out))), 2)
        return functional.max_pool2d(self.dropout(functional.relu(self.conv6(out))), 2)
