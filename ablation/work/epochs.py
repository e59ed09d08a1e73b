"""What a training logs of its epochs, and which of them were trained more than once.

``metrics.jsonl`` has a line for each epoch that counts; it is cut back to the checkpoint from which
a training is resumed. ``begun.jsonl`` has a line for each epoch that was ever started and is never
cut, so that the work which a crash cost is known to the epoch, interrupted ones included.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ablation.store import write_atomically
from ablation.store.unit_files import METRICS, STARTED_EPOCHS, read_lines, whole_lines
from skelcon.config import Json


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
        """``resumed``: how often the training was resumed; ``epochs_trained_again``: as it says."""
        started = read_lines(self._started)
        return {
            "resumed": max((line["attempt"] for line in started), default=0),
            "epochs_trained_again": len(started) - len({line["epoch"] for line in started}),
        }


def _append(path: Path, values: Json) -> None:
    """Append a line. After a full disk the file may end in half a line, which is cut off first."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.truncate(whole_lines(path.read_bytes()))
        file.write(json.dumps(values).encode() + b"\n")
