"""Where a command prints: to a terminal, a log file, or a script that reads events."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console

from ablation.costs import Cost
from ablation.costs.view import counts_of, describe, describe_start
from ablation.events import Reporter, Reporters
from ablation.monitor.events import EventStream, EventWriter, rounded
from ablation.monitor.live_view import LiveView
from ablation.monitor.run_state import RunState, Snapshot
from ablation.monitor.table import TableSoFar, is_whole
from ablation.store import Store
from ablation.store.heartbeat import Heartbeat
from ablation.text import plural
from ablation.units import Unit
from skelcon.cli.terminal import PipeSafeConsole, PlainConsole, say

if TYPE_CHECKING:
    from ablation.job import Job

ACKNOWLEDGEMENT = "Interrupted: saving what has been trained. Interrupt again to leave at once."


@dataclass(frozen=True)
class Output:
    """Where a command prints.

    Attributes:
        console: for people; with a ``stream``, what is printed there becomes messages in it.
        stream: takes events, for a script.
        verbose: on a terminal, print lines for each unit too.
    """

    console: Console
    stream: EventStream | None = None
    verbose: bool = False

    def say(self, text: str) -> None:
        """Print ``text``: wrapped between words on a terminal, one line elsewhere."""
        say(self.console, text)

    def announce(self, job: Job, missing: Sequence[Unit], cost: Cost | None) -> None:
        """Print what is about to run, or that all units of a study are done (``cost`` None).

        Nothing is printed for people if only some units of a study were asked for. A search prints
        its own lines.
        """
        if job.source is not None:
            return
        if self.stream is not None:
            seconds = rounded(cost.seconds if cost else 0.0)
            self.stream.emit("plan", **_counts(job, missing), seconds=seconds)
        elif job.plan is not None and is_whole(job.plan):
            if cost is None:
                self.say(f"All {plural(len(job.units), 'unit')} are done: nothing to run.")
                return
            self.say(describe(job.plan, missing))
            start = describe_start(cost)
            if start is not None:
                self.say(start)

    @contextlib.contextmanager
    def watching(
        self, job: Job, missing: Sequence[Unit], store: Store, cost: Cost, waiting: str = ""
    ) -> Iterator[tuple[Reporter, Heartbeat]]:
        """Show a run of ``missing`` while it lasts.

        Gives the reporter for its events, and the heartbeat of this driver. ``cost`` is for the
        first ETA; ``waiting`` says why nothing runs at first.
        """
        source = job.source
        state = RunState(
            job.name,
            missing,
            len(job.units) - len(missing),
            cost.slots,
            cost.known,
            waiting=waiting,
            upcoming=lambda: source.upcoming if source is not None else 0,
        )
        snapshot = _snapshots(job, store, state)
        with Heartbeat(store, lambda: asdict(snapshot())) as heartbeat:
            if self.stream is not None:
                yield Reporters(state, EventWriter(self.stream, state)), heartbeat
                return
            with LiveView(self.console, state, snapshot, self.verbose) as view:
                yield Reporters(state, view), heartbeat

    def acknowledge(self) -> None:
        """Print that a signal was received; may be called in its handler."""
        # In a thread, as the handler may have interrupted a print, which is not reentrant.
        threading.Thread(target=self._acknowledge).start()

    def _acknowledge(self) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full
            self.say(ACKNOWLEDGEMENT)


def _snapshots(job: Job, store: Store, state: RunState) -> Callable[[], Snapshot]:
    """A function that gives the state of a run with its table so far."""
    whole = job.plan is not None and is_whole(job.plan)
    table = TableSoFar(job.plan, store) if job.plan is not None and whole else None

    def snapshot() -> Snapshot:
        now = state.snapshot()
        summary = tuple(job.source.summary()) if job.source is not None else ()
        return replace(now, table=table.sheet(now) if table else None, summary=summary)

    return snapshot


def _counts(job: Job, missing: Sequence[Unit]) -> dict[str, int | None]:
    """The counts of a ``plan`` event."""
    if job.plan is not None:
        return {**counts_of(job.plan, missing)}
    total, to_run = len(job.units), len(missing)
    units = {"units": total, "done": total - to_run, "to_run": to_run}
    return {"rows": None, "cells": None, **units}


@contextlib.contextmanager
def output(
    *, as_json: bool, verbose: bool = False, events: bool = True, **about: str
) -> Iterator[Output]:
    """The output of a command.

    With ``--json`` standard output is for the document alone, and standard error takes events. If
    standard error is a terminal, or the command has no ``events``, it takes the text for people.
    ``about`` are values of every event, such as ``study="tiny"``.
    """
    if not as_json or not events or sys.stderr.isatty():
        yield Output(PipeSafeConsole(stderr=as_json), verbose=verbose)
        return
    stream = EventStream(sys.stderr, **about)
    text = cast(TextIO, stream)
    # What a library prints becomes a message too.
    with contextlib.redirect_stderr(text), stream.finishing():
        yield Output(PlainConsole(file=text, width=1000), stream)
