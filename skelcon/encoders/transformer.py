"""A transformer over tokens of (joint, segment of frames), as MAMP's encoder (Mao et al., 2023).

Notation: N bodies, C coordinates, T frames, S = T / segment, V joints, D dim, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from skelcon.encoders.bodies import mean_over_bodies
from skelcon.encoders.options import TransformerConfig


class Block(nn.Module):
    """Self-attention, then an MLP, each behind a layer norm and with a residual path."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.hidden = nn.Linear(dim, mlp_ratio * dim)
        self.back = nn.Linear(mlp_ratio * dim, dim)
        for module in (self.qkv, self.out, self.hidden, self.back):
            initialise(module)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, D) -> the same shape."""
        N, L, D = x.shape
        parts = self.qkv(self.norm1(x)).view(N, L, 3, self.heads, D // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = _attended(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(N, L, D))
        y: Tensor = x + self.back(functional.gelu(self.hidden(self.norm2(x))))
        return y


def _attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention, (N, H, tokens, D / H) each.

    A GPU's fused kernels add up gradients in any order, also where torch is to warn of such
    algorithms: there the plain one is taken, so that a run gives the same bits again.
    """
    if q.is_cuda and torch.are_deterministic_algorithms_enabled():
        with sdpa_kernel(SDPBackend.MATH):
            return functional.scaled_dot_product_attention(q, k, v)
    return functional.scaled_dot_product_attention(q, k, v)


def initialise(linear: nn.Linear) -> None:
    """Xavier-uniform weights and a bias of zero."""
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)


class Transformer(nn.Module):
    """Blocks over all tokens of a body; the mean over bodies and tokens.

    A token is a joint's coordinates in a segment of consecutive frames, plus a learned position of
    the joint and one of the segment. The published size, 256 dims and 8 layers, has 6.3M
    parameters. Of clips of several bodies an absent one is computed once.
    """

    def __init__(self, config: TransformerConfig, joints: int, frames: int) -> None:
        super().__init__()
        if frames % config.segment:
            raise ValueError(f"{frames} frames are not a multiple of a segment's {config.segment}")
        D = config.dim
        self.segment = config.segment
        self.embed = nn.Linear(3 * config.segment, D)
        self.joint = nn.Parameter(torch.empty(joints, D))
        self.time = nn.Parameter(torch.empty(frames // config.segment, 1, D))
        self.blocks = nn.ModuleList(
            Block(D, config.heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(D)
        self.feature_size = D
        initialise(self.embed)
        for position in (self.joint, self.time):
            nn.init.trunc_normal_(position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, C, T, V) -> features (B, D)."""
        return mean_over_bodies(
            lambda bodies, _: self.tokens(bodies).mean(dim=1), x, x.flatten(0, 1)
        )

    def tokens(self, bodies: Tensor, kept: Tensor | None = None) -> Tensor:
        """(N, C, T, V) -> (N, S * V, D): what the mean is taken over, segment by segment.

        Args:
            bodies: coordinates.
            kept: (N, K) int64 which tokens there are; (N, K, D) is made of them alone.
        """
        N, C, T, V = bodies.shape
        segments = bodies.view(N, C, T // self.segment, self.segment, V)
        parts = segments.permute(0, 2, 4, 3, 1).flatten(3)  # (N, S, V, segment * C)
        if kept is None:
            x = (self.embed(parts) + self.joint + self.time).flatten(1, 2)
        else:
            some = parts.flatten(1, 2).gather(1, kept[..., None].expand(-1, -1, parts.shape[3]))
            x = self.embed(some) + self.joint[kept % V] + self.time[kept // V, 0]
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed


class TokenDecoder(nn.Module):
    """From the tokens that were seen of a body to values of all of them, as MAMP's decoder.

    One learned vector replaces the unseen tokens. Positions and blocks are the decoder's own.

    Args:
        inputs: D, the size of a seen token.
        dim: channels of the decoder.
        depth: its blocks. They have 8 attention heads, or the next fewer that divide ``dim``.
        joints: V.
        segments: S.
        outputs: values of a token.
    """

    def __init__(
        self, inputs: int, dim: int, depth: int, joints: int, segments: int, outputs: int
    ) -> None:
        super().__init__()
        self.embed, self.out = nn.Linear(inputs, dim), nn.Linear(dim, outputs)
        self.unseen = nn.Parameter(torch.empty(dim))
        self.joint = nn.Parameter(torch.empty(joints, dim))
        self.time = nn.Parameter(torch.empty(segments, 1, dim))
        heads = next(heads for heads in range(8, 0, -1) if dim % heads == 0)
        self.blocks = nn.ModuleList(Block(dim, heads, 4) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        for linear in (self.embed, self.out):
            initialise(linear)
        for parameter in (self.unseen, self.joint, self.time):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor, kept: Tensor) -> Tensor:
        """Tokens (N, K, D) at the places ``kept`` (N, K) -> values (N, S * V, outputs)."""
        seen = self.embed(tokens)
        N, _, D = seen.shape
        places = (self.joint + self.time).flatten(0, 1).to(seen.dtype)
        everywhere = self.unseen.to(seen.dtype).expand(N, len(places), D)
        x = everywhere.scatter(1, kept[..., None].expand(-1, -1, D), seen) + places
        for block in self.blocks:
            x = block(x)
        values: Tensor = self.out(self.norm(x))
        return values
