"""A direction of a GRU layer on the CPU, forward and backward, with few and large products.

torch's own backward pass adds to the gradient of the recurrent weight in each step of time: as much
memory passes the processor in that as in the products. Here the gates' gradients of all steps are
kept, and each weight's gradient is one product over clips and steps. oneDNN computes the products:
it lays a weight out once for all steps.

Notation: T frames, B clips, I inputs, H units; gates r, z, n in the order of ``torch.nn.GRU``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def gru_direction(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    *,
    reverse: bool,
) -> Tensor:
    """All states of one direction, from a state of zeros.

    Under autocast the products are in its precision, and states and gates in float32.

    Args:
        x: (T, B, I).
        weight_ih, weight_hh, bias_ih, bias_hh: of (3 H, I), (3 H, H), (3 H,) and (3 H,).
        reverse: from the last frame to the first.

    Returns:
        (T, B, H): the state after each frame, at the frame's own place.
    """
    precision = x.dtype
    if torch.is_autocast_enabled("cpu"):
        precision = torch.get_autocast_dtype("cpu")
    run: Callable[..., Tensor] = _Direction.apply
    keep = torch.is_grad_enabled()
    return run(x, weight_ih, weight_hh, bias_ih, bias_hh, reverse, precision, keep)


class _Direction(torch.autograd.Function):
    """r, z = sigmoid(i + b), n = tanh(i_n + r b_n), state = n + z (state before - n).

    i are the inputs' products with their bias, b the state's; i_n and b_n their thirds for n.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        reverse: bool,
        precision: torch.dtype,
        keep: bool,
    ) -> Tensor:
        """The states; ``keep`` what the backward pass needs."""
        T, B, _ = x.shape
        H = weight_hh.shape[1]
        low, w, u = x.to(precision), weight_ih.to(precision), weight_hh.to(precision)
        i = _Product(w, T * B)(low.reshape(T * B, -1)).to(x.dtype).view(T, B, 3 * H)
        # Of r and z both biases can be added here, of n only its own.
        i += bias_ih + bias_hh.clone().index_fill_(0, torch.arange(2 * H, 3 * H), 0)
        product, bias = _Product(u, B), bias_hh[2 * H :]
        rz, inner, n = (x.new_empty(T, B, k * H) if keep else [None] * T for k in (2, 1, 1))
        states, state = x.new_empty(T, B, H), x.new_zeros(B, H)
        for t in _steps(T, reverse):
            b = product(state.to(precision)).to(x.dtype)
            gates = torch.add(i[t, :, : 2 * H], b[:, : 2 * H], out=rz[t]).sigmoid_()
            within = torch.add(b[:, 2 * H :], bias, out=inner[t])
            new = torch.addcmul(i[t, :, 2 * H :], gates[:, :H], within, out=n[t]).tanh_()
            state = torch.lerp(new, state, gates[:, H:], out=states[t])
        if keep:
            ctx.save_for_backward(low, w, u, states, rz, inner, n)
            ctx.reverse, ctx.dtypes = reverse, (x.dtype, weight_ih.dtype)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, the weights and the biases."""
        low, w, u, states, rz, inner, n = ctx.saved_tensors
        T, B, H = states.shape
        r, z = rz.split(H, dim=2)
        before = torch.zeros_like(states)
        if ctx.reverse:
            before[:-1] = states[1:]
        else:
            before[1:] = states[:-1]
        # Factors from the gradient of a state to the gradients of i_n and of the three parts of b.
        slope = (1 - z) * (1 - n.square())
        slopes = torch.stack(
            (slope * inner * r * (1 - r), (before - n) * z * (1 - z), slope * r), 2
        )
        of_states, of_b = torch.empty_like(states), torch.empty_like(slopes)
        product, later = _Product(u.t(), B), torch.zeros_like(states[0])
        for t in reversed(_steps(T, ctx.reverse)):
            g = torch.add(gradients[0][t], later, out=of_states[t])
            torch.mul(slopes[t], g[:, None], out=of_b[t])
            later = product(of_b[t].view(B, 3 * H).to(u.dtype)).to(states.dtype)
            later.addcmul_(g, z[t])
        flat = of_b.view(T * B, 3 * H)
        of_bias_hh = flat.sum(0)
        of_u = flat.to(u.dtype).t() @ before.view(T * B, H).to(u.dtype)
        torch.mul(of_states, slope, out=of_b[:, :, 2])  # now the gradients of i
        of_bias_ih = flat.sum(0)
        of_i = flat.to(u.dtype)
        of_w = of_i.t() @ low.reshape(T * B, -1)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _Product(w.t(), T * B)(of_i).view(low.shape).to(ctx.dtypes[0])
        weights = (of_w.to(ctx.dtypes[1]), of_u.to(ctx.dtypes[1]))
        return of_x, *weights, of_bias_ih, of_bias_hh, None, None, None


class _Product:
    """Rows (n, I) times a weight (O, I): (n, O), for many calls with about ``rows`` rows."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._weight, self._packed = weight, None
        if _by_onednn(weight.dtype):
            pack = torch.ops.mkldnn._reorder_linear_weight
            self._packed = pack(weight.contiguous(), rows)

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed is None:
            return functional.linear(x, self._weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], "")
        return product


def _by_onednn(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return supported
    return dtype == torch.float32


def _steps(T: int, reverse: bool) -> range:
    return range(T - 1, -1, -1) if reverse else range(T)
