"""The store: one directory a unit, and a DONE marker that is written last. It is the truth.

Under ``units/<key>/``: config.json, metrics.jsonl (a line an epoch), log.txt and, in progress,
checkpoint.pt and begun.jsonl; when done, result.json, provenance.json, predictions.npz (an
evaluation) or weights.safetensors (a pre-training), and DONE, which holds the checksums of the
others. A unit that failed has failed.json instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ablation.store.locks import hold
from skelcon.errors import UserError

State = Literal["done", "failed", "started", "absent"]
PRODUCTS = (
    "config.json",
    "result.json",
    "provenance.json",
    "metrics.jsonl",
    "predictions.npz",
    "weights.safetensors",
)
"""What a unit that is done may hold and never changes again."""
PASSING = ("checkpoint.pt", "begun.jsonl", "failed.json")
"""What is of no use once a unit is done."""
QUICK_BYTES = 64 << 10
"""Files of this size are read whenever a plan is made."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary neighbour, synced, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write ``values`` as readable JSON, atomically."""
    write_atomically(path, json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _file_sum(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def uri_of(results: Path) -> str | None:
    """The URI of which ``results`` is what a path makes of it (``s3:/bucket/x``); else None."""
    found = re.fullmatch(r"([a-z][a-z0-9+.-]+):/+(.*)", str(results))
    if found is None:
        return None
    # A path has no two slashes: an address among the options has lost one as well.
    rest = re.sub(r"(=[a-z][a-z0-9+.-]*):/+", r"\1://", found[2])
    return f"{found[1]}:///{rest}" if found[1] == "file" else f"{found[1]}://{rest}"


class Store:
    """The units under a results directory; :class:`UserError` for a URI."""

    def __init__(self, results: Path) -> None:
        uri = uri_of(results)
        if uri is not None:
            raise UserError(
                f"'{uri}' is no directory, and only a study's own command and plan take a URI: "
                "units are locked and renamed, which an object store cannot do; give a path that "
                "all nodes see (what a study has left at a URI can be copied to one)"
            )
        self.results = results
        self.units = results / "units"

    def check_writable(self) -> None:
        """Make the directory; :class:`UserError` if that, or a file in it, is impossible."""
        try:
            self.units.mkdir(parents=True, exist_ok=True)
            probe = self.units / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink(missing_ok=True)  # process numbers repeat on other machines
        except OSError as error:
            raise UserError(
                f"cannot write to the results directory '{self.results}': {error.strerror}; "
                "choose another with --results"
            ) from None

    def directory(self, key: str) -> Path:
        """Where the unit ``key`` lives."""
        return self.units / key

    def config(self, key: str) -> dict[str, Any]:
        """The configuration of a unit that has begun."""
        return self._read(key, "config.json")

    def is_done(self, key: str) -> bool:
        """Whether the unit's DONE marker stands."""
        return (self.directory(key) / "DONE").exists()

    def state(self, key: str) -> State:
        """How far the unit is, from what its directory holds."""
        if self.is_done(key):
            return "done"
        directory = self.directory(key)
        if (directory / "failed.json").exists():
            return "failed"
        return "started" if (directory / "config.json").exists() else "absent"

    def failure(self, key: str) -> str:
        """Why the unit failed, in a line."""
        return str(self._read(key, "failed.json")["reason"])

    def failed_for_good(self, key: str) -> bool:
        """Whether a retry of a unit that failed would fail in the same way."""
        return bool(self._read(key, "failed.json").get("deterministic", False))

    def result(self, key: str) -> dict[str, Any]:
        """The result of a unit that is done."""
        return self._read(key, "result.json")

    def provenance(self, key: str) -> dict[str, Any]:
        """The provenance of a unit that is done."""
        return self._read(key, "provenance.json")

    def _read(self, key: str, name: str) -> dict[str, Any]:
        path = self.directory(key) / name
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(
                f"'{path}' is damaged ({error}): delete its directory and run again"
            ) from None
        if not isinstance(values, dict):
            raise UserError(f"'{path}' is damaged: delete its directory and run again")
        return values

    def begin(self, key: str, config: dict[str, Any]) -> Path:
        """The unit's directory, with its config and without an earlier failure."""
        directory = self.directory(key)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / "config.json", config)
        (directory / "failed.json").unlink(missing_ok=True)
        return directory

    def finish(self, key: str) -> None:
        """Mark the unit as done; its files have been written before."""
        directory = self.directory(key)
        sums = {
            name: _file_sum(directory / name) for name in PRODUCTS if (directory / name).exists()
        }
        write_json(directory / "DONE", sums)
        for name in PASSING:
            (directory / name).unlink(missing_ok=True)

    def damage(self, key: str, *, thorough: bool = False) -> str | None:
        """What is wrong with a unit that is done, in a few words; None if nothing is.

        All its files must be there in their full size; their content is looked at where that is
        quick, or if it is to be ``thorough``. (Units of before checksums were kept pass.)
        """
        directory = self.directory(key)
        try:
            text = (directory / "DONE").read_text()
            for name, sums in (json.loads(text) if text else {}).items():
                path = directory / name
                size = path.stat().st_size
                if size != sums["bytes"]:
                    return f"{name} has {size} bytes, not {sums['bytes']}"
                quick = size <= QUICK_BYTES
                if (thorough or quick) and _file_sum(path)["sha256"] != sums["sha256"]:
                    return f"{name} is not what was written"
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            return " ".join(str(error).split())
        return None

    def set_aside(self, key: str, *, thorough: bool = False) -> Path | None:
        """Move a damaged unit out of the way, to ``damaged/``; gives where it is now.

        None if it is not damaged any more: another driver has found the same, and may be at work.
        """
        place = self.results / "damaged"
        place.mkdir(exist_ok=True)
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.is_done(key) or self.damage(key, thorough=thorough) is None:
                return None
            number = next(n for n in itertools.count(1) if not (place / f"{key}-{n}").exists())
            return self.directory(key).rename(place / f"{key}-{number}")

    def fail(self, key: str, reason: str, *, deterministic: bool = False) -> None:
        """Record why the unit failed, and whether a retry would fail in the same way."""
        self.directory(key).mkdir(parents=True, exist_ok=True)
        values = {"reason": reason, "deterministic": deterministic}
        write_json(self.directory(key) / "failed.json", values)

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[Path]:
        """Hold the unit's directory for this process alone; wait while another one has it.

        The lock is the kernel's and goes with the process, however it dies. It is another
        command's that works on the same unit, which is then found done, or that of a worker that
        outlives its killed driver for a moment.
        """
        directory = self.directory(key)
        with contextlib.ExitStack() as stack:
            while True:
                directory.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # set aside at this very moment
                    stack.enter_context(hold(directory, wait=True))
                    break
            yield directory
