"""Absent bodies of A-GCN are computed once, and count as if each had been computed."""

import pytest
import torch
from torch import Tensor, nn

from skelcon.data import SkeletonLayout
from skelcon.encoders import AGCN, AGCNConfig
from skelcon.encoders.bodies import CountedBodies, WeightedBatchNorm2d

CONFIG = AGCNConfig(channels=(8, 8, 12), strides=(1, 1, 2), kernel=3)
CHAIN = SkeletonLayout("chain", ("a", "b", "c"), ((1, 0), (2, 1)), 0, (0, 1), (1, 2))
FRAMES = 8


def view_of(absent: list[tuple[int, int]], dtype: torch.dtype) -> Tensor:
    """(6, 2, C, T, V) with these (clip, body) absent."""
    draws = torch.Generator().manual_seed(1)
    view = torch.randn(6, 2, 3, FRAMES, CHAIN.num_joints, generator=draws, dtype=dtype) + 2
    for clip, body in absent:
        view[clip, body] = 0
    return view


class Plain(AGCN):
    """Every body by itself, by torch's own batch norm."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(x).reshape(-1, *x.shape[2:]).contiguous()
        for unit in self.units:
            out = unit(out)
        return out.view(*x.shape[:2], out.shape[1], -1).mean(dim=(1, 3))


def outcome(kind: type[AGCN], config: AGCNConfig, view: Tensor, *, train: bool) -> list[Tensor]:
    """Features, gradients of all parameters and statistics after a step on ``view``."""
    torch.manual_seed(0)
    model = kind(config, 2, CHAIN).to(view.dtype).train(train)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or "learned" in name:
                parameter.uniform_(-1, 1)
    features = model(view)
    aims = torch.rand(features.shape, dtype=view.dtype)
    (features - aims).square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [features.detach(), *gradients, *(b for b in model.buffers() if b.is_floating_point())]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("input_norm", [True, False])
@pytest.mark.parametrize(
    "absent",
    [[(0, 1), (2, 1), (3, 1), (5, 1)], [(1, 0), (2, 0), (2, 1), (4, 1)], []],
    ids=["second", "either", "none"],
)
def test_equals_the_plain_computation(
    dtype: torch.dtype, bound: float, train: bool, input_norm: bool, absent: list[tuple[int, int]]
) -> None:
    config = CONFIG.model_copy(update={"input_norm": input_norm})
    view = view_of(absent, dtype)
    mine = outcome(AGCN, config, view, train=train)
    plain = outcome(Plain, config, view, train=train)
    for one, other in zip(mine, plain, strict=True):
        torch.testing.assert_close(one, other, atol=bound, rtol=bound)


def test_one_absent_body_of_a_slot_is_computed() -> None:
    view = view_of([(1, 0), (2, 1), (3, 1), (5, 1)], torch.float32)
    found = CountedBodies.of(view)
    assert len(found.rows) == 8 + 2
    assert sorted(found.weights.tolist()) == [1] * 9 + [3]
    bodies = view.flatten(0, 1)
    assert torch.equal(bodies[found.rows][found.place], bodies)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_weighted_norm_is_that_of_repeated_rows(momentum: float | None) -> None:
    """Values, gradients and running statistics; an offset much larger than the spread as well."""
    x = torch.randn(5, 4, 6, 3, dtype=torch.float64) * torch.tensor([1e-3, 1, 10, 1])[:, None, None]
    x += torch.tensor([100.0, 0, -3, 1])[:, None, None]
    counts = torch.tensor([1, 1, 3, 1, 7])
    norms = [WeightedBatchNorm2d(4, momentum=momentum).double() for _ in range(2)]
    for norm in norms:
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, -1, 2, 1]))
    rows = [x.clone().requires_grad_() for _ in norms]
    for _ in range(2):  # the cumulative average has a step of its own
        one = norms[0](rows[0], counts)
        other = norms[1](rows[1].repeat_interleave(counts, dim=0))
    aims = torch.rand(other.shape, dtype=x.dtype)
    (one.repeat_interleave(counts, dim=0) * aims).sum().backward()
    (other * aims).sum().backward()
    torch.testing.assert_close(one.repeat_interleave(counts, dim=0), other, atol=1e-9, rtol=1e-9)
    gradients = [
        (row.grad, norm.weight.grad, norm.bias.grad) for row, norm in zip(rows, norms, strict=True)
    ]
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, atol=1e-8, rtol=1e-8)
    for name, buffer in norms[0].named_buffers():
        torch.testing.assert_close(buffer, norms[1].get_buffer(name), atol=1e-12, rtol=1e-12)


def test_without_counts_it_is_torchs_own_norm() -> None:
    x = torch.randn(5, 4, 6, 3)
    mine, plain = WeightedBatchNorm2d(4), nn.BatchNorm2d(4)
    assert torch.equal(mine(x), plain(x))
    assert torch.equal(mine.eval()(x, torch.ones(5)), plain.eval()(x))
