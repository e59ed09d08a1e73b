import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skelcon.encoders import BiGRU, BiGRUConfig

B, T, M, V, H, LAYERS = 3, 9, 2, 4, 5, 3


@pytest.fixture(autouse=True, params=[False, True], ids=["by torch", "as large ones"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the encoders of a test count as large."""
    if request.param:
        monkeypatch.setattr("skelcon.encoders.bigru.LARGE", 1)
    return bool(request.param)


def built(**options: bool) -> tuple[BiGRU, nn.GRU]:
    """An encoder, and a GRU of PyTorch with the same weights."""
    torch.manual_seed(0)
    encoder = BiGRU(BiGRUConfig(hidden=H, layers=LAYERS, **options), bodies=M, joints=V)
    gru = nn.GRU(M * V * 3, H, LAYERS, batch_first=True, bidirectional=True)
    gru.load_state_dict(encoder.gru.state_dict())
    return encoder, gru


def frame_by_frame(gru: nn.GRU, x: Tensor) -> Tensor:
    """The GRU as the paper's public code runs it: one frame a call, the state carried over."""
    state = torch.zeros(2 * LAYERS, len(x), H)
    for t in range(x.shape[1]):
        out, state = gru(x[:, t : t + 1], state)
    return out[:, -1]


def gradients(
    module: nn.Module, gru: nn.GRU, x: Tensor, run: object
) -> tuple[Tensor, list[Tensor]]:
    x = x.clone().requires_grad_()
    features = run(x)
    (features * torch.arange(features.numel()).view_as(features).sin()).sum().backward()
    return features, [x.grad, *(p.grad for p in gru.parameters())]


def test_by_default_the_feature_is_the_final_state_of_both_directions():
    encoder, gru = built()
    x = torch.randn(B, T, M * V * 3)
    out, _ = gru(x)
    expected = torch.cat((out[:, -1, :H], out[:, 0, H:]), dim=1)
    torch.testing.assert_close(encoder(x), expected, atol=1e-6, rtol=0)


def test_a_layer_is_the_textbook_recurrence():
    torch.manual_seed(0)
    encoder = BiGRU(BiGRUConfig(hidden=H, layers=1), bodies=1, joints=V)
    x = torch.randn(1, T, V * 3)
    halves = []
    for suffix, order in (("", range(T)), ("_reverse", reversed(range(T)))):
        w, u, b, c = (
            getattr(encoder.gru, f"{name}_l0{suffix}").detach().double().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = np.zeros(H)
        for t in order:
            i, s = w @ x[0, t].double().numpy() + b, u @ h + c
            r, z = (1 / (1 + np.exp(-(i[k] + s[k]))) for k in (slice(H), slice(H, 2 * H)))
            h = (1 - z) * np.tanh(i[2 * H :] + r * s[2 * H :]) + z * h
        halves.append(h)
    np.testing.assert_allclose(encoder(x)[0].detach(), np.concatenate(halves), atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_stepwise_equals_the_loop_over_frames_with_its_gradients(training: bool):
    encoder, gru = built(stepwise=True)
    encoder.train(training)
    x = torch.randn(B, T, M * V * 3)
    got = gradients(encoder, encoder.gru, x, encoder)
    expected = gradients(gru, gru, x, lambda values: frame_by_frame(gru, values))
    torch.testing.assert_close(got[0], expected[0], atol=1e-5, rtol=0)
    for mine, reference in zip(got[1], expected[1], strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-5, rtol=0)


def test_both_modes_have_the_same_parameters_and_different_features():
    true, stepwise = built()[0], built(stepwise=True)[0]
    stepwise.load_state_dict(true.state_dict())
    x = torch.randn(B, T, M * V * 3)
    assert (true(x) - stepwise(x)).abs().max() > 1e-3


@pytest.mark.parametrize("stepwise", [False, True])
def test_input_norm_is_over_clips_and_frames(stepwise: bool):
    encoder, gru = built(stepwise=stepwise, input_norm=True)
    x = torch.randn(B, T, M * V * 3) * 4 + 2
    wide = x.double()
    normed = ((wide - wide.mean((0, 1))) / (wide.var((0, 1), correction=0) + 1e-5).sqrt()).float()
    out = gru(normed)[0]
    expected = torch.cat((out[:, -1, :H], out[:, 0, H:]), dim=1)
    if stepwise:
        expected = frame_by_frame(gru, normed)
    torch.testing.assert_close(encoder(x), expected, atol=1e-5, rtol=0)


def test_weights_start_xavier_uniform():
    torch.manual_seed(0)
    gru = BiGRU(BiGRUConfig(hidden=64, layers=2), bodies=1, joints=V).gru
    for weight in (p.detach() for p in gru.parameters() if p.dim() == 2):
        bound = math.sqrt(6 / sum(weight.shape))
        assert 0.98 * bound < weight.abs().max() <= bound
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("stepwise", [False, True])
def test_large_ones_equal_torchs_to_rounding(
    stepwise: bool, large: bool, monkeypatch: pytest.MonkeyPatch
):
    found = []
    for limit in (1, 10**6):
        monkeypatch.setattr("skelcon.encoders.bigru.LARGE", limit)
        encoder = built(stepwise=stepwise)[0].double()
        x = torch.linspace(-2, 2, B * T * M * V * 3).view(B, T, -1).cos().double()
        features, each = gradients(encoder, encoder.gru, x, encoder)
        assert torch.equal(encoder.eval()(x), features)
        with torch.no_grad():
            assert torch.equal(encoder(x), features)
        found.append([features, *each])
    for mine, plain in zip(*found, strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-12, rtol=1e-12)


def test_small_ones_have_the_bits_of_torch(large: bool):
    encoder, gru = built()
    x = torch.randn(B, T, M * V * 3)
    assert torch.equal(encoder(x), torch.cat(tuple(gru(x)[1][-2:]), dim=1)) == (not large)


def test_under_autocast_products_are_rounded_and_nothing_else(large: bool):
    encoder, _ = built()
    x = torch.randn(B, T, M * V * 3)
    expected = encoder(x).detach()

    def cast(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return encoder(x).float()

    found, rounded = gradients(encoder, encoder.gru, x, cast)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)
    assert not torch.equal(found, expected)
    assert all(each.dtype == torch.float32 for each in rounded)
