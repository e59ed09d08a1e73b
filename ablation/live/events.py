"""The events of a command as lines of JSON, for scripts: one object a line on standard error.

Every line has ``event``, ``time`` (ISO 8601) and ``study`` (or ``search``). In a study, by
``event``:

plan      rows, cells (null without a study), units, done, to_run, seconds (estimated; null if
          unknown)
started   unit, label, epochs
progress  unit, label, epoch, epochs, loss, samples_per_s, eta_s; every few seconds a unit
done      unit, label, seconds (here; null if another driver did it)
failed    unit, label, reason, log, again (whether it is retried)
waiting   reason; nothing runs at present
message   text; what a person would read, such as a warning
finished  state (done, failed, interrupted, or error with the reason), seconds; always the last

From ``started`` to ``waiting`` each has the state of the study as well: ``units_done``,
``units_running``, ``units_failed``, ``units`` (all, cached ones among them) and ``study_eta_s``.
A search has events of its trials as well (`ablation.search.events`).
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TextIO

import typer
from pydantic import JsonValue

from ablation.events import Event, Failed, Finished, Progressed, Started, Waiting
from ablation.live.run_state import RunState
from ablation.units import Unit
from skelcon.cli.console import INTERRUPTED
from skelcon.errors import UserError

EVERY = 2.0
"""Seconds between two progress events of a unit."""
STATES: dict[str | int, str] = {0: "done", 1: "failed", 130: "interrupted"}
"""How a command ended, by its exit code; any other is an error."""


class EventStream(io.TextIOBase):
    """Writes events. It is a text file too: what is written to it for people becomes messages.

    A reader that closes its end stops the events and nothing else.

    Args:
        out: where the lines go.
        about: values of every event, such as the study's name.
    """

    def __init__(self, out: TextIO, **about: str) -> None:
        self._out, self._about, self._partial = out, about, ""
        self._lock = threading.RLock()

    def emit(self, event: str, **values: JsonValue) -> None:
        """Write one event."""
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": now, **self._about, **values})
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._out.write(f"{line}\n")
            self._out.flush()

    @contextlib.contextmanager
    def finishing(self) -> Iterator[None]:
        """Emit ``finished`` when the command ends, however it does.

        Raises:
            typer.Exit: instead of an error that the console script would print as text.
        """
        started, state = time.monotonic(), "error"
        more: dict[str, JsonValue] = {}
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
            self.emit("finished", state=state, **more, seconds=rounded(time.monotonic() - started))

    def fileno(self) -> int:
        """Of the file that the lines go to."""
        return self._out.fileno()

    def write(self, text: str) -> int:
        """Write text for people."""
        with self._lock:
            *lines, self._partial = (self._partial + text).split("\n")
            for line in lines:
                if line.strip():
                    self.emit("message", text=line.rstrip())
        return len(text)


class EventWriter:
    """A `Reporter` that writes events to a stream.

    Args:
        stream: where they go.
        state: the state of the run; it receives each event before this does.
        every: seconds between two progress events of a unit.
    """

    def __init__(self, stream: EventStream, state: RunState, every: float = EVERY) -> None:
        self._stream, self._state, self._every = stream, state, every
        self._written: dict[str, float] = {}
        self._waiting = ""

    def report(self, event: Event) -> None:
        """Write ``event``, unless it is a progress or a reason to wait that was just written."""
        match event:
            case Started(unit):
                self._waiting = ""
                self._emit("started", unit, epochs=unit.epochs)
            case Progressed(unit):
                self._progressed(event)
            case Finished(unit):
                self._written.pop(unit.key, None)
                self._emit("done", unit, seconds=rounded(self._state.seconds_of(unit)))
            case Failed(unit, reason, log, verdict):
                self._written.pop(unit.key, None)
                retried = verdict != "failed"
                self._emit("failed", unit, reason=reason, log=str(log), again=retried)
            case Waiting(reason):
                if reason != self._waiting:
                    self._emit("waiting", None, reason=reason)
                self._waiting = reason

    def _progressed(self, event: Progressed) -> None:
        unit, now = event.unit, time.monotonic()
        if not unit.epochs or now - self._written.get(unit.key, -self._every) < self._every:
            return
        self._written[unit.key] = now
        running = {each.unit: each for each in self._state.snapshot().running}
        left = running[unit.key].eta_s if unit.key in running else None
        self._emit(
            "progress",
            unit,
            epoch=event.epoch,
            loss=event.loss,
            samples_per_s=event.samples_per_s,
            epochs=unit.epochs,
            eta_s=rounded(left),
        )

    def _emit(self, name: str, unit: Unit | None, **values: JsonValue) -> None:
        about: dict[str, JsonValue] = {}
        if unit is not None:
            about = {"unit": unit.key, "label": unit.label}
        now = self._state.snapshot()
        self._stream.emit(
            name,
            **about,
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
