"""Other processes: a pool that writes the parts of an import, and one that reads a risky file.

All of them are started by a fork server, so that nothing of the caller (threads, torch, a GPU)
is copied into them.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from skelcon.data.importers.files import check_file
from skelcon.data.importers.parts import PartWriter, keep_freed_memory
from skelcon.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext

T = TypeVar("T")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_start_lock = threading.Lock()


class WorkersEndError(UserError):
    """The workers end before they read a file; the parts that are done are kept."""


def _context() -> ForkServerContext:
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "psutil"])
    return context


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """While processes start: the caller's main module is hidden, and one thread each is set.

    multiprocessing would import the main module again in every process. That runs a script that
    has no ``if __name__ == "__main__"``, and costs the import of torch where there is one.
    """
    with _start_lock:
        main = sys.modules["__main__"]
        added = {name: one for name, one in _ONE_THREAD.items() if name not in os.environ}
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.update(added)
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            for name in added:
                del os.environ[name]


# A pool that writes parts.

_writer: PartWriter | None = None
"""In a worker: what it writes parts with."""


def write_parts(writer: PartWriter, numbers: Iterable[int], workers: int) -> Generator[int]:
    """Write the parts ``numbers`` in a pool of processes; yields each number when it is done.

    A worker that dies (killed, out of memory) breaks the pool. The parts that were being written
    then are written one at a time: if the worker dies again, the file that it was reading is
    skipped.

    Raises:
        WorkersEndError: if workers end before they have read a file.
    """
    waiting = deque(numbers)
    fatal: dict[int, set[int]] = {}
    while waiting:
        suspects = yield from _run_pool(writer, waiting, workers, fatal)
        while suspects:
            number = suspects[0]
            writer.journal(number).unlink(missing_ok=True)
            if (yield from _run_pool(writer, deque([number]), 1, fatal)):
                item = writer.item_being_read(number)
                if item is None:
                    raise WorkersEndError(
                        "the workers of the import end before they read a file (out of memory?): "
                        "run the same command to resume"
                    )
                fatal.setdefault(number, set()).add(item)
            else:
                del suspects[0]


def _run_pool(
    writer: PartWriter, waiting: deque[int], workers: int, fatal: dict[int, set[int]]
) -> Generator[int, None, list[int]]:
    """Write the parts ``waiting``; returns those that were being written when the pool broke."""
    from concurrent.futures import FIRST_COMPLETED, wait
    from concurrent.futures.process import BrokenProcessPool

    running: dict[Future[None], int] = {}
    with _pool(writer, workers) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    with _starting():
                        part = pool.submit(_write_part, waiting[0], fatal.get(waiting[0], set()))
                    running[part] = waiting.popleft()
                for part in wait(running, return_when=FIRST_COMPLETED).done:
                    part.result()
                    yield running.pop(part)
        except BrokenProcessPool:
            return list(running.values())
    return []


@contextlib.contextmanager
def _pool(writer: PartWriter, workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end when the block does, at once, or when this process dies."""
    from concurrent.futures import ProcessPoolExecutor

    context = _context()
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (writer, theirs))
    try:
        yield pool
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


def _start_worker(writer: PartWriter, alive: Connection) -> None:
    global _writer  # noqa: PLW0603  (the pool has no other way to give a worker what it needs)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends its workers
    os.dup2(2, 1)  # what a library prints is not the command's output
    threading.Thread(target=_exit_when_closed, args=(alive,), daemon=True).start()
    keep_freed_memory()
    _writer = writer


def _exit_when_closed(alive: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        alive.recv()
    os._exit(1)


def _write_part(number: int, fatal: set[int]) -> None:
    assert _writer is not None
    _writer.write(number, fatal=fatal)


# A process that reads a risky file.


def isolated(
    function: Callable[[Path], Iterator[T]],
    path: Path,
    *,
    memory: int = 512 << 20,
    seconds: int = 30,
) -> Generator[T]:
    """What ``function(path)`` yields, in a process of limited memory and time.

    Args:
        function: a generator function of a module. It runs a little ahead of the caller.
        path: the file that it reads.
        memory: bytes that it may take, beside three times the size of the file.
        seconds: of processor time, beside one for each 10 MB of the file.

    Raises:
        ValueError, OSError: if the function raises it, runs out of memory or time, or crashes, or
            ``path`` is no file.
    """
    check_file(path)
    size = path.stat().st_size
    limits = memory + 3 * size, seconds + size // 10**7
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_all, args=(sender, function, path, *limits), daemon=True)
    with sender, _starting():
        process.start()
    try:
        with receiver:
            for value in iter(partial(_received, receiver, process), _END):
                if isinstance(value, Exception):
                    raise value
                yield value
    finally:
        process.kill()
        process.join()
        process.close()


_END = "end of values"


def _received(receiver: Connection, process: Any) -> Any:
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGXCPU:
            return ValueError("takes too long to read for its size: refused")
        return ValueError(
            "reading it ended its process: it is damaged, or there is too little memory"
        )


def _send_all(
    sender: Connection,
    function: Callable[[Path], Iterator[Any]],
    path: Path,
    memory: int,
    seconds: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):  # the reader has stopped
        try:
            _limit(memory, seconds)
            for value in function(path):
                sender.send(value)
        except MemoryError:
            sender.send(ValueError(f"needs more memory than {memory >> 20} MiB: refused"))
        except (ValueError, OSError) as error:
            sender.send(error)
        else:
            sender.send(_END)


def _limit(memory: int, seconds: int) -> None:
    """Limit this process to so much more memory and processor time than it has taken."""
    import psutil

    process = psutil.Process()
    space = process.memory_info().vms + memory
    spent = int(sum(process.cpu_times()[:2]))
    for kind, limit in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_CPU, spent + seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(kind, (limit, hard))
