"""What happens in a search as lines of JSON, on the stream of `ablation.live.events`.

plan      trials, ended, epochs (of a trial that runs to its end)
started   trial, parameters
progress  trial, epoch, epochs, value (on the validation side)
ended     trial, state (completed, stopped, diverged, failed), epoch, value, reason
message, finished: as in a study
"""

from __future__ import annotations

from ablation.live.events import EventStream
from ablation.search.record import Report, Trial


class TrialEvents:
    """Listens to the trials and writes what it hears."""

    def __init__(self, stream: EventStream, epochs: int) -> None:
        self._stream, self._epochs = stream, epochs

    def started(self, trial: Trial) -> None:
        """A worker takes up ``trial``."""
        self._stream.emit("started", trial=trial.number, parameters=trial.parameters)

    def reported(self, number: int, report: Report) -> None:
        """A trial has a number more."""
        self._stream.emit(
            "progress", trial=number, epoch=report.epoch, epochs=self._epochs, value=report.value
        )

    def ended(self, trial: Trial) -> None:
        """A trial is over."""
        self._stream.emit(
            "ended",
            trial=trial.number,
            state=trial.state,
            epoch=trial.epoch,
            value=trial.value,
            reason=trial.reason,
        )

    def waiting(self, why: str) -> None:
        """Nothing runs at present."""
        self._stream.emit("message", text=why)
