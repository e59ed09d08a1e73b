"""Tokens of a transformer, all and some of them, against numpy; and those of other encoders."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from test_further_layers import (
    STAR,
    T,
    V,
    array,
    blocks_by_hand,
    filled,
    linear,
    random,
    tokens_by_hand,
)
from torch import Tensor, nn

from skelcon.data import SkeletonLayout
from skelcon.encoders import (
    ENCODERS,
    Encoder,
    EncodersConfig,
    TokenDecoder,
    Transformer,
    TransformerConfig,
)
from skelcon.errors import UserError
from skelcon.plugins import register_encoder

KEPT = torch.tensor([[5, 0], [1, 7]])


def test_tokens_that_are_kept_see_nothing_else() -> None:
    model = filled(Transformer(TransformerConfig(dim=6, depth=2, heads=2, segment=3), V, T))
    x = random(2, 3, T, V)
    expected = [
        blocks_by_hand(model, tokens_by_hand(model, body, 3)[kept], 2)
        for body, kept in zip(array(x), KEPT.tolist(), strict=True)
    ]
    np.testing.assert_allclose(array(model.tokens(x, KEPT)), np.stack(expected), atol=1e-9)


@pytest.mark.parametrize(("dim", "heads"), [(6, 6), (7, 7), (16, 8), (11, 1)])
def test_the_decoder_equals_a_reference(dim: int, heads: int) -> None:
    decoder = filled(TokenDecoder(3, dim, 2, V, 2, 5))
    tokens = random(2, 2, 3)
    expected = []
    for body, kept in zip(array(tokens), KEPT.tolist(), strict=True):
        rows = np.tile(array(decoder.unseen), (2 * V, 1))
        rows[kept] = linear(decoder.embed, body)
        for place in range(2 * V):
            rows[place] += array(decoder.joint)[place % V] + array(decoder.time)[place // V, 0]
        expected.append(linear(decoder.out, blocks_by_hand(decoder, rows, heads)))
    np.testing.assert_allclose(array(decoder(tokens, KEPT)), np.stack(expected), atol=1e-9)


def config(name: str, **options: Any) -> EncodersConfig:
    custom = {"stg": {"encoder": name, "options": options}}
    return EncodersConfig.model_validate({"custom": custom, "frames": 16})


def test_an_encoder_gives_the_tokens_of_each_body() -> None:
    encoder = Encoder("stg", config("transformer", dim=6, depth=1, heads=2), STAR, bodies=2)
    view = torch.randn(3, 2, 16, V, 3)
    tokens = encoder.tokens(view)
    assert encoder.segment == 4
    assert tokens.shape == (6, 4 * V, 6)
    torch.testing.assert_close(tokens.mean(dim=1).view(3, 2, 6).mean(dim=1), encoder(view))
    kept = torch.arange(12).view(6, 2)
    some = encoder.tokens(view, kept)
    torch.testing.assert_close(some[3:4], encoder.tokens(view[1:2, 1:], kept[3:4]))


class Pairs(nn.Module):
    """An encoder of a plugin; its tokens are right or not."""

    segment = 8

    def __init__(
        self, layout: SkeletonLayout, bodies: int, frames: int, width: int = 24, size: int = 24
    ) -> None:
        super().__init__()
        self.linear, self.feature_size = nn.Linear(24, width), size

    def forward(self, x: Tensor) -> Tensor:
        return self.tokens(x.flatten(0, 1)).mean(dim=1).unflatten(0, x.shape[:2]).mean(dim=1)

    def tokens(self, bodies: Tensor, kept: Tensor | None = None) -> Tensor:
        parts = bodies.unflatten(2, (-1, self.segment)).permute(0, 2, 4, 3, 1).flatten(3)
        tokens: Tensor = self.linear(parts.flatten(1, 2))
        return tokens if kept is None else tokens.take_along_dim(kept[..., None], dim=1)


def test_a_plugin_may_give_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENCODERS, "_registered", {})
    register_encoder("pairs", version="1")(Pairs)
    encoder, view = Encoder("stg", config("pairs"), STAR, bodies=1), torch.randn(3, 1, 16, V, 3)
    assert encoder.segment == 8
    assert encoder.tokens(view, torch.zeros(3, 5).long()).shape == (3, 5, 24)
    odd = Encoder("stg", config("pairs", width=9), STAR, bodies=1)
    with pytest.raises(UserError, match=re.escape("tokens of shape (3, 8, 9), not (3, 8, 24)")):
        odd.tokens(view)
    plain = Encoder("seq", EncodersConfig(frames=16), STAR, bodies=1)
    assert plain.segment is None
    with pytest.raises(UserError, match="encoder 'bigru' gives no tokens"):
        plain.tokens(view)
