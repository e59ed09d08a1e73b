"""What a training leaves of its epochs, and what of them was trained more than once.

``metrics.jsonl`` has a line for each epoch that counts; it is cut back to the checkpoint from which
a training goes on. ``begun.jsonl`` has a line for each epoch that was ever begun and is never cut,
so that the work which a crash cost is known to the epoch, those cut in the middle among them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.store import write_atomically


class EpochLog:
    """The epochs of one training, in the unit's directory."""

    def __init__(self, directory: Path) -> None:
        self._metrics, self._begun = directory / "metrics.jsonl", directory / "begun.jsonl"
        self._attempt = 0

    def go_on(self, epoch: int) -> int | None:
        """Go on after ``epoch`` epochs; gives how many are trained again, None at a first start.

        Raises:
            ValueError: if the metrics of those epochs are not all there.
        """
        begun = _read(self._begun)
        logged = _read(self._metrics)[:epoch] if epoch else []
        if [line.get("epoch") for line in logged] != list(range(epoch)):
            raise ValueError(f"metrics.jsonl lacks some of the first {epoch} epochs")
        text = "".join(json.dumps(line) + "\n" for line in logged)
        write_atomically(self._metrics, text)
        if not begun:
            return None
        attempt, last = max((line["attempt"], line["epoch"]) for line in begun)
        self._attempt = int(attempt) + 1
        return max(0, int(last) + 1 - epoch)

    def begin(self, epoch: int) -> None:
        """``epoch`` (from 0) is about to be trained."""
        _append(self._begun, {"epoch": epoch, "attempt": self._attempt})

    def end(self, metrics: Mapping[str, Any]) -> None:
        """An epoch has been trained; ``metrics`` holds its number as ``epoch``."""
        _append(self._metrics, metrics)

    def sync(self) -> None:
        """Have the disk hold what has been written: before a checkpoint that counts on it."""
        with self._metrics.open("rb") as file:
            os.fsync(file.fileno())

    def last(self) -> dict[str, Any]:
        """The metrics of the last epoch."""
        return _read(self._metrics)[-1]

    def account(self) -> dict[str, int]:
        """``resumed``: how often it was gone on with; ``epochs_trained_again``, or begun again."""
        begun = _read(self._begun)
        return {
            "resumed": max((line["attempt"] for line in begun), default=0),
            "epochs_trained_again": len(begun) - len({line["epoch"] for line in begun}),
        }


def _append(path: Path, values: Mapping[str, Any]) -> None:
    """Append a line; on a full disk what stands may end in half of one, which is cut off first."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.truncate(_whole_lines(path.read_bytes()))
        file.write(json.dumps(values).encode() + b"\n")


def _whole_lines(content: bytes) -> int:
    return content.rfind(b"\n") + 1


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines up to the first that is not whole; none if there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = []
    with contextlib.suppress(ValueError):  # as after a power cut
        for line in content[: _whole_lines(content)].splitlines():
            lines.append(json.loads(line))
    return lines
