"""Torch's optimisers without torch's compiler.

The methods of :mod:`torch.optim` import ``torch._dynamo`` when they are first called, so that a
compiled training step leaves them out. Nothing is compiled here, and that import takes every
process a second or more before its first step. The arithmetic is torch's own, to the bit.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch

T = TypeVar("T", bound=torch.optim.Optimizer)
METHODS = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")


def _uncompiled(kind: type[T]) -> type[T]:
    """``kind``, whose methods are what torch has wrapped for its compiler."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in METHODS}
    methods["step"] = torch.no_grad()(methods["step"])  # the wrapper of a step does that as well
    return type(kind.__name__, (kind,), methods)


SGD, Adam, AdamW, LBFGS = (
    _uncompiled(torch.optim.SGD),
    _uncompiled(torch.optim.Adam),
    _uncompiled(torch.optim.AdamW),
    _uncompiled(torch.optim.LBFGS),
)
