"""The events of a command for scripts: one JSON object a line, on standard error.

Every line has ``event``, ``time`` (ISO 8601) and ``study`` (or ``search``). In a study, by
``event``:

plan      rows, cells (null without a study), units, done, to_run, seconds (estimated; null if
          unknown)
started   unit, label, epochs
progress  unit, label, epoch, epochs, loss, samples_per_s, eta_s; every few seconds a unit
done      unit, label, seconds (here; null if another driver did it)
failed    unit, label, reason, log, again (whether it is retried)
waiting   reason; nothing runs at present
message   text for people, such as a warning
finished  state (done, failed, interrupted, or error with the reason), seconds; always the last

From ``started`` to ``waiting`` each also has the state of the study: ``units_done``,
``units_running``, ``units_failed``, ``units`` (all, cached ones among them) and ``study_eta_s``.
A search has further events, of its trials (`ablation.search.events`).
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
from ablation.monitor.run_state import RunState
from skelcon.cli.console import INTERRUPTED
from skelcon.errors import MachineError, UserError, disk_error

EVERY = 2.0
"""Seconds between two progress events of a unit."""
STATES: dict[str | int | None, str] = {None: "done", 0: "done", 1: "failed", 130: "interrupted"}
"""How a command ended, by its exit code; any other is an error."""


class EventStream(io.TextIOBase):
    """Writes events. It is also a text file: text that is written to it becomes messages.

    If the reader closes its end, the command continues without events.

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
        """Emit ``finished`` when the command ends, for whatever reason.

        Raises:
            typer.Exit: in place of an error that the console script would print as text.
        """
        started, state = time.monotonic(), "error"
        reason: str | None = None
        try:
            yield
            state = "done"
        except typer.Exit as end:
            state = STATES.get(end.exit_code, "error")
            raise
        except SystemExit as end:  # of a library
            state = STATES.get(end.code, "error")
            reason = f"ended by a library ({end.code})" if state == "error" else None
            raise
        except (KeyboardInterrupt, typer.Abort):
            state = "interrupted"
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            of_disk = disk_error(error) if isinstance(error, OSError) else None
            reason = of_disk or str(error)
            if of_disk is None and not isinstance(error, UserError):
                raise
            raise typer.Exit(1 if isinstance(error, MachineError) else 2) from None
        finally:
            more: dict[str, JsonValue] = {} if reason is None else {"reason": reason}
            self.emit("finished", state=state, **more, seconds=rounded(time.monotonic() - started))

    def fileno(self) -> int:
        """The descriptor of the file that the lines go to."""
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
        state: the state of the run; it has to receive each event first.
        every: seconds between two progress events of a unit.
    """

    def __init__(self, stream: EventStream, state: RunState, every: float = EVERY) -> None:
        self._stream, self._state, self._every = stream, state, every
        self._written: dict[str, float] = {}
        self._waiting = ""

    def report(self, event: Event) -> None:
        """Write ``event``, but not each progress, nor a reason to wait twice."""
        match event:
            case Started(unit):
                self._waiting = ""
                self._emit("started", event, epochs=unit.epochs)
            case Progressed():
                self._progressed(event)
            case Finished(unit):
                self._written.pop(unit.key, None)
                self._emit("done", event, seconds=rounded(self._state.seconds_of(unit)))
            case Failed(unit, reason, log, verdict):
                self._written.pop(unit.key, None)
                retried = verdict != "failed"
                self._emit("failed", event, reason=reason, log=str(log), again=retried)
            case Waiting(reason):
                if reason != self._waiting:
                    self._emit("waiting", event, reason=reason)
                self._waiting = reason

    def _progressed(self, event: Progressed) -> None:
        unit, now = event.unit, time.monotonic()
        if not unit.epochs or now - self._written.get(unit.key, -self._every) < self._every:
            return
        self._written[unit.key] = now
        running = self._state.snapshot().running
        left = next((each.eta_s for each in running if each.unit == unit.key), None)
        values: dict[str, JsonValue] = {"epoch": event.epoch, "loss": event.loss}
        values |= {"samples_per_s": event.samples_per_s, "epochs": unit.epochs}
        self._emit("progress", event, **values, eta_s=rounded(left))

    def _emit(self, name: str, event: Event, **values: JsonValue) -> None:
        about: dict[str, JsonValue] = {}
        if not isinstance(event, Waiting):
            about = {"unit": event.unit.key, "label": event.unit.label}
        now = self._state.snapshot()
        counts = {"units_done": now.done, "units_running": len(now.running)}
        counts |= {"units_failed": now.failed, "units": now.units}
        self._stream.emit(name, **about, **values, **counts, study_eta_s=rounded(now.eta_s))


def rounded(seconds: float | None) -> float | None:
    """Seconds as in the events, to a tenth."""
    return None if seconds is None else round(seconds, 1)
