"""Who looks on while a command runs: somebody at a terminal, a log file, or a script."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TextIO, cast

from rich.console import Console

from ablation.cost import Cost
from ablation.cost.view import counts_of, print_start
from ablation.live.events import Events, EventStream, rounded
from ablation.live.progress import Progress
from ablation.live.snapshot import Snapshot
from ablation.live.standing import Standing
from ablation.live.table import TableSoFar
from ablation.plan import Plan, Unit
from ablation.runner.listeners import Listeners
from ablation.runner.resources import Listener
from ablation.store import Store
from ablation.store.heartbeat import Heartbeat
from skelcon.cli.console import LastingConsole


@dataclass(frozen=True)
class Audience:
    """Where a command says what it does.

    Attributes:
        console: for people; with a ``stream``, what is printed there becomes messages in it.
        stream: takes events, for a script.
        verbose: lines for each unit on a terminal as well.
    """

    console: Console
    stream: EventStream | None = None
    verbose: bool = False

    def begin(self, plan: Plan, missing: list[Unit], cost: Cost | None) -> None:
        """Say what is about to be done; nothing to people if that is nothing (``cost`` None)."""
        if self.stream is not None:
            seconds = cost.seconds if cost else 0.0
            self.stream.emit("plan", **counts_of(plan, missing), seconds=rounded(seconds))
        elif cost is not None:
            print_start(self.console, plan, missing, cost)

    @contextlib.contextmanager
    def watching(
        self, plan: Plan, missing: list[Unit], store: Store, cost: Cost
    ) -> Iterator[Listener]:
        """Show a run of ``missing`` for as long as it lasts; the listener is to hear of it.

        Args:
            plan: what is asked.
            missing: its units that are to run.
            store: where they go.
            cost: of them, for the first ETA.
        """
        cached = len(plan.units) - len(missing)
        standing = Standing(plan.study.name, missing, cached, cost.slots, cost.known)
        table = TableSoFar(plan, store)

        def look() -> Snapshot:
            now = standing.snapshot()
            return replace(now, table=table.sheet(now))

        with Heartbeat(store, lambda: asdict(look())):
            if self.stream is not None:
                yield Listeners(standing, Events(self.stream, standing))
                return
            with Progress(self.console, standing, look, self.verbose) as progress:
                yield Listeners(standing, progress)


@contextlib.contextmanager
def audience(
    *, as_json: bool, verbose: bool = False, events: bool = True, **about: str
) -> Iterator[Audience]:
    """Who looks on at a command.

    With ``--json`` standard output is for the document alone, and standard error takes events;
    who looks at a terminal there sees what a person sees.

    Args:
        as_json: whether ``--json`` was given.
        verbose: whether ``--verbose`` was.
        events: whether the command does anything that events could tell of.
        about: what every event says, such as ``study="tiny"``.
    """
    if not as_json or not events or sys.stderr.isatty():
        yield Audience(LastingConsole(stderr=as_json), verbose=verbose)
        return
    stream = EventStream(sys.stderr, **about)
    text = cast(TextIO, stream)
    # What a library has to say becomes a message too.
    with contextlib.redirect_stderr(text), stream.finishing():
        yield Audience(Console(file=text, width=1000), stream)
