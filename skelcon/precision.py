"""The precision of a training or an evaluation: set explicitly, whatever torch does by default.

``fp32``: float32 in all operations. (By itself torch rounds the inputs of convolutions and of
recurrent layers to TF32 on GPUs that have it, but not the inputs of matrix products.)

``tf32``: products and convolutions read their inputs with 10 bits of mantissa, on NVIDIA GPUs of
the Ampere generation or later.

``bf16``: autocast to bfloat16; parameters, optimiser, losses and statistics stay in float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from skelcon.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "tf32", "bf16"]

PRECISION = "fp32; tf32, on GPUs that have it; bf16: autocast"
"""The description of the settings."""

AMPERE = 8
"""The compute capability from which GPUs have TF32."""


@contextlib.contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in ``precision`` inside the block, forward and backward; bf16: see :func:`autocast`.

    Raises:
        UserError: for ``tf32`` on a device that does not have it.
    """
    import torch

    tf32 = precision == "tf32"
    if tf32 and device.type != "cuda":
        raise UserError(
            f"precision tf32 needs an NVIDIA GPU, not '{device}': set precision to fp32"
        )
    if tf32 and torch.cuda.get_device_capability(device)[0] < AMPERE:
        name = torch.cuda.get_device_name(device)
        raise UserError(f"precision tf32 needs a newer GPU than this {name}: set precision to fp32")
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = tf32
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """For a forward pass: bfloat16 where ``precision`` says so."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
