"""SEQ: a bidirectional GRU over the frames (section 4.2: 3 layers, H = 1024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelcon.encoders.options import BiGRUConfig
from skelcon.encoders.recurrent import gru_direction

BFLOAT16_CUDNN = 91_300
"""The first cuDNN whose GRU takes bfloat16."""
LARGE = 256
"""Units from which a CPU is faster with our own passes through a layer than with torch's."""


class BiGRU(nn.Module):
    """A (true) bidirectional GRU, or the authors' stepwise one.

    By default the feature is the last layer's final state of both directions: forward after
    the last frame, backward after the first. The authors' code feeds one frame at a time and
    carries the state, so that both directions run forward in time, and takes the output of the
    last step; ``stepwise`` gives the same numbers, computed layer by layer: each direction of a
    layer is then an ordinary forward GRU over the whole sequence.

    The parameters have the same names and shapes in both modes, and the authors' initialisation
    (Xavier-uniform weights).
    """

    def __init__(self, config: BiGRUConfig, bodies: int, joints: int) -> None:
        super().__init__()
        self.stepwise = config.stepwise
        self.layers = config.layers
        size = bodies * joints * 3
        self.norm = nn.BatchNorm1d(size) if config.input_norm else None
        self.gru = nn.GRU(size, config.hidden, config.layers, batch_first=True, bidirectional=True)
        self.feature_size = 2 * config.hidden
        for parameter in self.gru.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, V * C * M) -> features (B, 2 H)."""
        if self.norm is not None:
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        if x.device.type == "cpu" and self.gru.hidden_size >= LARGE:
            return self._on_cpu(x)
        if self.stepwise:
            return self._stepwise(x)
        initial = x.new_zeros(2 * self.layers, len(x), self.gru.hidden_size)
        weights: list[Tensor] = list(self.gru.parameters())
        _, state = _gru(x, initial, weights, self.layers, self.training, bidirectional=True)
        return torch.cat((state[-2], state[-1]), dim=1)

    def _stepwise(self, x: Tensor) -> Tensor:
        initial = x.new_zeros(1, len(x), self.gru.hidden_size)
        for layer in range(self.layers):
            outputs = []
            for suffix in ("", "_reverse"):
                weights = self._weights(layer, suffix)
                outputs.append(_gru(x, initial, weights, 1, self.training, bidirectional=False)[0])
            x = torch.cat(outputs, dim=2)
        return x[:, -1]

    def _on_cpu(self, x: Tensor) -> Tensor:
        """Both modes: equal to torch's to rounding."""
        x = x.transpose(0, 1).contiguous()
        for layer in range(self.layers):
            forward, other = (
                gru_direction(x, *self._weights(layer, suffix), reverse=reverse)
                for suffix, reverse in (("", False), ("_reverse", not self.stepwise))
            )
            if layer + 1 < self.layers:
                x = torch.cat((forward, other), dim=2)
        return torch.cat((forward[-1], other[-1 if self.stepwise else 0]), dim=1)

    def _weights(self, layer: int, suffix: str) -> list[Tensor]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self.gru, f"{name}_l{layer}{suffix}") for name in names]


def _gru(
    x: Tensor,
    initial: Tensor,
    weights: list[Tensor],
    layers: int,
    training: bool,
    *,
    bidirectional: bool,
) -> tuple[Tensor, Tensor]:
    """All states and the final ones, by torch; on a GPU in the precision that autocast has.

    By itself autocast rounds what it gives to cuDNN's GRU to float16, also where it was asked for
    bfloat16: small gradients would become zero. A cuDNN that has no GRU in bfloat16 computes in
    float32.
    """
    options = True, layers, 0.0, training, bidirectional, True
    kind = x.device.type
    if kind == "cpu" or not torch.is_autocast_enabled(kind):
        plain: tuple[Tensor, Tensor] = torch._VF.gru(x, initial, weights, *options)
        return plain
    dtype = torch.get_autocast_dtype(kind)
    if dtype == torch.bfloat16 and (torch.backends.cudnn.version() or 0) < BFLOAT16_CUDNN:
        dtype = torch.float32
    with torch.autocast(kind, enabled=False):
        low, *rest = (each.to(dtype) for each in (x, initial, *weights))
        rounded: tuple[Tensor, Tensor] = torch._VF.gru(low, rest[0], rest[1:], *options)
    return rounded
