"""Checkpoints of the authors' public code, converted to encoders of skelcon.

Their pre-training saves a state dict of the whole contrast. The query encoders are kept:
``encoder_q``, and for a pair of representations ``encoder_r``. Key encoders, queues and projection
heads are dropped. An encoder gives the same features as the original (the input of its ``fc``):

- seq: their bidirectional GRU steps through time frame by frame, ours with ``stepwise``;
- stg: an adaptive graph convolution sums three convolutions, ours is one over all subsets, so
  that its bias is the sum of their three. Strides are in no tensor: as in their code a unit that
  widens its input halves the frames;
- img: their network has no norm. It always takes the maximum over two bodies.

Sizes follow from the tensors. The joints are those of `KINECT_V2`, in its order.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from skelcon.config import Config
from skelcon.data import KINECT_V2
from skelcon.encoders import (
    REPRESENTATIONS,
    AGCNConfig,
    BiGRUConfig,
    Encoder,
    EncodersConfig,
    HCNConfig,
    Representation,
)
from skelcon.errors import UserError
from skelcon.pretrain.weights import save_encoders

QUERY_ENCODERS = ("encoder_q", "encoder_r")
DROPPED = (
    "encoder_k",
    "encoder_l",
    "queue",
    "queue_ptr",
    "Queue_S1",
    "queue_ptr_S1",
    "Queue_S2",
    "queue_ptr_S2",
)
_JOINTS, _COORDS, _SUBSETS, _HCN_BODIES = KINECT_V2.num_joints, 3, 3, 2


def import_weights(
    source: Path, destination: Path, frames: int | None = None
) -> dict[Representation, Encoder]:
    """Write the encoders of the authors' checkpoint ``source`` as :func:`load_encoder` reads them.

    Args:
        source: a ``checkpoint_*.pth.tar`` of their intra- or inter-skeleton pre-training.
        destination: the safetensors file to write, whole or not at all.
        frames: as for :func:`read_checkpoint`.

    Returns:
        What was written.

    Raises:
        UserError: as :func:`read_checkpoint`.
    """
    encoders, config = read_checkpoint(source, frames)
    bodies = next(iter(encoders.values())).bodies
    save_encoders(destination, encoders, config, KINECT_V2, bodies)
    return encoders


def read_checkpoint(
    path: Path, frames: int | None = None
) -> tuple[dict[Representation, Encoder], EncodersConfig]:
    """The query encoders of a checkpoint, on the CPU in evaluation mode, and their configuration.

    Args:
        path: the checkpoint; no code in it is ever run.
        frames: T, the frames of a view. It follows from the tensors of an image encoder; for
            the others it is 64 (their ``input_size``) if not given.

    Raises:
        UserError: if the file cannot be read as plain tensors, or a tensor is missing, unexpected
            or of the wrong shape.
    """
    found: dict[Representation, _Converted] = {}
    for prefix, tensors in _encoders_of(path).items():
        name, convert = _kind(path, prefix, tensors)
        if name in found:
            raise UserError(f"'{path}' holds two encoders of the representation {name}")
        taken = _Tensors(path, prefix, tensors)
        try:
            found[name] = convert(taken)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(
                f"'{path}': {prefix} has a size that {name} cannot have: {reason}"
            ) from (None)
        taken.check_all_used()
    bodies = {each.bodies for each in found.values()}
    if len(bodies) > 1:
        raise UserError(f"'{path}' holds encoders of different numbers of bodies: {sorted(bodies)}")
    fixed = found["img"].frames if "img" in found else None
    if None not in (fixed, frames) and fixed != frames:
        raise UserError(f"'{path}' holds an image encoder of {fixed} frames, not {frames}")
    sizes = {name: each.config for name, each in found.items()}
    T = fixed or frames or EncodersConfig().frames
    config = EncodersConfig.model_validate({**sizes, "frames": T})
    encoders: dict[Representation, Encoder] = {}
    for name in (each for each in REPRESENTATIONS if each in found):
        with torch.random.fork_rng(devices=[]):  # its initial weights are replaced
            encoder = Encoder(name, config, KINECT_V2, found[name].bodies)
        encoder.network.load_state_dict(found[name].tensors)
        encoders[name] = encoder.eval()
    return encoders, config


def _encoders_of(path: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors of each query encoder, by name without ``module.`` and without its prefix."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint at '{path}'") from None
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it needs '{named[1]}'" if named else "it holds more than tensors, or is damaged"
        raise UserError(f"'{path}' cannot be read without running code from it: {why}") from None
    except Exception as error:  # a damaged file may raise anything in torch or zipfile
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"'{path}' is not a checkpoint that torch can read ({reason})") from None
    state = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    if not isinstance(state, Mapping):
        raise UserError(f"'{path}' has no 'state_dict': not a checkpoint of the authors' code")
    encoders: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        full = str(key).removeprefix("module.")  # of torch's DataParallel
        prefix, _, name = full.partition(".")
        if prefix in DROPPED:
            continue
        if prefix not in QUERY_ENCODERS or not isinstance(value, Tensor):
            raise UserError(
                f"'{path}': unexpected '{full}' (a pre-training's checkpoint has "
                f"{' and '.join(QUERY_ENCODERS)}, key encoders and queues)"
            )
        encoders.setdefault(prefix, {})[name] = value
    if QUERY_ENCODERS[0] not in encoders:
        raise UserError(f"'{path}' holds no '{QUERY_ENCODERS[0]}': not a pre-training's checkpoint")
    return encoders


class _Tensors:
    """The tensors of one encoder; each is taken once, in the shape that it must have."""

    def __init__(self, path: Path, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        self._path, self._prefix, self._left = path, prefix, dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def error(self, name: str, problem: str) -> UserError:
        return UserError(f"'{self._path}': '{self._prefix}.{name}' {problem}")

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of a tensor from which sizes follow."""
        if name not in self._left:
            raise self.error(name, "is missing")
        shape = tuple(self._left[name].shape)
        if len(shape) != axes or 0 in shape:
            raise self.error(name, f"has the shape {shape}, expected {axes} axes, none empty")
        return shape

    def count(self, pattern: str) -> int:
        """The largest number that ``pattern`` matches in a name."""
        return max(
            (int(hit[1]) for hit in map(re.compile(pattern).match, self._left) if hit), default=0
        )

    def take(self, name: str, *shape: int) -> Tensor:
        if name not in self._left:
            raise self.error(name, "is missing")
        tensor = self._left.pop(name)
        if tensor.shape != shape:
            raise self.error(name, f"has the shape {tuple(tensor.shape)}, expected {shape}")
        return tensor.float() if tensor.is_floating_point() else tensor

    def layer(self, theirs: str, ours: str, *shape: int) -> dict[str, Tensor]:
        """A layer with a weight of this shape and a bias."""
        return {
            f"{ours}.weight": self.take(f"{theirs}.weight", *shape),
            f"{ours}.bias": self.take(f"{theirs}.bias", shape[0]),
        }

    def norm(self, theirs: str, ours: str, size: int) -> dict[str, Tensor]:
        """A batch norm."""
        return {
            **self.layer(theirs, ours, size),
            f"{ours}.running_mean": self.take(f"{theirs}.running_mean", size),
            f"{ours}.running_var": self.take(f"{theirs}.running_var", size),
            f"{ours}.num_batches_tracked": self.take(f"{theirs}.num_batches_tracked"),
        }

    def check_all_used(self) -> None:
        if self._left:
            raise self.error(min(self._left), "is unexpected")


@dataclass(frozen=True)
class _Converted:
    """An encoder's configuration and its network's tensors, and the views that they imply."""

    config: Config
    tensors: dict[str, Tensor]
    bodies: int
    frames: int | None = None


def _kind(
    path: Path, prefix: str, tensors: Mapping[str, Tensor]
) -> tuple[Representation, Callable[[_Tensors], _Converted]]:
    """Which of the three encoders has tensors of such names, and its conversion."""
    kinds: tuple[tuple[Representation, str, Callable[[_Tensors], _Converted]], ...] = (
        ("seq", r"encoder\.gru\.", _bigru),
        ("stg", r"data_bn\.|l\d+\.", _agcn),
        ("img", r"conv\d", _hcn),
    )
    for name, pattern, convert in kinds:
        if any(re.match(pattern, key) for key in tensors):
            return name, convert
    raise UserError(f"'{path}': {prefix} is not one of the encoders GRU, A-GCN and HCN")


def _bigru(t: _Tensors) -> _Converted:
    layers = 1 + t.count(r"encoder\.gru\.\w+_l(\d+)")
    hidden = t.shape("encoder.gru.weight_hh_l0", 2)[1]
    size = t.shape("encoder.gru.weight_ih_l0", 2)[1]
    bodies = _bodies(t, "encoder.gru.weight_ih_l0", size)
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
    _drop_head(t, 2 * hidden)
    return _Converted(BiGRUConfig(hidden=hidden, layers=layers, stepwise=True), tensors, bodies)


def _agcn(t: _Tensors) -> _Converted:
    size = t.shape("data_bn.weight", 1)[0]
    bodies = _bodies(t, "data_bn.weight", size)
    kernel = t.shape("l1.tcn1.conv.weight", 4)[2]
    tensors = t.norm("data_bn", "norm.norm", size)
    channels: list[int] = []
    strides: list[int] = []
    inputs = _COORDS
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
    return _Converted(config, tensors, bodies)


def _graph_convolution(
    t: _Tensors, theirs: str, ours: str, inputs: int, outputs: int
) -> dict[str, Tensor]:
    def subsets(conv: str, rows: int) -> tuple[list[Tensor], list[Tensor]]:
        layers = [t.layer(f"{theirs}.{conv}.{k}", "", rows, inputs, 1, 1) for k in range(_SUBSETS)]
        return [each[".weight"] for each in layers], [each[".bias"] for each in layers]

    theta, phi = (subsets(conv, outputs // 4) for conv in ("conv_a", "conv_b"))
    weights, biases = subsets("conv_d", outputs)
    tensors = {
        f"{ours}.learned": t.take(f"{theirs}.PA", _SUBSETS, _JOINTS, _JOINTS),
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


def _hcn(t: _Tensors) -> _Converted:
    c = t.shape("conv1.0.weight", 4)[0]
    c2 = t.shape("conv2.weight", 4)[0]
    config = HCNConfig(channels=c, cooccurrence=c2)
    tensors: dict[str, Tensor] = {}
    for stream, end in (("position", ""), ("motion", "m")):
        tensors |= t.layer(f"conv1{end}.0", f"{stream}.conv1", c, _COORDS, 1, 1)
        tensors |= t.layer(f"conv2{end}", f"{stream}.conv2", c2, c, 3, 1)
        tensors |= t.layer(f"conv3{end}.0", f"{stream}.conv3", c // 2, _JOINTS, 3, 3)
        tensors |= t.layer(f"conv4{end}.0", f"{stream}.conv4", c, c // 2, 3, 3)
    tensors |= t.layer("conv5.0", "conv5", 2 * c, 2 * c, 3, 3)
    tensors |= t.layer("conv6.0", "conv6", 4 * c, 2 * c, 3, 3)
    # The feature that the head takes is an image of frames / 16 rows.
    first = _head_layers(t)[0]
    feature, row = t.shape(f"{first}.weight", 2)[1], 4 * c * (c2 // 16)
    if feature % row:
        raise t.error(f"{first}.weight", f"takes {feature} features, not a multiple of {row}")
    _drop_head(t, feature)
    return _Converted(config, tensors, _HCN_BODIES, 16 * (feature // row))


def _bodies(t: _Tensors, name: str, size: int) -> int:
    bodies, rest = divmod(size, _JOINTS * _COORDS)
    if rest:
        raise t.error(
            name, f"takes {size} values per frame, not a multiple of 3 x {_JOINTS} joints"
        )
    return bodies


def _head_layers(t: _Tensors) -> tuple[str, ...]:
    """A linear layer, or two with a ReLU between them (their ``--mlp``)."""
    return ("fc.0", "fc.2") if "fc.0.weight" in t else ("fc",)


def _drop_head(t: _Tensors, feature: int) -> None:
    for layer in _head_layers(t):
        rows = t.shape(f"{layer}.weight", 2)[0]
        t.layer(layer, layer, rows, feature)
        feature = rows
