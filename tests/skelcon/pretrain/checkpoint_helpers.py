"""State dicts of others' networks: names and shapes, random values, and their layers by hand."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Shapes = dict[str, tuple[int, ...]]
State = dict[str, Tensor]


def layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def norm(name: str, size: int) -> Shapes:
    statistics = {f"{name}.running_mean": (size,), f"{name}.running_var": (size,)}
    return {**layer(name, size), **statistics, f"{name}.num_batches_tracked": ()}


def filled(shapes: Shapes) -> State:
    """Random values; their sizes keep what passes through of order one."""
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(11)
        elif name.endswith("running_var"):
            state[name] = torch.rand(shape) + 0.5
        else:
            state[name] = torch.randn(shape) / max(1, int(np.prod(shape[1:]))) ** 0.5
    return state


def under(prefix: str, state: State) -> State:
    return {f"{prefix}.{name}": value for name, value in state.items()}


def doubled(state: State) -> State:
    return {name: value.double() for name, value in state.items()}


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def conv(w: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    padding = tuple(size // 2 for size in weight.shape[2:])
    return functional.conv2d(x, weight, bias, stride=(stride, 1), padding=padding)


def batch_norm(w: State, name: str, x: Tensor) -> Tensor:
    statistics = (w[f"{name}.running_mean"], w[f"{name}.running_var"])
    return functional.batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"])


def assert_equal(got: Tensor, expected: Tensor) -> None:
    """To rounding; and clips differ in most features (ReLU may have silenced the others)."""
    assert (expected.std(dim=0) > 1e-3).double().mean() >= 0.5
    torch.testing.assert_close(got.detach().double(), expected, atol=1e-5, rtol=1e-5)
