"""The files of one unit: what they are called, how they are read, and written whole or not at all.

All readers of ``units/<key>/`` go through :class:`UnitFiles`. Nothing here locks or waits, so that
it can look at a unit that another process works on; a file may be missing or end in half a line.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from skelcon.config import Json
from skelcon.errors import UserError
from skelcon.wholefile import whole_file

CONFIG = "config.json"
RESULT = "result.json"
PROVENANCE = "provenance.json"
METRICS = "metrics.jsonl"  # a line for each epoch that counts
PREDICTIONS = "predictions.npz"  # of an evaluation, for each clip
WEIGHTS = "weights.safetensors"  # of a pre-training: the encoders
LOG = "log.txt"
CHECKPOINT = "checkpoint.pt"  # from which a training is resumed
KEPT_CHECKPOINTS = "checkpoints"  # a directory of the checkpoints that stay
STARTED_EPOCHS = "begun.jsonl"  # a line for each start of an epoch: several if it is repeated
FAILED = "failed.json"  # why the unit failed
LABEL = "label.txt"  # what the command that runs the unit calls it; not part of its key
DONE = "DONE"  # of a finished unit, with the checksums of its files; written last
CLAIM = "claim"  # the driver that has claimed the unit
LOCK = "lock"  # locked by the process that works on the unit; it is empty and stays

PRODUCTS = (CONFIG, RESULT, PROVENANCE, METRICS, PREDICTIONS, WEIGHTS)
"""Files that a finished unit may have, and that never change again."""
TEMPORARY = (CHECKPOINT, STARTED_EPOCHS, FAILED, LABEL, CLAIM)
"""Files that are deleted when a unit is done."""
COPIED = (*PRODUCTS, LOG, DONE)
"""Files that are copied of a finished unit, in this order."""
APPENDED = (LOG, METRICS, STARTED_EPOCHS)
"""Files that are appended to."""

KEY = re.compile(r"[0-9a-f]{16,64}")
"""What the directory of a unit is called."""

UnitState = Literal["done", "failed", "started", "absent"]


@dataclass(frozen=True)
class UnitFiles:
    """The directory of one unit, which need not exist."""

    directory: Path

    @property
    def key(self) -> str:
        """The unit's key, after which its directory is named."""
        return self.directory.name

    def path(self, name: str) -> Path:
        """Where the file called ``name`` (a constant of this module) is, or would be."""
        return self.directory / name

    def has(self, name: str) -> bool:
        """Whether there is a file called ``name``."""
        return self.path(name).exists()

    @property
    def is_done(self) -> bool:
        """Whether the unit's DONE marker exists."""
        return self.has(DONE)

    @property
    def state(self) -> UnitState:
        """The state of the unit, from the files in its directory."""
        if self.is_done:
            return "done"
        if self.has(FAILED):
            return "failed"
        return "started" if self.has(CONFIG) else "absent"

    def size(self) -> int:
        """Bytes of all files."""
        files = (path for path in self.directory.rglob("*") if not path.is_dir())
        return sum(path.lstat().st_size for path in files)

    def claimed_by(self) -> str | None:
        """The driver that has claimed the unit, which may be dead; None if there is no claim."""
        with contextlib.suppress(FileNotFoundError):
            return self.path(CLAIM).read_text(encoding="utf-8")
        return None

    def label(self) -> str:
        """What the command that ran the unit last calls it; empty if that is not known."""
        with contextlib.suppress(FileNotFoundError):
            return self.path(LABEL).read_text(encoding="utf-8", errors="replace")
        return ""

    def read(self, name: str) -> Json:
        """What a JSON file of the unit holds; :class:`UserError` if it cannot be read."""
        path, why = self.path(name), ""
        try:
            values = json.loads(path.read_bytes())
            if isinstance(values, dict):
                return values
        except (OSError, ValueError) as error:
            why = f" ({error})"
        raise UserError(f"'{path}' is damaged{why}: delete its directory and run again")

    def read_or_none(self, name: str) -> Json | None:
        """As :meth:`read`, but None if it cannot be read."""
        with contextlib.suppress(UserError):
            return self.read(name)
        return None

    def metrics(self) -> list[Json]:
        """The lines of metrics.jsonl, an epoch each, up to the first that is not whole."""
        return read_lines(self.path(METRICS))

    def log_tail(self, lines: int) -> list[str]:
        """The last lines of the unit's log; none if there is no log."""
        with contextlib.suppress(FileNotFoundError):
            return (
                self.path(LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            )
        return []


def read_lines(path: Path) -> list[Json]:
    """The JSON objects of a file, a line each, up to the first line that is not whole.

    The last line is not whole while it is being written, or after a power cut. A file that does not
    exist has no lines.
    """
    lines: list[Json] = []
    with contextlib.suppress(FileNotFoundError, ValueError):
        content = path.read_bytes()
        for line in content[: whole_lines(content)].splitlines():
            values = json.loads(line)
            if not isinstance(values, dict):
                break
            lines.append(values)
    return lines


def whole_lines(content: bytes) -> int:
    """How many bytes of ``content`` belong to lines that end with a newline."""
    return content.rfind(b"\n") + 1


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary file beside it, synced, then renamed."""
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, values: Mapping[str, object] | Sequence[object]) -> None:
    """Write ``values`` as readable JSON, atomically."""
    write_atomically(path, json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n")
