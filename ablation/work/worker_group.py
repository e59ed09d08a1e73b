"""The processes that train one model on several devices, seen from rank 0.

The trial's process is rank 0: it alone writes, and starts each epoch. Ranks 1 and up are its
children. They end when it ends, however it dies, and one that dies ends the unit with an error that
names it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch
import torch.multiprocessing

from ablation.interrupts import SIGNALS
from ablation.store.unit_files import CHECKPOINT
from ablation.units import PretrainUnit
from ablation.work.context import GroupOptions
from ablation.work.kinds import bank_of, pretraining_of
from ablation.work.process import prepare
from skelcon.plugins import load_plugins
from skelcon.pretrain import EpochMetrics, Pretraining
from skelcon.pretrain.distributed import ProcessGroup, process_group

START_SECONDS = 300.0
"""How long the ranks may take to load what they train on."""
GRACE_SECONDS = 20.0
"""How long after a rank's death rank 0 may wait in a collective (NCCL does not notice it)."""
NOTICE_SECONDS = 5.0
"""How long after a failed collective a dead rank is looked for."""
LOG_LINES = 40
"""How many of a dead rank's last lines are kept."""
ABANDONED = 3
"""The exit code of a rank that ended because another one did."""


class RankError(RuntimeError):
    """A rank has died or does not answer."""


@dataclass(frozen=True)
class Job:
    """What the ranks train.

    Attributes:
        unit: the pre-training.
        data: its packed data set.
        directory: the unit's.
        epoch: where they start; from the unit's checkpoint unless that is 0.
    """

    unit: PretrainUnit
    data: Path
    directory: Path
    epoch: int = 0


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    pipe: connection.Connection
    log: Path


class WorkerGroup:
    """Ranks 1 and up of a unit, from their start to :meth:`close`.

    Args:
        options: how many, and what they load.
        job: what they train.
        device: of rank 0; the others take the next GPUs, or the CPU as well.
        stuck: is called with the error if rank 0 hangs after another one's death; to end the
            process.

    Raises:
        RankError: if a rank cannot start.
    """

    def __init__(
        self,
        options: GroupOptions,
        job: Job,
        device: torch.device,
        stuck: Callable[[Exception], None],
    ) -> None:
        size = options.world_size
        if device.type == "cuda" and torch.cuda.device_count() < size:
            raise RankError(
                f"--gpus-per-trial {size}: this worker sees {torch.cuda.device_count()} GPUs"
            )
        self._options, self._stuck = options, stuck
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._workers: dict[int, _Worker] = {}
        self._stack = contextlib.ExitStack()
        try:
            self._stack.callback(self._over.set)  # the last: the watch lasts until all is closed
            scratch = tempfile.TemporaryDirectory(prefix="skelcon-ranks-")
            place = Path(self._stack.enter_context(scratch))
            self._stack.callback(self._kill)
            # At exit multiprocessing would wait for ranks that ignore its SIGTERM.
            atexit.register(self._kill)
            self._stack.callback(atexit.unregister, self._kill)
            for rank in range(1, size):
                name = f"cuda:{rank}" if device.type == "cuda" else str(device)
                threads = torch.get_num_threads()
                self._workers[rank] = _Rank(rank, options, job, name, threads, place).start()
            self._wait_until_ready()
            threading.Thread(target=self._watch, daemon=True).start()
            self._stack.enter_context(self._connected(place, device))
        except BaseException:
            self._kill()
            self._stack.close()
            raise

    @property
    def processes(self) -> dict[int, int]:
        """Rank -> process number, of ranks 1 and up."""
        return {rank: worker.process.pid or 0 for rank, worker in self._workers.items()}

    def run_epoch(self, training: Pretraining) -> EpochMetrics:
        """``training.run_epoch()`` on all ranks.

        Raises:
            RankError: if one of them has died, or does not answer.
        """
        try:
            for worker in self._workers.values():
                worker.pipe.send("epoch")
            return training.run_epoch()
        except BaseException as error:
            lost = self._cause(error)
            failure = lost or error
            self._failure = failure if isinstance(failure, Exception) else None
            self._over.set()
            self._kill()
            if lost is None:
                raise
            raise lost from error

    def close(self) -> None:
        """End the ranks; at once if they are in the middle of something."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):  # it has died, or was killed
                worker.pipe.send("end")
        if self._failure is None:
            self._stack.close()
            return
        # NCCL may wait for dead ranks once more.
        guard = threading.Timer(GRACE_SECONDS, self._stuck, (self._failure,))
        guard.daemon = True
        guard.start()
        self._stack.close()
        guard.cancel()

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        waiting = {worker.pipe: rank for rank, worker in self._workers.items()}
        while waiting:
            self._raise_if_dead()
            if time.monotonic() > give_up:
                rank = min(waiting.values())
                raise RankError(
                    f"rank {rank} of {self._options.world_size} did not start in "
                    f"{START_SECONDS:g} s"
                )
            for pipe in [each for each in waiting if each.poll(0.02)]:
                try:
                    pipe.recv()
                    del waiting[pipe]
                except (EOFError, OSError):  # it is dying, which is seen next
                    time.sleep(0.02)

    @contextlib.contextmanager
    def _connected(self, place: Path, device: torch.device) -> Iterator[None]:
        team = ProcessGroup(0, self._options.world_size)
        try:
            with process_group(team, place / "meeting", device, self._options.timeout):
                yield
        except RuntimeError:
            self._raise_if_dead()
            raise

    def _raise_if_dead(self) -> None:
        if lost := self._dead():
            raise lost

    def _cause(self, error: BaseException) -> RankError | None:
        """The rank that made a collective fail; None if ``error`` is rank 0's own."""
        if not isinstance(error, RuntimeError | OSError) or isinstance(
            error, torch.OutOfMemoryError
        ):
            return None
        give_up = time.monotonic() + NOTICE_SECONDS
        while time.monotonic() < give_up:
            if lost := self._dead():
                return lost
            time.sleep(0.05)
        if "timed out" in str(error).lower():
            others = " or ".join(map(str, self._workers))
            return RankError(
                f"rank {others} of {self._options.world_size} gave no answer for "
                f"{self._options.timeout:g} s"
            )
        return None

    def _dead(self) -> RankError | None:
        """Which rank has died and why: the first cause, if several have."""
        codes = {rank: worker.process.exitcode for rank, worker in self._workers.items()}
        dead = [(rank, code) for rank, code in codes.items() if code is not None]
        if not dead:
            return None
        rank, code = min(dead, key=lambda each: (each[1] == ABANDONED, each[1] > 0))
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        log = self._workers[rank].log
        text = log.read_text(errors="replace") if log.exists() else ""
        lines = text.strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        lost = RankError(f"rank {rank} of {self._options.world_size} {how}{last}")
        if lines:  # into the unit's log, behind rank 0's own
            lost.add_note("\n".join([f"rank {rank} said:", *lines[-LOG_LINES:]]))
        return lost

    def _kill(self) -> None:
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.pipe.close()

    def _watch(self) -> None:
        """End this process if a rank has died and the main thread does not notice."""
        while not self._over.wait(0.5):
            lost = self._dead()
            if lost is not None and not self._over.wait(GRACE_SECONDS):
                self._stuck(lost)
                return


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# -- the other ranks ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rank:
    """A process that trains as rank 0 says; ``place`` is a directory that all ranks share."""

    rank: int
    options: GroupOptions
    job: Job
    device: str
    threads: int
    place: Path

    @property
    def log(self) -> Path:
        return self.place / f"{self.rank}.log"

    def start(self) -> _Worker:
        context = torch.multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        ours, theirs = context.Pipe()
        name = f"rank {self.rank}"
        process = context.Process(target=self.run, args=(theirs,), name=name, daemon=True)
        process.start()
        theirs.close()  # so that either end sees when the other one is gone
        return _Worker(process, ours, self.log)

    def run(self, pipe: connection.Connection) -> None:
        """In the new process: train an epoch for each word "epoch", until "end"."""
        for sent in SIGNALS:  # to the whole group: rank 0 handles them
            signal.signal(sent, signal.SIG_IGN)
        with self.log.open("wb", buffering=0) as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        words: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(pipe, words), daemon=True).start()
        try:
            self._train(pipe, words)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or not re.search(
                "gloo|nccl|connection|timed out", str(error), re.IGNORECASE
            ):
                raise
            sys.exit(ABANDONED)

    def _train(self, pipe: connection.Connection, words: queue.SimpleQueue[str]) -> None:
        options, job, device = self.options, self.job, torch.device(self.device)
        prepare(self.threads)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        load_plugins(options.plugins, options.directory)
        team = ProcessGroup(self.rank, options.world_size)
        dataset, bank = bank_of(job.unit.side, job.data, str(device))
        training = pretraining_of(job.unit, dataset, bank, team)
        if job.epoch:
            state = torch.load(job.directory / CHECKPOINT, map_location=device, weights_only=True)
            training.load_state_dict(state["training"])
        if training.epoch != job.epoch:
            raise RuntimeError(f"the checkpoint is of epoch {training.epoch}, not {job.epoch}")
        pipe.send("ready")
        with process_group(team, self.place / "meeting", device, options.timeout):
            while words.get() == "epoch":
                training.run_epoch()


def _listen(pipe: connection.Connection, words: queue.SimpleQueue[str]) -> None:
    """Pass words on; when rank 0 has died, end this process, whatever it does."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            words.put(pipe.recv())
    os._exit(ABANDONED)
