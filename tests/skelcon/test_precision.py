"""Precision is what was asked for, whatever torch's own switches say."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from skelcon.data import ClipBank
from skelcon.downstream import extract
from skelcon.downstream.tasks import task
from skelcon.errors import UserError
from skelcon.precision import Precision, autocast, computing

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def switches() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    before = switches()
    yield
    assert switches() == before


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_tf32_is_on_where_it_was_asked_for(
    precision: Precision, tf32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    with computing(precision, GPU):
        assert switches() == (tf32, tf32)
        with computing("fp32", GPU):
            assert switches() == (False, False)
        assert switches() == (tf32, tf32)


def test_tf32_needs_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="tf32 needs an NVIDIA GPU, not 'cpu'"):
        computing("tf32", CPU).__enter__()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(UserError, match="newer GPU than this Tesla T4"):
        computing("tf32", GPU).__enter__()


def test_only_bf16_is_autocast() -> None:
    x = torch.rand(2, 2)
    found = {}
    for precision in ("fp32", "tf32", "bf16"):
        with autocast(precision, CPU):
            found[precision] = (x @ x).dtype
    assert found == {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


class Product(nn.Module):
    """An encoder of one matrix product."""

    feature_size = 3

    def forward(self, view: Tensor) -> Tensor:
        flat = view.flatten(1)[:, :32]
        return flat @ torch.linspace(-1, 1, 96).view(32, 3)


def test_features_in_bf16_are_rounded_but_float32(small_bank: ClipBank) -> None:
    def view(some: Tensor) -> Tensor:
        return torch.linspace(0.1, 1, 32).view(1, -1) + some[:, None]

    def features(precision: Precision) -> Tensor:
        return extract([Product()], torch.arange(4), view, precision=precision)  # type: ignore[list-item]

    plain, half = features("fp32"), features("bf16")
    assert half.dtype == torch.float32
    assert not torch.equal(plain, half)
    torch.testing.assert_close(plain, half, atol=0.3, rtol=0)


@pytest.mark.parametrize("name", ["linear", "retrieval"])
def test_of_frozen_encoders_it_is_hashed_where_it_is_not_the_default(name: str) -> None:
    its = task(name)
    assert "precision" not in its.resolved(its.settings())
    assert its.resolved(its.settings(precision="bf16"))["precision"] == "bf16"
    assert its.settings.model_validate(its.resolved(its.settings())) == its.settings()


def test_of_trainings_it_was_always_hashed() -> None:
    its = task("finetune")
    assert its.resolved(its.settings())["precision"] == "fp32"
