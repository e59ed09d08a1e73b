"""What happens in a command as lines of JSON, for scripts: one object a line on standard error.

Every line has ``event``, ``time`` (ISO 8601) and ``study`` (or ``search``). In a study, by
``event``:

plan      rows, cells, units, done, to_run, seconds (estimated; null if nothing tells)
started   unit, label, epochs
progress  unit, label, epoch, epochs, loss, samples_per_s, eta_s; every few seconds a unit
done      unit, label, seconds (here; null if another driver did it)
failed    unit, label, reason, log, again (whether it is tried again)
waiting   reason; nothing runs at present
message   text; what a person would read, such as a warning
finished  state (done, failed, interrupted, or error with the reason), seconds; always the last

From ``started`` to ``waiting`` each says how the study stands as well: ``units_done``,
``units_running``, ``units_failed``, ``units`` (all, cached ones among them) and ``study_eta_s``.
A search has events of its trials (`ablation.search.events`), and of the units of its confirmation.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import typer

from ablation.live.standing import Standing
from ablation.plan import Unit
from ablation.runner.queue import Verdict
from skelcon.cli.console import INTERRUPTED
from skelcon.errors import UserError

EVERY = 2.0
"""Seconds between two progress events of a unit."""


STATES: dict[str | int, str] = {0: "done", 1: "failed", 130: "interrupted"}
"""How a command ended, by its exit code; any other is an error."""


class EventStream(io.TextIOBase):
    """Writes events. As a text file it takes what is said to people, line by line, as messages.

    A reader that has gone away ends the events and nothing else.

    Args:
        out: where the lines go.
        about: what every line says, such as the study's name.
    """

    def __init__(self, out: TextIO, **about: str) -> None:
        self._out, self._about, self._partial = out, about, ""

    def emit(self, event: str, **values: Any) -> None:
        """Write one event."""
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": now, **self._about, **values})
        with contextlib.suppress(OSError, ValueError):
            self._out.write(f"{line}\n")
            self._out.flush()

    @contextlib.contextmanager
    def finishing(self) -> Iterator[None]:
        """Emit ``finished`` when the command ends, however it does.

        Raises:
            typer.Exit: in place of what the console script would print as a line of text.
        """
        began, state, more = time.monotonic(), "error", {}
        try:
            yield
            state = "done"
        except typer.Exit as end:
            state = STATES.get(end.exit_code, "error")
            raise
        except SystemExit as end:  # of a library
            state = "done" if end.code is None else STATES.get(end.code, "error")
            more = {"reason": f"ended by a library ({end.code})"} if state == "error" else {}
            raise
        except (KeyboardInterrupt, typer.Abort):
            state = "interrupted"
            raise typer.Exit(INTERRUPTED) from None
        except UserError as error:
            more = {"reason": str(error)}
            raise typer.Exit(2) from None
        except OSError as error:
            if error.filename is None:
                more = {"reason": str(error)}
                raise
            more = {"reason": f"'{error.filename}': {error.strerror}"}
            raise typer.Exit(2) from None
        except Exception as error:
            more = {"reason": str(error)}
            raise
        finally:
            self.emit("finished", state=state, **more, seconds=rounded(time.monotonic() - began))

    def fileno(self) -> int:
        """That of where the lines go."""
        return self._out.fileno()

    def write(self, text: str) -> int:
        """Take text for people."""
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            if line.strip():
                self.emit("message", text=line.rstrip())
        return len(text)


class Events:
    """Listens to the runner and writes what it hears to a stream; ``standing`` has heard it."""

    def __init__(self, stream: EventStream, standing: Standing, every: float = EVERY) -> None:
        self._stream, self._standing, self._every = stream, standing, every
        self._told: dict[str, float] = {}
        self._waiting = ""

    def started(self, unit: Unit) -> None:
        """A trial has begun to work on ``unit``."""
        self._waiting = ""
        self._emit("started", unit, epochs=unit.epochs)

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        """Where ``unit`` is, unless that was said a moment ago."""
        now = time.monotonic()
        if not unit.epochs or now - self._told.get(unit.key, -self._every) < self._every:
            return
        self._told[unit.key] = now
        running = {each.unit: each for each in self._standing.snapshot().running}
        left = running[unit.key].eta_s if unit.key in running else None
        values = {name: progress.get(name) for name in ("epoch", "loss", "samples_per_s")}
        self._emit("progress", unit, **values, epochs=unit.epochs, eta_s=rounded(left))

    def finished(self, unit: Unit) -> None:
        """``unit`` is done."""
        self._told.pop(unit.key, None)
        self._emit("done", unit, seconds=rounded(self._standing.took(unit)))

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        """``unit`` has failed."""
        self._told.pop(unit.key, None)
        self._emit("failed", unit, reason=reason, log=str(log), again=verdict != "failed")

    def waiting(self, why: str) -> None:
        """Nothing runs at present: said once, not each time that it is looked at."""
        if why != self._waiting:
            self._emit("waiting", None, reason=why)
        self._waiting = why

    def _emit(self, event: str, unit: Unit | None, **values: Any) -> None:
        if unit is not None:
            values = {"unit": unit.key, "label": unit.label, **values}
        now = self._standing.snapshot()
        self._stream.emit(
            event,
            **values,
            units_done=now.done,
            units_running=len(now.running),
            units_failed=now.failed,
            units=now.units,
            study_eta_s=rounded(now.eta_s),
        )


def rounded(seconds: float | None) -> float | None:
    """Seconds as the events give them: to a tenth."""
    return None if seconds is None else round(seconds, 1)
