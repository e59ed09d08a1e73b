"""Parts made in several processes.

Each worker is a Python of its own that is told numbers of parts, one at a time, on its standard
input and answers each when it is done: nothing but text passes between them, and nothing of the
caller is run again in them (as `multiprocessing` would run its main module).

Workers hold the lock of the import together with who started them. Where that one is killed they
see their input end and stop behind the part they are at, and only then another import begins.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from skelcon.data.importers.parts import ImportOptions, files_digest
from skelcon.data.importers.source import Source
from skelcon.errors import UserError


class WorkerEndedError(UserError):
    """A worker ended before its work was done; the parts that are done are still good."""


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    words: IO[bytes]
    """What it writes to its standard error: a file, which never fills up as a pipe does."""
    busy: bool = False

    def tell(self, number: int | None) -> None:
        """Give the worker its next part, or nothing more to do."""
        assert self.process.stdin is not None
        self.busy = number is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: its exit code says why
            if number is None:
                self.process.stdin.close()
            else:
                self.process.stdin.write(f"{number}\n")
                self.process.stdin.flush()


def write_parts(
    directory: Path,
    numbers: list[int],
    source: Source,
    options: ImportOptions,
    count: int,
    lock: int,
) -> Generator[int]:
    """Make the parts ``numbers`` in ``count`` processes; gives each number when it is done.

    Raises:
        WorkerEndedError: if a worker ended before its work was done.
    """
    (directory / "options.json").write_text(options.model_dump_json())
    (directory / "files").write_text(files_digest(source))
    command = [
        sys.executable,
        "-m",
        "skelcon.data.importers.worker",
        str(directory),
        source.family,
        str(source.path),
    ]
    waiting = iter(numbers)
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(count):
            worker = stack.enter_context(_worker(command, lock))
            assert worker.process.stdout is not None
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            worker.tell(next(waiting, None))
        while selector.get_map():
            for key, _ in selector.select():
                worker = key.data
                answer = worker.process.stdout.readline()
                if answer:
                    yield int(answer)
                    worker.tell(next(waiting, None))
                    continue
                selector.unregister(key.fileobj)
                if worker.process.wait() or worker.busy:
                    raise WorkerEndedError(_ended(worker))


def _ended(worker: _Worker) -> str:
    code = worker.process.returncode
    if code < 0:
        name = signal.Signals(-code).name
        return (
            f"a process of the import was ended by {name} (out of memory?): the same command "
            "goes on from here"
        )
    worker.words.seek(max(0, worker.words.seek(0, os.SEEK_END) - 4096))
    lines = worker.words.read().decode(errors="replace").strip().splitlines()
    return f"a process of the import ended with exit code {code}: {(lines or ['no word'])[-1]}"


@contextlib.contextmanager
def _worker(command: list[str], lock: int) -> Iterator[_Worker]:
    """A worker that is gone when the block ends, however it ends."""
    path = os.pathsep.join(entry or "." for entry in sys.path)
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            env=environment,
            pass_fds=(lock,),
        )
        try:
            yield _Worker(process, words)
        finally:
            process.kill()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            process.wait()
