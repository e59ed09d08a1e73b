"""The record of a search: ``trials.jsonl``, a line for each thing that happened. It is the truth.

Lines are only ever appended, each in one write, by the driver and by the workers:

    {"event": "started", "trial": 3, "parameters": {...}, "units": [pre-training, evaluation]}
    {"event": "report", "trial": 3, "epoch": 8, "value": 0.41, "seconds": 2.1, "parameters": {...}}
    {"event": "ended", "trial": 3, "state": "completed", "reason": ""}

A trial that has not ended goes on from its checkpoint when the command is given again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from skelcon.errors import UserError

Ended = Literal["completed", "stopped", "diverged", "failed"]
State = Ended | Literal["unfinished"]


@dataclass(frozen=True)
class Report:
    """A trial's number on the validation side after ``epoch`` epochs."""

    epoch: int
    value: float
    seconds: float


@dataclass
class Trial:
    """What is known of a trial.

    Attributes:
        parameters: the searched settings; under PBT the last ones.
        first: those it started with.
        units: the keys of its pre-training and its evaluation; none under PBT.
        state: ``completed``, ``stopped`` by the scheduler, ``diverged`` (its loss or features were
            not finite), ``failed`` or ``unfinished``.
    """

    number: int
    parameters: dict[str, Any]
    first: dict[str, Any]
    units: tuple[str, ...] = ()
    reports: list[Report] = field(default_factory=list)
    state: State = "unfinished"
    reason: str = ""

    @property
    def epoch(self) -> int:
        """The epoch of its last report; 0 if there is none."""
        return self.reports[-1].epoch if self.reports else 0

    @property
    def value(self) -> float | None:
        """Its last number: early ones of a trial are not compared with late ones of another."""
        return self.reports[-1].value if self.reports else None

    @property
    def seconds(self) -> float:
        """How long it has worked."""
        return sum(report.seconds for report in self.reports)


class Record:
    """The record under ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "trials.jsonl"
        self._found: dict[int, Trial] = {}
        self._bytes = self._lines = 0  # that have been read

    def started(self, number: int, parameters: dict[str, Any], units: tuple[str, ...]) -> None:
        """A trial has been thought of."""
        self._append(event="started", trial=number, parameters=parameters, units=list(units))

    def reported(self, number: int, report: Report, parameters: dict[str, Any]) -> None:
        """A trial has been evaluated; under PBT with other ``parameters`` than at its start."""
        self._append(
            event="report",
            trial=number,
            epoch=report.epoch,
            value=report.value,
            seconds=round(report.seconds, 3),
            parameters=parameters,
        )

    def ended(self, number: int, state: Ended, reason: str = "") -> None:
        """A trial is over."""
        self._append(event="ended", trial=number, state=state, reason=reason)

    def trials(self) -> list[Trial]:
        """All trials, in the order of their numbers; copies.

        Raises:
            UserError: if a line is damaged; a torn last one is what a crash leaves, and is left
                out.
        """
        self._read()
        return [_copy(self._found[number]) for number in sorted(self._found)]

    def trial(self, number: int) -> Trial:
        """One of them."""
        self._read()
        return _copy(self._found[number])

    def _read(self) -> None:
        """Take in the lines that were appended since the last time."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self._bytes:  # another file
            self._found, self._bytes, self._lines = {}, 0, 0
        if size == self._bytes:
            return
        with self.path.open("rb") as file:
            file.seek(self._bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    if line.strip():
                        _apply(json.loads(line), self._found)
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        f"'{self.path}', line {self._lines + 1}: damaged ({error!r}); take the "
                        f"line out, or delete '{self.directory}' to begin anew"
                    ) from None
                self._bytes += len(line)
                self._lines += 1

    def _append(self, **values: Any) -> None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        line = json.dumps({**values, "at": now}, allow_nan=False).encode() + b"\n"
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            if torn:  # what a crash has left of a line is cut off
                whole = self.path.read_bytes().rfind(b"\n") + 1
                os.ftruncate(handle, whole)
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)


def _copy(trial: Trial) -> Trial:
    return replace(trial, reports=list(trial.reports))


def _apply(line: dict[str, Any], found: dict[int, Trial]) -> None:
    number = int(line["trial"])
    if line["event"] == "started":
        parameters = dict(line["parameters"])
        trial = found.setdefault(
            number, Trial(number, parameters, parameters, tuple(line["units"]))
        )
        trial.state, trial.reason = "unfinished", ""  # after a failure it is tried again
        return
    trial = found[number]
    if line["event"] == "ended":
        trial.state, trial.reason = line["state"], line["reason"]
    elif line["epoch"] > trial.epoch:  # the same epoch once more: trained again after a crash
        trial.reports.append(Report(line["epoch"], float(line["value"]), float(line["seconds"])))
        trial.parameters = dict(line["parameters"])


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold ``directory`` for this process alone; the kernel lets go of it when the process dies.

    Raises:
        UserError: if another process has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"'{directory}': another command is at work on this search; wait for its end"
            ) from None
        yield
    finally:
        os.close(handle)
