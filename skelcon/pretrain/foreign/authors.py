"""The paper's authors' public code (skeleton-contrast).

Their pre-training saves a state dict of the whole contrast. The query encoders are kept:
``encoder_q``, and for a pair of representations ``encoder_r``. Key encoders, queues and projection
heads are dropped. An encoder gives the same features as the original (the input of its ``fc``):

- seq: their bidirectional GRU steps through time frame by frame, ours with ``stepwise``;
- stg: an adaptive graph convolution sums three convolutions, ours is one over all subsets, so
  that its bias is the sum of their three. Strides are in no tensor: as in their code a unit that
  widens its input halves the frames;
- img: their network has no norm. It always takes the maximum over two bodies.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skelcon.encoders import AGCNConfig, BiGRUConfig, HCNConfig
from skelcon.errors import UserError
from skelcon.pretrain.foreign.checkpoint import Checkpoint, CheckpointSource, Converted, stream_of
from skelcon.pretrain.foreign.tensors import COORDINATES, JOINTS, Tensors

_QUERIES = ("encoder_q", "encoder_r")
_DROPPED = r"encoder_[kl]\.|queue(_ptr)?(_S[12])?$|Queue_S[12]$"
_SUBSETS, _HCN_BODIES = 3, 2


def convert(checkpoint: Checkpoint, stream: str | None) -> list[Converted]:
    """The query encoders: one, or two of an inter-skeleton pre-training."""
    if stream_of(checkpoint, stream) != "joint":
        raise UserError(f"stream {stream}: the authors' encoders see joints")
    found: list[Converted] = []
    for prefix in _QUERIES:
        if found and not checkpoint.has(rf"{prefix}\."):
            continue
        others = [rf"{each}\." for each in _QUERIES if each != prefix]
        t = checkpoint.tensors(f"{prefix}.", "|".join((_DROPPED, *others)))
        found.append(_kind(t)(t))
        t.check_all_used()
    names = [each.representation for each in found]
    if len(set(names)) < len(names):
        raise UserError(f"'{checkpoint.path}' holds two encoders of the representation {names[0]}")
    bodies = sorted({each.bodies for each in found})
    if len(bodies) > 1:
        raise UserError(
            f"'{checkpoint.path}' holds encoders of different numbers of bodies: {bodies}"
        )
    return found


AUTHORS = CheckpointSource("authors", "the paper's authors", r"encoder_[qr]\.", convert)


def _kind(t: Tensors) -> Callable[[Tensors], Converted]:
    """The conversion of the encoder that has tensors of such names."""
    kinds = ((r"encoder\.gru\.", _bigru), (r"data_bn\.|l\d+\.", _agcn), (r"conv\d", _hcn))
    for pattern, convert_one in kinds:
        if t.has(pattern):
            return convert_one
    raise t.error("", "is not one of the encoders GRU, A-GCN and HCN")


def gru_tensors(t: Tensors) -> tuple[BiGRUConfig, dict[str, Tensor], int]:
    """A GRU that steps through time: its options, its tensors, and the bodies of a frame."""
    layers = 1 + t.count(r"encoder\.gru\.\w+_l(\d+)")
    hidden = t.shape("encoder.gru.weight_hh_l0", 2)[1]
    size = t.shape("encoder.gru.weight_ih_l0", 2)[1]
    bodies = t.bodies("encoder.gru.weight_ih_l0", size)
    tensors = {}
    for layer in range(layers):
        inputs = 2 * hidden if layer else size
        for end in (f"l{layer}", f"l{layer}_reverse"):
            for kind, shape in (
                ("weight_ih", (3 * hidden, inputs)),
                ("weight_hh", (3 * hidden, hidden)),
                ("bias_ih", (3 * hidden,)),
                ("bias_hh", (3 * hidden,)),
            ):
                tensors[f"gru.{kind}_{end}"] = t.take(f"encoder.gru.{kind}_{end}", *shape)
    return BiGRUConfig(hidden=hidden, layers=layers, stepwise=True), tensors, bodies


def _bigru(t: Tensors) -> Converted:
    config, tensors, bodies = gru_tensors(t)
    _drop_head(t, 2 * config.hidden)
    return Converted("seq", config, tensors, bodies)


def _agcn(t: Tensors) -> Converted:
    size = t.shape("data_bn.weight", 1)[0]
    bodies = t.bodies("data_bn.weight", size)
    kernel = t.shape("l1.tcn1.conv.weight", 4)[2]
    tensors = t.norm("data_bn", "norm.norm", size)
    channels: list[int] = []
    strides: list[int] = []
    inputs = COORDINATES
    for i in range(t.count(r"l(\d+)\.")):
        theirs, ours = f"l{i + 1}", f"units.{i}"
        outputs = t.shape(f"{theirs}.tcn1.conv.weight", 4)[0]
        widens = inputs != outputs
        tensors |= _graph_convolution(t, f"{theirs}.gcn1", f"{ours}.spatial", inputs, outputs)
        tensors |= t.layer(f"{theirs}.tcn1.conv", f"{ours}.temporal.0", outputs, outputs, kernel, 1)
        tensors |= t.norm(f"{theirs}.tcn1.bn", f"{ours}.temporal.1", outputs)
        if i and widens:
            tensors |= t.layer(
                f"{theirs}.residual.conv", f"{ours}.residual.0", outputs, inputs, 1, 1
            )
            tensors |= t.norm(f"{theirs}.residual.bn", f"{ours}.residual.1", outputs)
        channels.append(outputs)
        strides.append(2 if i and widens else 1)
        inputs = outputs
    _drop_head(t, inputs)
    config = AGCNConfig(channels=tuple(channels), strides=tuple(strides), kernel=kernel)
    return Converted("stg", config, tensors, bodies)


def _graph_convolution(
    t: Tensors, theirs: str, ours: str, inputs: int, outputs: int
) -> dict[str, Tensor]:
    def subsets(conv: str, rows: int) -> tuple[list[Tensor], list[Tensor]]:
        layers = [t.layer(f"{theirs}.{conv}.{k}", "", rows, inputs, 1, 1) for k in range(_SUBSETS)]
        return [each[".weight"] for each in layers], [each[".bias"] for each in layers]

    theta, phi = (subsets(conv, outputs // 4) for conv in ("conv_a", "conv_b"))
    weights, biases = subsets("conv_d", outputs)
    tensors = {
        f"{ours}.learned": t.take(f"{theirs}.PA", _SUBSETS, JOINTS, JOINTS),
        f"{ours}.attention.weight": torch.cat(theta[0] + phi[0]),
        f"{ours}.attention.bias": torch.cat(theta[1] + phi[1]),
        f"{ours}.out.weight": torch.cat(weights, dim=1),
        f"{ours}.out.bias": torch.stack(biases).sum(dim=0),
        **t.norm(f"{theirs}.bn", f"{ours}.norm", outputs),
    }
    if inputs != outputs:
        tensors |= t.layer(f"{theirs}.down.0", f"{ours}.down.0", outputs, inputs, 1, 1)
        tensors |= t.norm(f"{theirs}.down.1", f"{ours}.down.1", outputs)
    return tensors


def _hcn(t: Tensors) -> Converted:
    c = t.shape("conv1.0.weight", 4)[0]
    c2 = t.shape("conv2.weight", 4)[0]
    config = HCNConfig(channels=c, cooccurrence=c2)
    tensors: dict[str, Tensor] = {}
    for stream, end in (("position", ""), ("motion", "m")):
        tensors |= t.layer(f"conv1{end}.0", f"{stream}.conv1", c, COORDINATES, 1, 1)
        tensors |= t.layer(f"conv2{end}", f"{stream}.conv2", c2, c, 3, 1)
        tensors |= t.layer(f"conv3{end}.0", f"{stream}.conv3", c // 2, JOINTS, 3, 3)
        tensors |= t.layer(f"conv4{end}.0", f"{stream}.conv4", c, c // 2, 3, 3)
    tensors |= t.layer("conv5.0", "conv5", 2 * c, 2 * c, 3, 3)
    tensors |= t.layer("conv6.0", "conv6", 4 * c, 2 * c, 3, 3)
    # The feature that the head takes is an image of frames / 16 rows.
    first = _head_layers(t)[0]
    feature, row = t.shape(f"{first}.weight", 2)[1], 4 * c * (c2 // 16)
    if feature % row:
        raise t.error(f"{first}.weight", f"takes {feature} features, not a multiple of {row}")
    _drop_head(t, feature)
    return Converted("img", config, tensors, _HCN_BODIES, 16 * (feature // row))


def _head_layers(t: Tensors) -> tuple[str, ...]:
    """A linear layer, or two with a ReLU between them (their ``--mlp``)."""
    return ("fc.0", "fc.2") if "fc.0.weight" in t else ("fc",)


def _drop_head(t: Tensors, feature: int) -> None:
    for layer in _head_layers(t):
        rows = t.shape(f"{layer}.weight", 2)[0]
        t.layer(layer, layer, rows, feature)
        feature = rows
