"""What a training is resumed from: its checkpoints, and the log of its epochs.

``checkpoint.pt`` is the one to resume from; it is deleted when the unit is done. With ``--keep``
further ones are in ``checkpoints/``, named by the epochs that had been trained. No command reads
them.

``metrics.jsonl`` has a line for each epoch that counts; it is cut back to the checkpoint from which
a training is resumed. ``begun.jsonl`` has a line for each epoch that was ever started and is never
cut: it shows how many epochs were trained again after a crash.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ablation.store import write_atomically
from ablation.store.unit_files import (
    CHECKPOINT,
    KEPT_CHECKPOINTS,
    METRICS,
    STARTED_EPOCHS,
    read_lines,
    whole_lines,
)
from skelcon.config import Json

if TYPE_CHECKING:
    import torch

Keep = Literal["none", "last", "all"]
KEEP: tuple[str, ...] = get_args(Keep)
SHARE = 20
"""The next checkpoint is due after so many times the seconds that writing the last one took."""
LEAST = 0.5
"""But not before so many seconds."""


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a training writes a checkpoint, and which of them stay when it is done.

    ``every`` is in seconds of training; None for as often as that costs little time.
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
            OSError: if it cannot be read.
            Exception: of another kind, if it is damaged.
        """
        import torch

        if not self._file.exists():
            return None
        # Read first: an OSError from here on would be of a damaged archive.
        content = io.BytesIO(self._file.read_bytes())
        with zipfile.ZipFile(content) as archive:  # torch does not verify the checksums
            if (name := archive.testzip()) is not None:
                raise ValueError(f"'{name}' in it is damaged")
        content.seek(0)
        state: Json = torch.load(content, map_location=device, weights_only=True)
        return state

    def due(self, *, done: bool) -> bool:
        """Whether to save now; a training that is ``done`` saves only if ``--keep`` asks for it."""
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
        """Link the file under a second name, which the next checkpoint does not replace."""
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


class EpochLog:
    """The epochs of one training, in the unit's directory."""

    def __init__(self, directory: Path) -> None:
        self._metrics, self._started = directory / METRICS, directory / STARTED_EPOCHS
        self._attempt = 0

    def resume(self, epoch: int) -> int | None:
        """Resume after ``epoch`` epochs; gives how many are trained again, None at a first start.

        Raises:
            ValueError: if the metrics of those epochs are incomplete.
        """
        started = read_lines(self._started)
        logged = read_lines(self._metrics)[:epoch]
        if [line.get("epoch") for line in logged] != list(range(epoch)):
            raise ValueError(f"metrics.jsonl lacks some of the first {epoch} epochs")
        write_atomically(self._metrics, "".join(json.dumps(line) + "\n" for line in logged))
        if not started:
            return None
        attempt, last = max((line["attempt"], line["epoch"]) for line in started)
        self._attempt = int(attempt) + 1
        return max(0, int(last) + 1 - epoch)

    def start(self, epoch: int) -> None:
        """``epoch`` (from 0) is about to be trained."""
        _append(self._started, {"epoch": epoch, "attempt": self._attempt})

    def end(self, metrics: Json) -> None:
        """An epoch has been trained; ``metrics`` holds its number as ``epoch``."""
        _append(self._metrics, metrics)

    def sync(self) -> None:
        """Flush the metrics to the disk: before a checkpoint that counts on them."""
        with self._metrics.open("rb") as file:
            os.fsync(file.fileno())

    def last(self) -> Json:
        """The metrics of the last epoch."""
        return read_lines(self._metrics)[-1]

    def account(self) -> dict[str, int]:
        """How often the training was resumed, and how many epochs were trained again."""
        started = read_lines(self._started)
        return {
            "resumed": max((line["attempt"] for line in started), default=0),
            "epochs_trained_again": len(started) - len({line["epoch"] for line in started}),
        }


def _append(path: Path, values: Json) -> None:
    """Append a line. Half a line at the end, as a full disk leaves it, is cut off first."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.truncate(whole_lines(path.read_bytes()))
        file.write(json.dumps(values).encode() + b"\n")
