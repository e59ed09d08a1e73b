"""Parts made in several processes.

Each worker is a Python of its own that is told numbers of parts, one at a time, on its standard
input and answers each when it is done: nothing but text passes between them, and nothing of the
caller is run again in them (as `multiprocessing` would run its main module).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from skelcon.data.importers.parts import ImportOptions
from skelcon.data.importers.source import Source
from skelcon.errors import UserError


def write_parts(
    directory: Path, numbers: list[int], source: Source, options: ImportOptions, count: int
) -> Iterator[int]:
    """Make the parts ``numbers`` in ``count`` processes; gives each number when it is done.

    Raises:
        UserError: if a worker ended before its work was done.
    """
    (directory / "options.json").write_text(options.model_dump_json())
    command = [
        sys.executable, "-m", "skelcon.data.importers.worker",
        str(directory), source.family, str(source.path),
    ]  # fmt: skip
    path = os.pathsep.join(entry or "." for entry in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1",
                   "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
    waiting = iter(numbers)
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(count):
            worker = stack.enter_context(_worker(command, environment))
            selector.register(worker.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
            _tell(worker, next(waiting, None))
        while selector.get_map():
            for key, _ in selector.select():
                worker = key.data
                answer = worker.stdout.readline()
                if answer:
                    yield int(answer)
                    _tell(worker, next(waiting, None))
                    continue
                selector.unregister(worker.stdout)
                code = worker.wait()
                if code:
                    raise UserError(_ended(code, worker))


def _ended(code: int, worker: subprocess.Popen[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return (
            f"a process of the import was ended by {name} (out of memory?): the same command "
            "goes on from here"
        )
    last = (worker.stderr.read().strip().splitlines() if worker.stderr else []) or ["no word"]
    return f"a process of the import ended with exit code {code}: {last[-1]}"


@contextlib.contextmanager
def _worker(
    command: list[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:  # fmt: skip
    """A worker that is gone when the block ends, however it ends."""
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, bufsize=1, env=environment,
    )  # fmt: skip
    try:
        yield worker
    finally:
        worker.kill()
        for stream in (worker.stdin, worker.stdout, worker.stderr):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        worker.wait()


def _tell(worker: subprocess.Popen[str], number: int | None) -> None:
    """Give a worker its next part, or nothing more to do."""
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended: its exit code says why
        if number is None:
            worker.stdin.close()
        else:
            worker.stdin.write(f"{number}\n")
            worker.stdin.flush()
