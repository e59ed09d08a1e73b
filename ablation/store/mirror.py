"""Results at a URI (``s3://``, ``gs://``, ...): made in a directory of each node, kept at the URI.

An object store has neither locks nor renames, so a unit is made in a directory of the node on which
it runs. When it is done its files are copied to the URI, DONE last, and from there to whoever needs
them. The URI has the layout of a results directory, and can be copied to be one. Whoever writes
there is trusted with results but not with paths: only files with the names of a unit are fetched.

A request that fails is retried: for seconds by a driver, which then runs the unit later, and for
minutes by a worker, which has nothing else to do.

Claims and checkpoints are not copied: two drivers on two machines may do the same unit (with the
same bits), and a unit whose node is lost starts from scratch.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pyarrow.fs import FileSelector, FileSystem, FileType

from ablation.store.files import write_atomically
from ablation.store.store import Store
from ablation.store.unit_files import CONFIG, DONE, FAILED, LOG, PRODUCTS
from ablation.units import read_unit
from skelcon.data.importers import cache_directory
from skelcon.errors import UserError

T = TypeVar("T")
PAUSES = (0.5, 2.0)
"""Seconds between a driver's attempts to reach the URI."""
PATIENT = (*PAUSES, 5.0, 15.0, 30.0, 60.0)
"""Seconds between a worker's attempts."""
RECORDS = "tracked-*.txt"
"""The runs that a study's trackers have, in its directory."""


class UnreachedError(UserError):
    """The URI cannot be read or written to."""


@functools.lru_cache(maxsize=2)
def mirror_at(uri: str) -> Mirror:
    """The mirror of ``uri``, opened once per process."""
    return Mirror(uri)


class Mirror:
    """The results at a URI, and their copy in a directory of this node.

    Args:
        uri: any that pyarrow's file systems take.

    Raises:
        UnreachedError: if there is no such place, or it cannot be written to; so do all methods.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        digest = hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]
        self.store = Store(cache_directory() / "mirrors" / digest)
        self._reach(self._open)

    # -- a driver --------------------------------------------------------------------------

    def fetch(self, keys: Iterable[str]) -> None:
        """Copy those units here that are done at the URI and not here."""
        asked = list(keys)
        self._reach(lambda: self._fetch_all(asked))

    def fetch_records(self, study: str) -> None:
        """Add the URI's records of a study's trackers to those of this node."""
        self._reach(lambda: self._fetch_records(study))

    def push_all(self, keys: Iterable[str], study: str) -> None:
        """Copy those units to the URI that are done here only, and a study's tables.

        Event files that have the same size there are not copied again, and those that newer ones
        have replaced are deleted, as here.
        """
        here = [key for key in keys if self.store.is_done(key)]
        for key in self._reach(lambda: sorted(set(here) - set(self._done(here)))):
            self._reach(functools.partial(self._push, key))
        self._reach(lambda: self._push_study(study))
        for path in sorted(self.store.results.glob("data/*/*")):
            self.push_file(path.relative_to(self.store.results).as_posix())

    def fetch_file(self, name: str) -> None:
        """Bring the file ``name`` (below the results directory) here, unless it is here."""
        path = self.store.results / name
        if not path.exists():
            self._reach(lambda: self._get_to(path, *name.split("/")))

    def fetch_longer(self, name: str) -> None:
        """Bring the file ``name`` here, which only grows, if it is longer there."""
        path, at = self.store.results / name, self._at(*name.split("/"))
        size = self._reach(lambda: self._files.get_file_info(at).size)
        if size is not None and size > (path.stat().st_size if path.exists() else 0):
            self._reach(lambda: self._get_to(path, *name.split("/")))

    def push_file(self, name: str) -> None:
        """Copy the file ``name`` (below the results directory) to the URI."""
        self._reach(lambda: self._put(self.store.results / name, *name.split("/")))

    def hand_out(self, key: str) -> None:
        """Put the unit's configuration at the URI for its worker, without an earlier failure."""

        def put() -> None:
            self._put(self.store.directory(key) / CONFIG, "units", key, CONFIG)
            failed = self._at("units", key, FAILED)
            if self._files.get_file_info(failed).type == FileType.File:
                self._files.delete_file(failed)

        self._reach(put)

    def fetch_failure(self, key: str) -> None:
        """Copy here what a node has left of a unit that failed there."""

        def get() -> None:
            for name in (LOG, FAILED):
                self._get(key, name)

        self._reach(get)

    # -- a worker --------------------------------------------------------------------------

    def bring(self, key: str) -> None:
        """Copy here what this node needs to work on the unit, or the unit if it is done."""
        self.store.directory(key).mkdir(parents=True, exist_ok=True)
        if not (self.store.directory(key) / CONFIG).exists():
            self._reach(lambda: self._get(key, CONFIG), PATIENT)
        needs = read_unit(self.store.config(key)).needs
        self._reach(lambda: self._fetch_all([key, *needs]), PATIENT)

    def push(self, key: str) -> None:
        """Copy a unit that is done to the URI."""
        self._reach(lambda: self._push(key), PATIENT)

    def push_failure(self, key: str) -> None:
        """Copy what a unit that failed has left."""

        def put() -> None:
            for name in (LOG, FAILED):
                self._put(self.store.directory(key) / name, "units", key, name)

        self._reach(put)

    # -- both ------------------------------------------------------------------------------

    def _reach(self, do: Callable[[], T], pauses: tuple[float, ...] = PAUSES) -> T:
        """What ``do`` gives; it is retried after each of the ``pauses`` (seconds).

        Raises:
            UnreachedError: what was wrong with the URI, in a line.
        """
        for pause in (*pauses, None):
            try:
                return do()
            except (OSError, ValueError, NotImplementedError) as error:
                if getattr(error, "filename", None):  # of this machine's own disk
                    raise
                what = error
            if pause is None or not isinstance(what, OSError):  # else the URI itself is wrong
                break
            time.sleep(pause)
        kept = (
            f"; what is done is in '{self.store.results}' as well; run the same command to resume"
        )
        raise UnreachedError(
            f"--results {self.uri}: {' '.join(str(what).split())[:300]}"
            + (kept if self.store.units.is_dir() else "")
        )

    def _open(self) -> None:
        self._files, base = FileSystem.from_uri(self.uri)
        self._base = base.rstrip("/")
        self._files.create_dir(self._at("units"), recursive=True)

    def _at(self, *parts: str) -> str:
        return "/".join((self._base, *parts))

    def _done(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` that are done at the URI, in one request."""
        asked = list(keys)
        infos = self._files.get_file_info([self._at("units", key, DONE) for key in asked])
        found = zip(asked, infos, strict=True)
        return [key for key, info in found if info.type == FileType.File]

    def _fetch_all(self, keys: Iterable[str]) -> None:
        for key in self._done(key for key in keys if not self.store.is_done(key)):
            self._fetch(key)

    def _fetch(self, key: str) -> None:
        with self.store.locked(key) as directory:
            if self.store.is_done(key):  # by another process of this node
                return
            with self._files.open_input_stream(self._at("units", key, DONE)) as file:
                done = file.read()
            for name in (*PRODUCTS, LOG):
                self._get(key, name)
            write_atomically(directory / DONE, done)
            if self.store.damage(key, thorough=True) is not None:  # it is done again
                (directory / DONE).unlink()

    def _push(self, key: str) -> None:
        for name in (*PRODUCTS, LOG, DONE):
            self._put(self.store.directory(key) / name, "units", key, name)

    def _push_study(self, study: str) -> None:
        root = self.store.results / study
        for path in sorted(root.glob("*")):
            self._put(path, study, path.name)
        runs = self._at(study, "tensorboard")
        found = FileSelector(runs, allow_not_found=True, recursive=True)
        there = {
            info.path.removeprefix(f"{runs}/"): info.size
            for info in self._files.get_file_info(found)
            if info.type == FileType.File
        }
        files = [path for path in (root / "tensorboard").glob("**/[!.]*") if path.is_file()]
        here = {path.relative_to(root / "tensorboard").as_posix(): path for path in sorted(files)}
        for name, path in here.items():
            if there.get(name) != path.stat().st_size:
                self._put(path, study, "tensorboard", *name.split("/"))
        replaced = {name.rpartition("/")[0] for name in here}
        for name in there:
            if name not in here and name.rpartition("/")[0] in replaced:
                self._files.delete_file(f"{runs}/{name}")

    def _fetch_records(self, study: str) -> None:
        found = FileSelector(self._at(study), allow_not_found=True)
        for info in self._files.get_file_info(found):
            if info.type != FileType.File or not Path(info.base_name).match(RECORDS):
                continue
            with self._files.open_input_stream(info.path) as stream:
                recorded = stream.read().decode().split()
            file = self.store.results / study / info.base_name
            file.parent.mkdir(parents=True, exist_ok=True)
            known = set(file.read_text().split()) if file.exists() else set()
            with file.open("a") as lines:
                lines.writelines(f"{key}\n" for key in recorded if key not in known)

    def _get(self, key: str, name: str) -> None:
        """Bring a file of a unit here, if there is one."""
        self._get_to(self.store.directory(key) / name, "units", key, name)

    def _get_to(self, place: Path, *parts: str) -> None:
        path = self._at(*parts)
        if self._files.get_file_info(path).type == FileType.File:
            place.parent.mkdir(parents=True, exist_ok=True)
            with self._files.open_input_stream(path) as file:
                write_atomically(place, file.read())

    def _put(self, path: Path, *parts: str) -> None:
        """Copy a file to the URI, if there is one."""
        if not path.is_file():
            return
        try:
            self._write(path, *parts)
        except FileNotFoundError:  # where there are directories
            self._files.create_dir(self._at(*parts[:-1]), recursive=True)
            self._write(path, *parts)

    def _write(self, path: Path, *parts: str) -> None:
        with self._files.open_output_stream(self._at(*parts)) as file:
            file.write(path.read_bytes())
