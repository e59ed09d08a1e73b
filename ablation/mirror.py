"""Results at a URI (``s3://``, ``gs://``, ...): made in a directory of each node, kept at the URI.

An object store has neither locks nor renames, so a unit is made in a directory of the node on which
it runs; when it is done its files are copied to the URI, DONE last, and from there to whoever needs
them. What is at the URI looks as a results directory does, and can be copied to be one.

Claims and checkpoints do not go there: two drivers on two machines may do the same unit (with the
same bits), and a unit whose node is lost begins again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyarrow.fs import FileSystem, FileType

from ablation.plan import unit_key
from ablation.store import Store, write_atomically
from skelcon.data.importers import cache_directory
from skelcon.errors import UserError


@functools.lru_cache(maxsize=2)
def mirror_at(uri: str) -> Mirror:
    """The mirror of ``uri``, opened once per process."""
    return Mirror(uri)


class Mirror:
    """The results at a URI, and their copy in a directory of this node.

    Args:
        uri: any that pyarrow's file systems take.

    Raises:
        UserError: if there is no such place, or it cannot be written to.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        digest = hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]
        self.store = Store(cache_directory() / "mirrors" / digest)
        with self._reached():
            self._files, base = FileSystem.from_uri(uri)
            self._base = base.rstrip("/")
            self._files.create_dir(self._at("units"), recursive=True)

    # -- a driver --------------------------------------------------------------------------

    def fetch(self, keys: Iterable[str]) -> None:
        """Bring those units here that are done at the URI and not here."""
        with self._reached():
            for key in self._done(key for key in keys if not self.store.is_done(key)):
                self._fetch(key)

    def push_all(self, keys: Iterable[str], study: str) -> None:
        """Bring those units there that are done here and not at the URI, and a study's tables."""
        here = [key for key in keys if self.store.is_done(key)]
        with self._reached():
            there = set(self._done(here))
            for key in here:
                if key not in there:
                    self.push(key)
            root = self.store.results / study
            for path in sorted([*root.glob("*"), *root.glob("tensorboard/**/*")]):
                self._put(path, study, *path.relative_to(root).parts)

    def hand_out(self, key: str) -> None:
        """Let the node that works on the unit find its configuration, and no earlier failure."""
        with self._reached():
            self._put(self.store.directory(key) / "config.json", "units", key, "config.json")
            failed = self._at("units", key, "failed.json")
            if self._files.get_file_info(failed).type == FileType.File:
                self._files.delete_file(failed)

    def fetch_failure(self, key: str) -> None:
        """Bring here what a node has left of a unit that failed there."""
        with self._reached():
            for name in ("log.txt", "failed.json"):
                self._get(key, name)

    # -- a worker --------------------------------------------------------------------------

    def bring(self, key: str) -> None:
        """Make ready what this node needs to work on the unit."""
        self.store.directory(key).mkdir(parents=True, exist_ok=True)
        if not (self.store.directory(key) / "config.json").exists():
            self._get(key, "config.json")
        encoders = self.store.config(key).get("encoders", ())
        self.fetch(unit_key(each["pretrained"]) for each in encoders if "pretrained" in each)

    def push(self, key: str) -> None:
        """Copy a unit that is done to the URI."""
        done = self.store.directory(key) / "DONE"
        for name in (*json.loads(done.read_text()), "log.txt", "DONE"):
            self._put(self.store.directory(key) / name, "units", key, name)

    def push_failure(self, key: str) -> None:
        """Copy what a unit that failed has left."""
        for name in ("log.txt", "failed.json"):
            self._put(self.store.directory(key) / name, "units", key, name)

    # -- both ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """What goes wrong with the URI in this block is told in a line."""
        try:
            yield
        except UserError:
            raise
        except (OSError, ValueError, NotImplementedError) as error:
            if getattr(error, "filename", None):  # of this machine's own disk
                raise
            kept = (
                f"; what is done is in '{self.store.results}' as well, and the same command goes on"
            )
            raise UserError(
                f"--results {self.uri}: {' '.join(str(error).split())[:300]}"
                + (kept if self.store.units.is_dir() else "")
            ) from None

    def _at(self, *parts: str) -> str:
        return "/".join((self._base, *parts))

    def _done(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` that are done at the URI; all are asked for at once."""
        asked = list(keys)
        infos = self._files.get_file_info([self._at("units", key, "DONE") for key in asked])
        found = zip(asked, infos, strict=True)
        return [key for key, info in found if info.type == FileType.File]

    def _fetch(self, key: str) -> None:
        with self.store.locked(key) as directory:
            if self.store.is_done(key):  # by another process of this node
                return
            with self._files.open_input_stream(self._at("units", key, "DONE")) as file:
                done = file.read()
            for name in (*json.loads(done), "log.txt"):
                self._get(key, name)
            write_atomically(directory / "DONE", done)
            if self.store.damage(key, thorough=True) is not None:  # it is made anew
                (directory / "DONE").unlink()

    def _get(self, key: str, name: str) -> None:
        """Bring a file of a unit here, if there is one."""
        path = self._at("units", key, name)
        if self._files.get_file_info(path).type == FileType.File:
            with self._files.open_input_stream(path) as file:
                write_atomically(self.store.directory(key) / name, file.read())

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
