"""Checkpoints of other public code, converted to encoders of skelcon.

A source is a module and a line of :data:`SOURCES`. Its encoders give the same features as the
original (the input of its classifier or projection head) for the same views. Sizes follow from the
tensors. The joints are the joints of `KINECT_V2`, in its order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from skelcon.data import KINECT_V2
from skelcon.encoders import REPRESENTATIONS, Encoder, EncodersConfig, Representation
from skelcon.errors import UserError, nearest
from skelcon.pretrain.foreign.aimclr import AIMCLR
from skelcon.pretrain.foreign.authors import AUTHORS
from skelcon.pretrain.foreign.checkpoint import Checkpoint, CheckpointSource, Converted, load
from skelcon.pretrain.foreign.cmd import CMD
from skelcon.pretrain.foreign.mamp import MAMP
from skelcon.pretrain.foreign.usdrl import USDRL
from skelcon.pretrain.weights import save_encoders

SOURCES = {source.name: source for source in (AIMCLR, CMD, MAMP, USDRL, AUTHORS)}
"""By name; the first that recognises a checkpoint is used."""


def import_weights(
    path: Path,
    destination: Path,
    frames: int | None = None,
    *,
    source: str | None = None,
    stream: str | None = None,
) -> tuple[CheckpointSource, dict[Representation, Encoder]]:
    """Write the encoders of a checkpoint as :func:`skelcon.load_encoder` reads them.

    Args:
        path: the checkpoint of a pre-training; no code in it is ever run.
        destination: the safetensors file to write, whole or not at all.
        frames: as for :func:`read_checkpoint`.
        source: as for :func:`read_checkpoint`.
        stream: as for :func:`read_checkpoint`.

    Returns:
        Where it comes from, and what was written.

    Raises:
        UserError: as :func:`read_checkpoint`.
    """
    checkpoint = load(path)
    found = _source(checkpoint, source)
    encoders, config = _built(checkpoint, found, frames, stream)
    bodies = next(iter(encoders.values())).bodies
    save_encoders(destination, encoders, config, KINECT_V2, bodies)
    return found, encoders


def read_checkpoint(
    path: Path,
    frames: int | None = None,
    *,
    source: str | None = None,
    stream: str | None = None,
) -> tuple[dict[Representation, Encoder], EncodersConfig]:
    """The query encoders of a checkpoint, on the CPU in evaluation mode, and their configuration.

    Args:
        path: the checkpoint; no code in it is ever run.
        frames: T, the frames of a view. It follows from the tensors of an image encoder and of a
            transformer; for others the default is the source's.
        source: a name of :data:`SOURCES`; by default recognised by the names of the tensors.
        stream: ``joint`` (default), ``bone`` or ``motion``: what it was trained on, if the tensors
            do not say so, or which of several encoders to convert.

    Raises:
        UserError: if the file cannot be read as plain tensors, is of no known source or has a
            network that skelcon does not have, or if a tensor is missing, unexpected or of the
            wrong shape.
    """
    checkpoint = load(path)
    return _built(checkpoint, _source(checkpoint, source), frames, stream)


def _source(checkpoint: Checkpoint, asked: str | None) -> CheckpointSource:
    if asked is not None and asked not in SOURCES:
        raise UserError(f"unknown source '{asked}': {nearest(asked, SOURCES)}")
    found = next((each for each in SOURCES.values() if checkpoint.has(each.mark)), None)
    if asked is not None and found is not None and found.name != asked:
        raise UserError(
            f"'{checkpoint.path}' is a checkpoint of {found.title}, not of {SOURCES[asked].title}: "
            f"--from {found.name}"
        )
    if found is None:
        known = ", ".join(each.title for each in SOURCES.values())
        names = ", ".join(f"'{name}'" for name in list(checkpoint.state)[:3])
        raise UserError(
            f"'{checkpoint.path}' is not a checkpoint of a pre-training of {known} (it has {names})"
        )
    return found


def _built(
    checkpoint: Checkpoint, source: CheckpointSource, frames: int | None, stream: str | None
) -> tuple[dict[Representation, Encoder], EncodersConfig]:
    path = checkpoint.path
    try:
        converted = {each.representation: each for each in source.convert(checkpoint, stream)}
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        name = error.title.removesuffix("Config")
        raise UserError(f"'{path}' has a size that {name} cannot have: {reason}") from None
    fixed = next((each.frames for each in converted.values() if each.frames is not None), None)
    if None not in (fixed, frames) and fixed != frames:
        raise UserError(f"'{path}' holds an encoder of {fixed} frames, not {frames}")
    config = _config(path, source, list(converted.values()), fixed or frames or source.frames)
    encoders: dict[Representation, Encoder] = {}
    for name in (each for each in REPRESENTATIONS if each in converted):
        with torch.random.fork_rng(devices=[]):  # its initial weights are replaced
            encoder = Encoder(name, config, KINECT_V2, converted[name].bodies)
        encoder.network.load_state_dict(dict(converted[name].tensors))
        encoders[name] = encoder.eval()
    return encoders, config


def _config(
    path: Path, source: CheckpointSource, found: list[Converted], frames: int
) -> EncodersConfig:
    tree: dict[str, Any] = {"frames": frames, "orientation": source.orientation}
    stream = found[0].stream
    if stream != "joint":
        tree["stream"] = stream
    own = {each.representation: each.config for each in found if each.encoder is None}
    custom = {
        each.representation: {"encoder": each.encoder, "options": each.config.model_dump()}
        for each in found
        if each.encoder is not None
    }
    return EncodersConfig.model_validate({**tree, **own, "custom": custom})
