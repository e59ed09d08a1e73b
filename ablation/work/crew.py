"""The other processes of a pre-training that several devices share, seen from the trial's own.

The trial's process is rank 0: it alone writes, and it tells the others each epoch. They are its
children (`ablation.work.crew_member`), end when it ends, and one that dies ends the unit with an
error that names it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from skelcon.pretrain import EpochMetrics, Pretraining
from skelcon.pretrain.distributed import ANSWER_SECONDS, Team, joined

START_SECONDS = 300.0
"""How long the ranks may take to load what they train on."""
GRACE_SECONDS = 20.0
"""How long after a rank's death rank 0 may wait in an exchange (NCCL does not tell it)."""
NOTICE_SECONDS = 5.0
"""How long after a failed exchange it is looked for who died."""
LOG_LINES = 40
"""How many of a dead rank's last lines are kept."""
ABANDONED = 3
"""The exit code of a rank that another one has left alone: not the cause."""


class RankError(RuntimeError):
    """A rank has died or does not answer."""


@dataclass(frozen=True)
class Ranks:
    """Among how many processes a pre-training is divided, and what each of them loads.

    ``directory`` is where ``plugins`` are looked for; ``answer`` is how many seconds a rank waits
    for another's part of a step.
    """

    size: int = 1
    plugins: tuple[str, ...] = ()
    directory: Path = field(default_factory=Path)
    answer: float = ANSWER_SECONDS


@dataclass(frozen=True)
class Job:
    """What the ranks train: a unit's configuration, its packed data, and its directory.

    They go on at ``epoch``, from the unit's checkpoint if that is not the start.
    """

    config: dict[str, Any]
    data: Path
    unit: Path
    epoch: int = 0


class Crew:
    """Ranks 1 and up of a unit, from their start to :meth:`close`.

    Args:
        ranks: how many, and what they load.
        job: what they train.
        device: of rank 0; the others take the next GPUs, or the CPU as well.
        stuck: is told of what rank 0 does not come back from by itself; to end the process.

    Raises:
        RankError: if a rank cannot start.
    """

    def __init__(
        self,
        ranks: Ranks,
        job: Job,
        device: torch.device,
        stuck: Callable[[Exception], None],
    ) -> None:
        if device.type == "cuda" and torch.cuda.device_count() < ranks.size:
            raise RankError(
                f"--gpus-per-trial {ranks.size}: this worker sees {torch.cuda.device_count()} GPUs"
            )
        self._ranks, self._job, self._stuck = ranks, job, stuck
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._stack = contextlib.ExitStack()
        self._children: dict[int, subprocess.Popen[str]] = {}
        try:
            self._stack.callback(self._over.set)  # the last: the watch lasts until all is closed
            self._place = Path(
                self._stack.enter_context(tempfile.TemporaryDirectory(prefix="skelcon-ranks-"))
            )
            self._stack.callback(self._kill)
            for rank in range(1, ranks.size):
                self._start(rank, device)
            self._wait_until_ready()
            threading.Thread(target=self._watch, daemon=True).start()
            self._stack.enter_context(self._connected(device))
        except BaseException:
            self._kill()
            self._stack.close()
            raise

    @property
    def processes(self) -> dict[int, int]:
        """Rank -> process number, of ranks 1 and up."""
        return {rank: child.pid for rank, child in self._children.items()}

    def run_epoch(self, training: Pretraining) -> EpochMetrics:
        """``training.run_epoch()`` on all ranks.

        Raises:
            RankError: if one of them has died, or does not answer.
        """
        try:
            for child in self._children.values():
                self._tell(child, "epoch")
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
        """Let the ranks go; at once if they are in the middle of something."""
        for child in self._children.values():
            with contextlib.suppress(OSError, ValueError):  # it has died, or was killed
                self._tell(child, "end")
        if self._failure is None:
            self._stack.close()
            return
        # NCCL may wait for those who are dead once more.
        guard = threading.Timer(GRACE_SECONDS, self._stuck, (self._failure,))
        guard.daemon = True
        guard.start()
        self._stack.close()
        guard.cancel()

    def _start(self, rank: int, device: torch.device) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with (self._place / f"{rank}.log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "ablation.work.crew_member"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                text=True,
            )
        self._children[rank] = child
        told = {
            "config": self._job.config,
            "data": str(self._job.data),
            "checkpoint": str(self._job.unit / "checkpoint.pt") if self._job.epoch else None,
            "epoch": self._job.epoch,
            "rank": rank,
            "size": self._ranks.size,
            "place": str(self._place),
            "device": f"cuda:{rank}" if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "plugins": self._ranks.plugins,
            "directory": str(self._ranks.directory),
            "answer": self._ranks.answer,
        }
        with contextlib.suppress(BrokenPipeError):  # it has died: that is seen next
            self._tell(child, json.dumps(told))

    @staticmethod
    def _tell(child: subprocess.Popen[str], word: str) -> None:
        assert child.stdin is not None
        child.stdin.write(f"{word}\n")
        child.stdin.flush()

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while waited := [r for r in self._children if not (self._place / f"{r}.ready").exists()]:
            self._raise_if_dead()
            if time.monotonic() > give_up:
                raise RankError(
                    f"rank {waited[0]} of {self._ranks.size} did not start in {START_SECONDS:g} s"
                )
            time.sleep(0.02)

    @contextlib.contextmanager
    def _connected(self, device: torch.device) -> Iterator[None]:
        team, meeting = Team(0, self._ranks.size), self._place / "meeting"
        try:
            with joined(team, meeting, device, self._ranks.answer):
                yield
        except RuntimeError:
            self._raise_if_dead()
            raise

    def _raise_if_dead(self) -> None:
        if lost := self._dead():
            raise lost

    def _cause(self, error: BaseException) -> RankError | None:
        """The rank that an exchange failed of; None if ``error`` is rank 0's own."""
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
            others = " or ".join(map(str, self._children))
            return RankError(
                f"rank {others} of {self._ranks.size} gave no answer for {self._ranks.answer:g} s"
            )
        return None

    def _dead(self) -> RankError | None:
        """Which rank has died and of what: that which was not left by another one, if any."""
        codes = {rank: child.poll() for rank, child in self._children.items()}
        dead = {rank: code for rank, code in codes.items() if code is not None}
        if not dead:
            return None
        rank, code = min(dead.items(), key=lambda each: (each[1] == ABANDONED, each[1] > 0))
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        lines = (self._place / f"{rank}.log").read_text(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        lost = RankError(f"rank {rank} of {self._ranks.size} {how}{last}")
        if lines:  # into the unit's log, behind rank 0's own
            lost.add_note("\n".join([f"rank {rank} said:", *lines[-LOG_LINES:]]))
        return lost

    def _kill(self) -> None:
        for child in self._children.values():
            with contextlib.suppress(OSError):
                assert child.stdin is not None
                child.stdin.close()  # who is not in the middle of an epoch leaves
        for child in self._children.values():
            child.kill()
            child.wait()

    def _watch(self) -> None:
        """End the process if a rank dies and the main thread does not come to know of it."""
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
