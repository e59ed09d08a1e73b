from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from skelcon.encoders import HCN, HCNConfig

B, M, T, V = 4, 2, 32, 6
SMALL = {"channels": 4, "cooccurrence": 32}


def stretched(difference: Tensor, size: int) -> Tensor:
    """(C, T - 1, V) to (C, size, V): linear between half-pixel centres, in float64."""
    n = difference.shape[1]
    rows = []
    for i in range(size):
        at = min(max((i + 0.5) * n / size - 0.5, 0.0), n - 1.0)
        low, high = int(at), min(int(at) + 1, n - 1)
        rows.append((1 - at + low) * difference[:, low] + (at - low) * difference[:, high])
    return torch.stack(rows, dim=1)


def reference(weights: Mapping[str, Tensor], x: Tensor, norm: bool = False) -> Tensor:
    """HCN of (B, M, C, T, V), a clip and a body at a time in float64, without dropout."""
    w = {name: value.double() for name, value in weights.items()}

    def conv(name: str, image: Tensor) -> Tensor:
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        padding = tuple(k // 2 for k in weight.shape[2:])
        return functional.conv2d(image[None], weight, bias, padding=padding)[0]

    def pooled(image: Tensor) -> Tensor:
        return functional.max_pool2d(image[None], 2)[0]

    def stream(name: str, image: Tensor) -> Tensor:
        image = conv(f"{name}.conv2", conv(f"{name}.conv1", image).relu())
        joints_first = image.permute(2, 1, 0)
        return pooled(conv(f"{name}.conv4", pooled(conv(f"{name}.conv3", joints_first))))

    x = x.double()
    features = []
    for clip in x:
        bodies = []
        for m, body in enumerate(clip):
            image = body
            if norm:
                mean, var, scale, shift = (
                    w[f"norm.norm.{name}"].view(M, V, 3)[m].T[:, None]
                    for name in ("running_mean", "running_var", "weight", "bias")
                )
                image = (body - mean) / (var + 1e-5).sqrt() * scale + shift
            motion = stretched(image[:, 1:] - image[:, :-1], image.shape[1])
            both = torch.cat((stream("position", image), stream("motion", motion)))
            both = pooled(conv("conv6", pooled(conv("conv5", both).relu())).relu())
            bodies.append(both.flatten())
        features.append(torch.stack(bodies).max(dim=0).values)
    return torch.stack(features)


def built(**options: object) -> HCN:
    torch.manual_seed(0)
    model = HCN(HCNConfig.model_validate({**SMALL, **options}), bodies=M, joints=V, frames=T)
    for name, value in model.state_dict().items():
        if "running" in name or "bias" in name or "norm" in name:
            value.copy_(torch.rand_like(value.float()) + 0.5)
    return model.eval()


def batch(absent: list[tuple[int, int]]) -> Tensor:
    x = torch.randn(B, M, 3, T, V, generator=torch.Generator().manual_seed(1))
    for clip, body in absent:
        x[clip, body] = 0
    return x


ABSENT = {
    "none": [],
    "second of one": [(1, 1)],
    "second of all": [(b, 1) for b in range(B)],
    "either": [(0, 0), (2, 1)],
    "both of one": [(3, 0), (3, 1), (1, 1)],
    "all": [(b, m) for b in range(B) for m in range(M)],
}


@pytest.mark.parametrize("absent", ABSENT.values(), ids=ABSENT.keys())
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "input norm"])
def test_equals_the_reference_that_computes_every_body(absent: list[tuple[int, int]], norm: bool):
    """An absent body is an all-zero image like any other."""
    model, x = built(input_norm=norm), batch(absent)
    expected = reference(model.state_dict(), x, norm)
    got = model(x).detach()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_one_body():
    torch.manual_seed(0)
    model = HCN(HCNConfig.model_validate(SMALL), bodies=1, joints=V, frames=T).eval()
    x = batch([])[:, :1]
    x[2] = 0
    np.testing.assert_allclose(model(x).detach(), reference(model.state_dict(), x), atol=1e-4)


def test_gradients_count_each_absent_body():
    model, x = built(dropout=0.0).train(), batch(ABSENT["second of all"])
    parameters = dict(model.named_parameters())
    weights = torch.randn(B, model.feature_size)
    got = torch.autograd.grad((model(x) * weights).sum(), list(parameters.values()))
    expected = torch.autograd.grad(
        (reference(parameters, x) * weights).sum(), list(parameters.values())
    )
    for mine, exact in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max()))


def test_dropout_follows_conv4_of_each_stream_conv5_and_conv6():
    model, widths = built().train(), []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            assert module.p == 0.5
            module.register_forward_pre_hook(lambda _, given: widths.append(given[0].shape[1]))
    model(batch([]))
    c = SMALL["channels"]
    assert widths == [c, c, 2 * c, 4 * c]


def test_dropout_acts_in_training_only():
    model, x = built(), batch([])
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))
    without = built(dropout=0.0).train()
    assert torch.equal(without(x), without(x))


@pytest.mark.parametrize("bodies", [1, 2])
def test_wide_ones_differ_by_rounding_alone(bodies: int, monkeypatch: pytest.MonkeyPatch):
    """Channels last in memory or first: features and gradients."""
    found = []
    for limit in (1, 10**6):
        monkeypatch.setattr("skelcon.encoders.hcn.WIDE", limit)
        torch.manual_seed(0)
        model = HCN(HCNConfig(channels=4, cooccurrence=16), bodies, 5, 16).double()
        x = torch.randn(3, bodies, 3, 16, 5, dtype=torch.float64)
        x[1:, bodies - 1] = 0
        torch.manual_seed(1)  # dropout is on
        features = model(x)
        features.square().sum().backward()
        found.append([features, *(p.grad for p in model.parameters())])
    for wide, narrow in zip(*found, strict=True):
        torch.testing.assert_close(wide, narrow, atol=1e-12, rtol=1e-12)
