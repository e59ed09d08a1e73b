"""The checkpoints of one training: when they are written, which are kept, how one is read.

``checkpoint.pt`` is the one to resume from; it is deleted when the unit is done. Those to be kept
are in ``checkpoints/``, by the epochs that had been trained. No command reads them.
"""

from __future__ import annotations

import io
import os
import shutil
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ablation.store import write_atomically
from ablation.store.unit_files import CHECKPOINT, KEPT_CHECKPOINTS
from skelcon.config import Json

if TYPE_CHECKING:
    import torch

Keep = Literal["none", "last", "all"]
KEEP: tuple[str, ...] = get_args(Keep)
SHARE = 20
"""A checkpoint is written when training since the last took this many times its writing."""
LEAST = 0.5
"""Seconds between two checkpoints at least, unless another interval is given."""


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a training writes a checkpoint, and which of them stay when it is done.

    ``every`` is in seconds of training; None for as often as it costs little.
    """

    every: float | None = None
    keep: Keep = "none"


class Checkpoints:
    """The checkpoints in a unit's directory."""

    def __init__(self, directory: Path, policy: CheckpointPolicy) -> None:
        self._directory, self._policy = directory, policy
        self._file = directory / CHECKPOINT
        self._saved_at, self._cost = time.monotonic(), 0.0

    def read(self, device: torch.device) -> Json | None:
        """What was saved last; None if nothing was.

        Raises:
            Exception: of any kind, if the file is not what was written.
        """
        import torch

        if not self._file.exists():
            return None
        with zipfile.ZipFile(self._file) as archive:  # torch does not verify the checksums
            if (name := archive.testzip()) is not None:
                raise ValueError(f"'{name}' in it is damaged")
        state: Json = torch.load(self._file, map_location=device, weights_only=True)
        return state

    def due(self, *, done: bool) -> bool:
        """Whether it is time to save; a training that is ``done`` saves only what is to be kept."""
        if done:
            return self._policy.keep != "none"
        every = self._policy.every
        wait = max(LEAST, SHARE * self._cost) if every is None else every
        return time.monotonic() - self._saved_at >= wait

    def save(self, state: Json, epoch: int) -> None:
        """Write ``state``, after ``epoch`` epochs, whole or not at all."""
        import torch

        began = time.monotonic()
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self._file, buffer.getvalue())
        if self._policy.keep != "none":
            self._keep(epoch)
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - began

    def _keep(self, epoch: int) -> None:
        """The same file under a second name: the next checkpoint replaces the first only."""
        kept = self._directory / KEPT_CHECKPOINTS
        kept.mkdir(exist_ok=True)
        name = kept / f"epoch-{epoch:04}.pt"
        earlier = [path for path in kept.iterdir() if path != name]
        name.unlink(missing_ok=True)  # of an attempt before this one
        try:
            os.link(self._file, name)
        except OSError:  # a file system without links
            shutil.copyfile(self._file, name)
        if self._policy.keep == "last":
            for path in earlier:
                path.unlink()
