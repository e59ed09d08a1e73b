"""The processes that train one model on several devices, seen from rank 0.

The trial's process is rank 0. Only rank 0 writes, and it starts each epoch. Ranks 1 and up are its
child processes. They end with it, however it dies. If one of them dies, the unit fails with an
error that names the rank.
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
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
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
"""How long rank 0 may hang in a collective operation after a rank's death (as NCCL does)."""
NOTICE_SECONDS = 5.0
"""How long after a failed collective operation to look for a dead rank."""
LOG_LINES = 40
"""How many of a dead rank's last lines are kept."""
ABANDONED = 3
"""The exit code of a rank that ended because another one did."""


class RankError(RuntimeError):
    """A rank has died or does not answer."""


@dataclass(frozen=True)
class RankJob:
    """What the ranks train: a pre-training, on a packed data set, in the unit's directory.

    They start at ``epoch``, from the unit's checkpoint unless it is 0.
    """

    unit: PretrainUnit
    data: Path
    directory: Path
    epoch: int = 0


class WorkerGroup:
    """Ranks 1 and up of a unit, from their start to :meth:`close`.

    Args:
        options: how many, and what they load.
        job: what they train.
        device: of rank 0; the others take the next GPUs, or the CPU too.
        stuck: ends the process; called with the error if rank 0 hangs after another rank has died.

    Raises:
        RankError: if a rank cannot start.
    """

    def __init__(
        self,
        options: GroupOptions,
        job: RankJob,
        device: torch.device,
        stuck: Callable[[Exception], None],
    ) -> None:
        size, gpus = options.world_size, torch.cuda.device_count()
        if device.type == "cuda" and gpus < size:
            raise RankError(f"--gpus-per-trial {size}: this worker sees {gpus} GPUs")
        self._options, self._stuck = options, stuck
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._workers: list[_Worker] = []
        with contextlib.ExitStack() as stack:
            stack.callback(self._over.set)  # called last: the ranks are watched until then
            scratch = tempfile.TemporaryDirectory(prefix="skelcon-ranks-")
            place = Path(stack.enter_context(scratch))
            stack.callback(self._kill)
            # At exit multiprocessing would wait for the ranks, which ignore its SIGTERM.
            atexit.register(self._kill)
            stack.callback(atexit.unregister, self._kill)
            for rank in range(1, size):
                name = f"cuda:{rank}" if device.type == "cuda" else str(device)
                spec = _Rank(rank, options, job, name, torch.get_num_threads(), place)
                self._workers.append(_Worker(spec))
            self._wait_until_ready()
            threading.Thread(target=self._watch, daemon=True).start()
            team, meeting = ProcessGroup(0, size), place / "meeting"
            try:
                stack.enter_context(process_group(team, meeting, device, options.timeout))
            except RuntimeError as error:
                raise self._dead() or error from None
            self._stack = stack.pop_all()

    @property
    def processes(self) -> dict[int, int]:
        """Rank -> process number, of ranks 1 and up."""
        return {worker.rank: worker.process.pid or 0 for worker in self._workers}

    def run_epoch(self, training: Pretraining) -> EpochMetrics:
        """``training.run_epoch()`` on all ranks.

        Raises:
            RankError: if one of them has died, or does not answer.
        """
        try:
            for worker in self._workers:
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
        """End the ranks, even in the middle of an epoch."""
        for worker in self._workers:
            with contextlib.suppress(OSError):  # it has died, or was killed
                worker.pipe.send("end")
        if self._failure is None:
            self._stack.close()
            return
        # NCCL may wait for the dead ranks again.
        guard = threading.Timer(GRACE_SECONDS, self._stuck, (self._failure,))
        guard.daemon = True
        guard.start()
        self._stack.close()
        guard.cancel()

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        for worker in self._workers:
            ready = False
            while not ready:
                if lost := self._dead():
                    raise lost
                if time.monotonic() > give_up:
                    seconds = f"{START_SECONDS:g} s"
                    raise RankError(f"{self._name(worker.rank)} did not start in {seconds}")
                with contextlib.suppress(EOFError, OSError):  # it is dying: the next check sees it
                    ready = worker.pipe.poll(0.02) and worker.pipe.recv() == "ready"

    def _name(self, rank: int | str) -> str:
        return f"rank {rank} of {self._options.world_size}"

    def _cause(self, error: BaseException) -> RankError | None:
        """The rank that made a collective operation fail; None if ``error`` is rank 0's own."""
        if isinstance(error, torch.OutOfMemoryError):
            return None
        if not isinstance(error, RuntimeError | OSError):
            return None
        give_up = time.monotonic() + NOTICE_SECONDS
        while time.monotonic() < give_up:
            if lost := self._dead():
                return lost
            time.sleep(0.05)
        if "timed out" not in str(error).lower():
            return None
        others = " or ".join(str(worker.rank) for worker in self._workers)
        return RankError(f"{self._name(others)} gave no answer for {self._options.timeout:g} s")

    def _dead(self) -> RankError | None:
        """Which rank has died and why; if several have, the one that made the others end."""
        codes = {worker: worker.process.exitcode for worker in self._workers}
        dead = [(worker, code) for worker, code in codes.items() if code is not None]
        if not dead:
            return None
        worker, code = min(dead, key=lambda each: (each[1] == ABANDONED, each[1] > 0))
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        text = (
            worker.log.read_text(encoding="utf-8", errors="replace") if worker.log.exists() else ""
        )
        lines = text.strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        lost = RankError(f"{self._name(worker.rank)} {how}{last}")
        if lines:  # into the unit's log, behind rank 0's own
            lost.add_note("\n".join([f"rank {worker.rank} said:", *lines[-LOG_LINES:]]))
        return lost

    def _kill(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _watch(self) -> None:
        """In a thread: end this process if a rank has died and the main thread does not notice."""
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


@dataclass(frozen=True)
class _Rank:
    """What a rank's process gets."""

    rank: int
    options: GroupOptions
    job: RankJob
    device: str
    threads: int
    place: Path  # a directory for all ranks


class _Worker:
    """A rank's process, seen from rank 0."""

    def __init__(self, spec: _Rank) -> None:
        self.rank, self.log = spec.rank, spec.place / f"{spec.rank}.log"
        context = torch.multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_run, args=(spec, self.log, theirs), daemon=True)
        self.process.start()
        theirs.close()  # so that each end notices when the other one is gone


def _run(spec: _Rank, path: Path, pipe: connection.Connection) -> None:
    """In the new process: train an epoch for each message "epoch", until "end"."""
    for sent in SIGNALS:  # rank 0 gets the same signals, and handles them
        signal.signal(sent, signal.SIG_IGN)
    with path.open("wb", buffering=0) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, messages), daemon=True).start()
    try:
        _train(spec, pipe, messages)
    except RuntimeError as error:
        lost = re.search("gloo|nccl|connection|timed out", str(error), re.IGNORECASE)
        if lost is None or isinstance(error, torch.OutOfMemoryError):
            raise
        sys.exit(ABANDONED)


def _train(spec: _Rank, pipe: connection.Connection, messages: queue.SimpleQueue[str]) -> None:
    options, job, device = spec.options, spec.job, torch.device(spec.device)
    prepare(spec.threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    load_plugins(options.plugins, options.directory)
    team = ProcessGroup(spec.rank, options.world_size)
    training = pretraining_of(job.unit, *bank_of(job.unit.side, job.data, spec.device), team)
    if job.epoch:
        state = torch.load(job.directory / CHECKPOINT, map_location=device, weights_only=True)
        training.load_state_dict(state["training"])
    if training.epoch != job.epoch:
        raise RuntimeError(f"the checkpoint is of epoch {training.epoch}, not {job.epoch}")
    pipe.send("ready")
    with process_group(team, spec.place / "meeting", device, options.timeout):
        while messages.get() == "epoch":
            training.run_epoch()


def _listen(pipe: connection.Connection, messages: queue.SimpleQueue[str]) -> None:
    """In a thread: pass messages on; end this process when rank 0 has died."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            messages.put(pipe.recv())
    os._exit(ABANDONED)
