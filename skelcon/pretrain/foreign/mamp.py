"""MAMP (Mao et al., ICCV 2023), and the masked autoencoder of its repository.

A transformer over tokens, each of a joint in a segment of frames; ours is built after it. The
encoder is kept; the decoder and its mask token are dropped. The number of heads is in no tensor: it
is read from the options that their checkpoints keep, and otherwise 8, their default. The feature is
the mean over tokens and bodies, as in their linear evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skelcon.encoders import TransformerConfig
from skelcon.pretrain.foreign.checkpoint import (
    BODIES,
    Checkpoint,
    CheckpointSource,
    Converted,
    stream_of,
)
from skelcon.pretrain.foreign.tensors import COORDINATES, JOINTS

_DROPPED = r"decoder_|mask_token$"


def convert(checkpoint: Checkpoint, stream: str | None) -> list[Converted]:
    """The encoder."""
    feeder, model = (_settings(checkpoint, name) for name in ("train_feeder_args", "model_args"))
    trained_on = next((name for name, key in _STREAMS.items() if feeder.get(key)), None)
    chosen = stream_of(checkpoint, stream, trained_on)
    t = checkpoint.tensors("", _DROPPED)
    if t.has(r"head\."):
        raise t.error("head", "is of a classifier: its encoder may have been trained with labels")
    embedding = "joints_embed.proj.weight"
    dim, _, segment, _ = t.shape(embedding, 4)
    hidden = t.shape("blocks.0.mlp.fc1.weight", 2)[0]
    segments = t.shape("temp_embed", 4)[1]
    if hidden % dim:
        raise t.error("blocks.0.mlp.fc1.weight", f"has {hidden} units, not a multiple of {dim}")
    config = TransformerConfig(
        dim=dim,
        depth=1 + t.count(r"blocks\.(\d+)\."),
        heads=int(model.get("num_heads", 8)),
        mlp_ratio=hidden // dim,
        segment=segment,
    )
    weight = t.take(embedding, dim, COORDINATES, segment, 1)
    tensors = {
        "embed.weight": weight[..., 0].transpose(1, 2).flatten(1),  # frame by frame
        "embed.bias": t.take("joints_embed.proj.bias", dim),
        "joint": t.take("pos_embed", 1, 1, JOINTS, dim)[0, 0],
        "time": t.take("temp_embed", 1, segments, 1, dim)[0],
        **t.layer("norm", "norm", dim),
    }
    for i in range(config.depth):
        theirs = ours = f"blocks.{i}"
        for norm in ("norm1", "norm2"):
            tensors |= t.layer(f"{theirs}.{norm}", f"{ours}.{norm}", dim)
        tensors |= t.layer(f"{theirs}.attn.qkv", f"{ours}.qkv", 3 * dim, dim)
        tensors |= t.layer(f"{theirs}.attn.proj", f"{ours}.out", dim, dim)
        tensors |= t.layer(f"{theirs}.mlp.fc1", f"{ours}.hidden", hidden, dim)
        tensors |= t.layer(f"{theirs}.mlp.fc2", f"{ours}.back", dim, hidden)
    t.check_all_used()
    frames = segments * segment
    return [Converted("stg", config, tensors, BODIES, frames, encoder="transformer", stream=chosen)]


_STREAMS = {"bone": "bone", "motion": "vel"}
"""Stream -> what their feeder calls it."""

MAMP = CheckpointSource(
    "mamp",
    "MAMP",
    r"joints_embed\.proj\.",
    convert,
    frames=120,
    orientation="as_recorded",
    clips="CTR-GCN npz as it is, without centring each frame: --normalise none",
)


def _settings(checkpoint: Checkpoint, name: str) -> Mapping[str, Any]:
    found = checkpoint.settings.get(name)
    return found if isinstance(found, Mapping) else {}
