"""The state of a run at a moment: the one form in which it is shown everywhere.

The driver's live view, its events and ``status`` in another shell all read a :class:`Snapshot`; it
is frozen, so that any thread may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CellState = Literal["done", "best", "running", "failed", "to come", "not applicable"]


@dataclass(frozen=True)
class Running:
    """A unit that a trial works on.

    Attributes:
        unit: its key.
        epoch, epochs: its progress; 0 of 0 for an evaluation without epochs.
        seconds: since it started here.
        eta_s: seconds that are left; None if that is not known.
    """

    unit: str
    label: str
    epoch: int
    epochs: int
    loss: float | None
    samples_per_s: float | None
    seconds: float
    eta_s: float | None


@dataclass(frozen=True)
class SheetCell:
    """A cell of the table so far; ``text`` is its number, empty where there is none."""

    state: CellState
    text: str = ""


@dataclass(frozen=True)
class Sheet:
    """The table so far: the columns' names, and each row's name with its cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[SheetCell, ...]], ...]


@dataclass(frozen=True)
class Snapshot:
    """A run at a moment.

    Attributes:
        study: its name.
        units: all that it asks for, and of a search all that are expected.
        done: of these, ``cached`` ones among them.
        cached: how many were done before the command started.
        to_come: units that have not started and will.
        failed: units that have failed and are not retried.
        cannot_run: units that need one of those.
        progress: units that are over, and the shares of those that run.
        seconds: since the command started.
        eta_s: seconds until all is over; None if that is not known.
        waiting: why nothing runs, if nothing does.
        running: what trials work on.
        table: the study's table so far.
        pruned: units that a search has stopped early.
        summary: of a search, what else there is to say: (label, value).
    """

    study: str
    units: int
    done: int
    cached: int
    to_come: int
    failed: int
    cannot_run: int
    progress: float
    seconds: float
    eta_s: float | None
    waiting: str
    running: tuple[Running, ...]
    table: Sheet | None = None
    pruned: int = 0
    summary: tuple[tuple[str, str], ...] = ()
