"""Results at a URI (``s3://``, ``gs://``, ...): made in a directory of each node, kept at the URI.

An object store has neither locks nor renames, so a unit is made in a directory of the node on which
it runs. When it is done its files are copied to the URI, DONE last, and from there to each node
that needs them. The URI has the layout of a results directory, and can be copied to become one.
Only files with the names of a unit's are fetched from it, so that no other path can be written to.

A request that fails is retried: for seconds by a driver, which then runs the unit later, and for
minutes by a worker, which has nothing else to do.

Claims and checkpoints are not copied: drivers on two machines may run the same unit (with the same
results), and a unit whose node is lost starts from scratch.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatch
from typing import TypeVar

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, SubTreeFileSystem

from ablation.store.store import Store
from ablation.store.unit_files import CONFIG, COPIED, DONE, FAILED, LOG, PRODUCTS, write_atomically
from ablation.units import read_unit
from skelcon.data.importers import cache_directory
from skelcon.errors import UserError

T = TypeVar("T")
PAUSES = (0.5, 2.0)
"""Seconds between a driver's attempts to reach the URI."""
PATIENT = (*PAUSES, 5.0, 15.0, 30.0, 60.0)
"""Seconds between a worker's attempts."""
RECORDS = "tracked-*.txt"
"""The files of a study's directory that list the units which its trackers have."""


class UnreachedError(UserError):
    """The URI cannot be read or written to."""


@functools.lru_cache(maxsize=2)
def mirror_at(uri: str) -> Mirror:
    """The mirror of ``uri``, opened once per process."""
    return Mirror(uri)


class Mirror:
    """The results at a URI, and their copy in a directory of this node.

    Files have the same name at both: their path below the results directory.

    Args:
        uri: any that pyarrow's file systems take.

    Raises:
        UnreachedError: if it cannot be read or written to; all methods raise it too.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        digest = hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]
        self.store = Store(cache_directory() / "mirrors" / digest)
        self._pauses: tuple[float, ...] = PAUSES
        self._reach(self._open)

    def fetch(self, keys: Collection[str]) -> None:
        """Copy here the units that are done at the URI and not here."""
        for key in self._done([key for key in keys if not self.store.is_done(key)]):
            self._fetch(key)

    def fetch_records(self, study: str) -> None:
        """Add the URI's records of a study's trackers to the ones of this node."""
        for info in self._list(study):
            if not fnmatch(info.base_name, RECORDS):
                continue
            file = self.store.results / study / info.base_name
            file.parent.mkdir(parents=True, exist_ok=True)
            known = set(file.read_text(encoding="utf-8").split()) if file.exists() else set()
            recorded = self._read(info.path).decode().split()
            with file.open("a", encoding="utf-8") as lines:
                lines.writelines(f"{key}\n" for key in recorded if key not in known)

    def push_all(self, keys: Collection[str], study: str) -> None:
        """Copy to the URI the units that are done here only, and a study's tables.

        Event files that have the same size there are not copied again, and those that were replaced
        here by newer ones are deleted there.
        """
        done = [key for key in keys if self.store.is_done(key)]
        for key in sorted(set(done) - set(self._done(done))):
            self._push(key)
        results, runs = self.store.results, f"{study}/tensorboard"
        paths = [*(results / study).glob("*"), *(results / runs).glob("**/[!.]*")]
        paths += results.glob("data/*/*")
        here = [path.relative_to(results).as_posix() for path in sorted(paths) if path.is_file()]
        there = {info.path: info.size for info in self._list(runs, recursive=True)}
        for name in here:
            if there.get(name) != (results / name).stat().st_size:
                self.push_file(name)
        replaced = {name.rpartition("/")[0] for name in here}
        for name in there:
            if name not in here and name.rpartition("/")[0] in replaced:
                self._reach(functools.partial(self._files.delete_file, name))

    def fetch_longer(self, name: str) -> None:
        """Copy the file ``name`` here if it is longer there; it is only ever appended to."""
        path, size = self.store.results / name, self._info(name).size
        if size is not None and size > (path.stat().st_size if path.exists() else 0):
            self._get(name)

    def push_file(self, name: str) -> None:
        """Copy the file ``name`` to the URI, if there is one."""
        path = self.store.results / name
        if path.is_file():
            self._reach(lambda: self._write(name, path.read_bytes()))

    def hand_out(self, key: str) -> None:
        """Copy the unit's configuration to the URI for its worker; delete an earlier failure."""
        self.push_file(f"units/{key}/{CONFIG}")
        failed = f"units/{key}/{FAILED}"
        if self._info(failed).type == FileType.File:
            self._reach(lambda: self._files.delete_file(failed))

    def fetch_failure(self, key: str) -> None:
        """Copy here the log and the reason of a unit that failed on another node."""
        for name in (LOG, FAILED):
            self._get(f"units/{key}/{name}")

    def bring(self, key: str) -> None:
        """Copy here what this node needs to run the unit, or the unit if it is done."""
        with self._patient():
            if not self.store.files(key).has(CONFIG):
                self._get(f"units/{key}/{CONFIG}")
            self.fetch([key, *read_unit(self.store.config(key)).needs])

    def push(self, key: str) -> None:
        """Copy a unit that is done to the URI."""
        with self._patient():
            self._push(key)

    def push_failure(self, key: str) -> None:
        """Copy the log and the reason of a unit that failed."""
        for name in (LOG, FAILED):
            self.push_file(f"units/{key}/{name}")

    def _done(self, keys: list[str]) -> list[str]:
        """The ``keys`` of units that are done at the URI, in one request."""
        markers = [f"units/{key}/{DONE}" for key in keys]
        infos = self._reach(lambda: self._files.get_file_info(markers))
        found = zip(keys, infos, strict=True)
        return [key for key, info in found if info.type == FileType.File]

    def _fetch(self, key: str) -> None:
        with self.store.locked(key) as directory:
            if self.store.is_done(key):  # by another process of this node
                return
            done = self._read(f"units/{key}/{DONE}")
            for name in (*PRODUCTS, LOG):
                self._get(f"units/{key}/{name}")
            write_atomically(directory / DONE, done)
            if self.store.damage(key, thorough=True) is not None:  # it runs again
                (directory / DONE).unlink()

    def _push(self, key: str) -> None:
        for name in COPIED:
            self.push_file(f"units/{key}/{name}")

    def _get(self, name: str) -> None:
        """Copy the file ``name`` here, if there is one."""
        if self._info(name).type == FileType.File:
            path = self.store.results / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self._read(name))

    def _reach(self, do: Callable[[], T]) -> T:
        """Call ``do`` until it succeeds, with the pauses between; gives what it returns.

        Raises:
            UnreachedError: if it never does; says in a line what is wrong with the URI.
        """
        for pause in (*self._pauses, None):
            try:
                return do()
            except (OSError, ValueError, NotImplementedError) as error:
                if getattr(error, "filename", None):  # of this machine's own disk
                    raise
                what = error
            if pause is None or not isinstance(what, OSError):  # else the URI itself is wrong
                break
            time.sleep(pause)
        text = f"--results {self.uri}: {' '.join(str(what).split())[:300]}"
        if self.store.units.is_dir():
            kept = f"what is done is in '{self.store.results}' as well"
            text = f"{text}; {kept}; run the same command to resume"
        raise UnreachedError(text)

    @contextlib.contextmanager
    def _patient(self) -> Iterator[None]:
        self._pauses = PATIENT
        try:
            yield
        finally:
            self._pauses = PAUSES

    def _open(self) -> None:
        files, base = FileSystem.from_uri(self.uri)
        self._files = SubTreeFileSystem(base.rstrip("/"), files)
        self._files.create_dir("units", recursive=True)

    def _info(self, name: str) -> FileInfo:
        return self._reach(lambda: self._files.get_file_info(name))

    def _list(self, directory: str, *, recursive: bool = False) -> list[FileInfo]:
        """The files in a directory of the URI, which need not exist."""
        found = FileSelector(directory, allow_not_found=True, recursive=recursive)
        infos = self._reach(lambda: self._files.get_file_info(found))
        return [info for info in infos if info.type == FileType.File]

    def _read(self, name: str) -> bytes:
        def read() -> bytes:
            with self._files.open_input_stream(name) as file:
                return bytes(file.read())

        return self._reach(read)

    def _write(self, name: str, content: bytes) -> None:
        try:
            stream = self._files.open_output_stream(name)
        except FileNotFoundError:  # where there are directories
            self._files.create_dir(name.rpartition("/")[0], recursive=True)
            stream = self._files.open_output_stream(name)
        with stream:
            stream.write(content)
