"""AimCLR (Guo et al., AAAI 2022), CrosSCLR and SkeletonCLR, which share network and code.

A narrow ST-GCN, whose last unit is wider. Only the query encoder is kept, without its projection
head. AimCLR trains one network for each stream, and no tensor says which it was; a file of
CrosSCLR holds all three, as one of CMD does. Strides are in no tensor either: they are taken from
ST-GCN's ten units.

Links are in the subsets of ST-GCN's public code (``partition``); its second and third subset are
our third and second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skelcon.data import KINECT_V2
from skelcon.encoders import STGCNConfig
from skelcon.encoders.stgcn import spatial_partition
from skelcon.pretrain.foreign.checkpoint import (
    BODIES,
    Checkpoint,
    CheckpointSource,
    Converted,
    stream_of,
)
from skelcon.pretrain.foreign.moco import query_encoder
from skelcon.pretrain.foreign.tensors import COORDINATES, JOINTS, Tensors

_STRIDES = STGCNConfig().strides
_SUBSETS = [0, 2, 1]
"""The position in AimCLR's subsets of links of each subset of `spatial_partition`."""


def convert(checkpoint: Checkpoint, stream: str | None) -> list[Converted]:
    """The query encoder."""
    chosen = stream_of(checkpoint, stream)
    t = query_encoder(checkpoint, chosen)
    config, tensors = _stgcn(t)
    t.check_all_used()
    return [Converted("stg", config, tensors, BODIES, encoder="stgcn", stream=chosen)]


AIMCLR = CheckpointSource(
    "aimclr",
    "AimCLR, CrosSCLR or SkeletonCLR",
    r"encoder_q\.st_gcn_networks\.",
    convert,
    frames=50,
    orientation="as_recorded",
    clips="frame50 npy as its makers' tools write it (each body centred between its shoulders and "
    "turned about the vertical axis, frame by frame), whole: test_ratio 1",
)


def _stgcn(t: Tensors) -> tuple[STGCNConfig, dict[str, Tensor]]:
    count = 1 + t.count(r"st_gcn_networks\.(\d+)\.")
    if count != len(_STRIDES):
        raise t.error("st_gcn_networks", f"has {count} units, not ST-GCN's {len(_STRIDES)}")
    graph = spatial_partition(KINECT_V2, "code")
    if not torch.allclose(t.take("A", *graph.shape)[_SUBSETS], graph, atol=1e-6):
        raise t.error("A", "is not the spatial partition of the links of 25 joints, 'ntu-rgb+d'")
    kernel = t.shape("st_gcn_networks.0.tcn.2.weight", 4)[2]
    tensors = t.norm("data_bn", "norm.norm", JOINTS * COORDINATES)
    channels: list[int] = []
    inputs = COORDINATES
    for i, stride in enumerate(_STRIDES):
        theirs, ours = f"st_gcn_networks.{i}", f"units.{i}"
        outputs = t.shape(f"{theirs}.tcn.2.weight", 4)[0]
        spatial = t.layer(f"{theirs}.gcn.conv", "", len(graph) * outputs, inputs, 1, 1)
        for end, tensor in spatial.items():
            subsets = tensor.view(len(graph), outputs, *tensor.shape[1:])
            tensors[f"{ours}.spatial{end}"] = subsets[_SUBSETS].flatten(0, 1)
        tensors[f"{ours}.importance"] = t.take(f"edge_importance.{i}", *graph.shape)[_SUBSETS]
        tensors |= t.norm(f"{theirs}.tcn.0", f"{ours}.norm", outputs)
        tensors |= t.layer(f"{theirs}.tcn.2", f"{ours}.temporal.0", outputs, outputs, kernel, 1)
        tensors |= t.norm(f"{theirs}.tcn.3", f"{ours}.temporal.1", outputs)
        if i and (inputs != outputs or stride != 1):
            tensors |= t.layer(f"{theirs}.residual.0", f"{ours}.residual.0", outputs, inputs, 1, 1)
            tensors |= t.norm(f"{theirs}.residual.1", f"{ours}.residual.1", outputs)
        channels.append(outputs)
        inputs = outputs
    config = STGCNConfig(
        channels=tuple(channels), strides=_STRIDES, kernel=kernel, partition="code"
    )
    return config, tensors
