"""A checkpoint, read without running it, and what a source makes of it."""

from __future__ import annotations

import pickle
import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skelcon.config import Config
from skelcon.data import Orientation
from skelcon.errors import UserError, nearest
from skelcon.pretrain.foreign.tensors import Tensors

BODIES = 2
"""Bodies of a clip where no tensor says: as in NTU RGB+D and PKU-MMD."""

STREAMS = ("joint", "bone", "motion")
"""What the sources train their networks on."""


@dataclass(frozen=True)
class Checkpoint:
    """A file that was read.

    Attributes:
        path: the file.
        state: its state dict, without the ``module.`` of torch's parallel wrappers.
        settings: the options of the command that trained it, which some sources keep.
    """

    path: Path
    state: Mapping[str, Any]
    settings: Mapping[str, Any]

    def has(self, pattern: str) -> bool:
        """Whether the name of a tensor starts with ``pattern``."""
        return any(map(re.compile(pattern).match, self.state))

    def tensors(self, prefix: str, ignored: str) -> Tensors:
        """The tensors under ``prefix``.

        Raises:
            UserError: if there are none, or if another name does not match ``ignored``.
        """
        found: dict[str, Tensor] = {}
        for name, value in self.state.items():
            if re.match(ignored, name):
                continue
            if not name.startswith(prefix) or not isinstance(value, Tensor):
                raise UserError(f"'{self.path}': unexpected '{name}'")
            found[name.removeprefix(prefix)] = value
        if not found:
            raise UserError(f"'{self.path}' holds no '{prefix.rstrip('.')}'")
        return Tensors(self.path, prefix, found)


@dataclass(frozen=True)
class Converted:
    """An encoder: its configuration, its network's tensors, and the views that it takes.

    Attributes:
        representation: what it takes.
        config: its options.
        tensors: of its network, by our names.
        bodies: M, the bodies of its views.
        frames: T, the frames of its views, where they follow from the tensors.
        encoder: its name, unless it is the paper's for the representation.
        stream: what it was trained on.
    """

    representation: str
    config: Config
    tensors: Mapping[str, Tensor]
    bodies: int
    frames: int | None = None
    encoder: str | None = None
    stream: str = "joint"


@dataclass(frozen=True)
class CheckpointSource:
    """Where checkpoints come from.

    Attributes:
        name: what a command calls it.
        title: what a message calls it.
        mark: a pattern for the start of tensors' names by which it is recognised.
        convert: from a checkpoint, and the stream that the user wants, to encoders.
        frames: T, the frames of a view, where they do not follow from the tensors.
        orientation: how its clips are turned, as a setting of ours.
        clips: which clips are as its own, and how they are imported; empty if any are.
    """

    name: str
    title: str
    mark: str
    convert: Callable[[Checkpoint, str | None], list[Converted]]
    frames: int = 64
    orientation: Orientation = "first_frame"
    clips: str = ""


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in it is ever run.

    Beside tensors and plain values it may hold an `argparse.Namespace` of such values.

    Raises:
        UserError: if it cannot be read in this way, or has no state dict.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint at '{path}'") from None
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it needs '{named[1]}'" if named else "it holds more than tensors, or is damaged"
        raise UserError(f"'{path}' cannot be read without running code from it: {why}") from None
    except Exception as error:  # a damaged file may raise anything in torch or zipfile
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"'{path}' is not a checkpoint that torch can read ({reason})") from None
    whole = content if isinstance(content, Mapping) else {}
    state = next((whole[key] for key in ("state_dict", "model") if key in whole), None)
    if state is None and whole and all(isinstance(each, Tensor) for each in whole.values()):
        state = whole
    if not isinstance(state, Mapping):
        raise UserError(f"'{path}' has no 'state_dict' and no 'model', and is none itself")
    settings = whole.get("args")
    return Checkpoint(
        path,
        {str(name).removeprefix("module."): value for name, value in state.items()},
        vars(settings) if isinstance(settings, Namespace) else {},
    )


def stream_of(checkpoint: Checkpoint, asked: str | None, known: str | None = None) -> str:
    """The stream that the user asked for, else the one that is known, else joints.

    Args:
        checkpoint: for messages.
        asked: by the user.
        known: what the checkpoint itself says.

    Raises:
        UserError: if there is no such stream, or if the checkpoint says another one.
    """
    if asked is not None and asked not in STREAMS:
        raise UserError(f"stream '{asked}': {nearest(asked, STREAMS)}")
    if None not in (asked, known) and asked != known:
        raise UserError(f"'{checkpoint.path}' was trained on the stream {known}, not {asked}")
    return asked or known or "joint"
