"""What is seen of a running study at a moment: the one form in which it is shown and told.

The driver's live view, the lines of JSON and ``status`` in another shell all read a
:class:`Snapshot`; nothing in it changes any more, so that any thread may read it.
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
        epoch, epochs: how far it is; 0 of 0 for an evaluation that has none to count.
        seconds: since it was begun here.
        eta_s: seconds that it still takes; None if nothing tells.
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
class Cell:
    """A cell of the table so far; ``text`` is its number, empty where there is none."""

    state: CellState
    text: str = ""


@dataclass(frozen=True)
class Sheet:
    """The table so far: the columns' names, and each row's name with its cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Snapshot:
    """A study at a moment.

    Attributes:
        units: all that the study asks for.
        done: of these, ``cached`` ones among them.
        cached: how many were done before the command was given.
        to_come: units that have not begun and will.
        failed: units that have failed for good.
        cannot_run: units that need one of those.
        progress: ``done`` and the shares of what runs.
        seconds: since the command was given.
        eta_s: seconds until the study is over; None if nothing tells.
        waiting: why nothing runs, if nothing does.
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
