"""The store: one directory per unit, and a DONE marker that is written last.

The marker alone decides whether a unit is done. The files of the directory ``units/<key>/`` are
listed in `ablation.store.unit_files`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from ablation.store.locks import hold
from ablation.store.unit_files import (
    CONFIG,
    DONE,
    FAILED,
    LABEL,
    PRODUCTS,
    PROVENANCE,
    RESULT,
    TEMPORARY,
    UnitFiles,
    UnitState,
    write_atomically,
    write_json,
)
from skelcon.config import Json
from skelcon.errors import UserError

SMALL_FILE = 64 << 10
"""Files of at most so many bytes are checked each time a plan is made."""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def uri_of(results: Path) -> str | None:
    """The URI from which a path was made (``s3:/bucket/x``); None for an ordinary path."""
    found = re.fullmatch(r"([a-z][a-z0-9+.-]+):/+(.*)", str(results))
    if found is None:
        return None
    # Path collapses slashes, also the slashes of an address among the URI's options.
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
            tempfile.TemporaryFile(dir=self.units).close()
        except OSError as error:
            raise UserError(
                f"cannot write to the results directory '{self.results}': {error.strerror}; "
                "choose another with --results"
            ) from None

    def directory(self, key: str) -> Path:
        """The directory of the unit ``key``."""
        return self.units / key

    def files(self, key: str) -> UnitFiles:
        """The files of the unit ``key``."""
        return UnitFiles(self.units / key)

    def config(self, key: str) -> Json:
        """The configuration of a unit that has been started."""
        return self.files(key).read(CONFIG)

    def is_done(self, key: str) -> bool:
        """Whether the unit's DONE marker exists."""
        return self.files(key).is_done

    def state(self, key: str) -> UnitState:
        """The state of the unit, from the files in its directory."""
        return self.files(key).state

    def failure(self, key: str) -> str:
        """Why the unit failed, in a line."""
        return str(self.files(key).read(FAILED)["reason"])

    def failed_for_good(self, key: str) -> bool:
        """Whether a retry of a unit that failed would fail in the same way."""
        return bool(self.files(key).read(FAILED).get("deterministic", False))

    def result(self, key: str) -> Json:
        """The result of a unit that is done."""
        return self.files(key).read(RESULT)

    def provenance(self, key: str) -> Json:
        """The provenance of a unit that is done."""
        return self.files(key).read(PROVENANCE)

    def begin(self, key: str, config: Json, label: str = "") -> Path:
        """The unit's directory, with its config and without an earlier failure.

        ``label`` is what ``status`` calls the unit; without one, an earlier label stays.
        """
        directory = self.directory(key)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / CONFIG, config)
        if label:
            write_atomically(directory / LABEL, label)
        (directory / FAILED).unlink(missing_ok=True)
        return directory

    def finish(self, key: str) -> None:
        """Mark the unit as done; its files have been written before."""
        directory = self.directory(key)
        present = [directory / name for name in PRODUCTS if (directory / name).exists()]
        sums = {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in present}
        write_json(directory / DONE, sums)
        for name in TEMPORARY:
            with contextlib.suppress(OSError):  # it is done all the same; `clean` finds the file
                (directory / name).unlink(missing_ok=True)

    def fail(self, key: str, reason: str, *, deterministic: bool = False) -> None:
        """Record why the unit failed, and whether a retry would fail in the same way."""
        file = self.directory(key) / FAILED
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"reason": reason, "deterministic": deterministic})

    def damage(self, key: str, *, thorough: bool = False) -> str | None:
        """What is wrong with a unit that is done, in a few words; None if nothing is.

        All its files must have their full size. The content of large ones is checked only if
        ``thorough``. (Units of old versions have no checksums, and pass.)
        """
        directory = self.directory(key)
        try:
            text = (directory / DONE).read_text(encoding="utf-8")
            for name, expected in (json.loads(text) if text else {}).items():
                path = directory / name
                size = path.stat().st_size
                if size != expected["bytes"]:
                    return f"{name} has {size} bytes, not {expected['bytes']}"
                check = thorough or size <= SMALL_FILE
                if check and _sha256(path) != expected["sha256"]:
                    return f"{name} is not what was written"
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            return " ".join(str(error).split())
        return None

    def move_damaged(self, key: str, *, thorough: bool = False) -> Path | None:
        """Move a damaged unit to ``damaged/``; gives where it is now.

        None if it is no longer damaged: another driver has moved it, and may run it again.
        """
        place = self.results / "damaged"
        place.mkdir(exist_ok=True)
        with FileLock(place / ".lock"):
            if not self.is_done(key) or self.damage(key, thorough=thorough) is None:
                return None
            number = next(n for n in itertools.count(1) if not (place / f"{key}-{n}").exists())
            return self.directory(key).rename(place / f"{key}-{number}")

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[Path]:
        """Lock the unit's directory for this process alone; wait while another one has locked it.

        The lock is the kernel's and ends with the process, however it dies. The other process may
        be of another command, which runs the same unit: afterwards the unit is done. Or it is a
        worker that lives a moment longer than its killed driver.
        """
        directory = self.directory(key)
        with contextlib.ExitStack() as stack:
            while True:
                directory.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # it was moved at this moment
                    stack.enter_context(hold(directory, wait=True))
                    break
            yield directory
