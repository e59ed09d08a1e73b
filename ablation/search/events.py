"""What happens to the trials of a search, beside the events of their units.

For scripts there are three events, with ``trial`` and without ``unit``:

started   trial, parameters
progress  trial, epoch, epochs, value (on the validation side)
ended     trial, state (completed, stopped, diverged, failed), epoch, value, reason
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ablation.live.output import Output
from ablation.search.problem import SearchProblem
from ablation.search.record import Trial
from ablation.search.report import short_names, shown


class TrialReporter(Protocol):
    """Receives what happens to trials."""

    def started(self, trial: Trial) -> None:
        """A worker has it."""

    def progressed(self, trial: Trial) -> None:
        """It has a further report, the last."""

    def ended(self, trial: Trial) -> None:
        """It has ended: see its state."""

    def summary(self) -> Sequence[tuple[str, str]]:
        """The search so far: (label, value)."""


class TrialEvents:
    """Passes what happens to trials on to the command's output.

    Args:
        output: a script's events, or a person's lines: one for each trial that ends, or with
            ``--verbose`` for each start and each value as well.
        problem: what is searched.
        known: the trials of earlier commands.
        total: how many there shall be.
        after: is called when a trial has ended.
    """

    def __init__(
        self,
        output: Output,
        problem: SearchProblem,
        known: Sequence[Trial],
        total: int,
        after: Callable[[], None],
    ) -> None:
        self._after = after
        self._output, self._epochs, self._total = output, problem.epochs, total
        self._short = short_names(list(problem.space.space))
        self._ended = {trial.number for trial in known if trial.ended}
        self._best: Trial | None = None
        for trial in known:
            self._compare(trial)
        if output.stream is not None:
            values = {"trials": total, "ended": len(self._ended), "epochs": problem.epochs}
            output.stream.emit("plan", **values)
            return
        output.say(
            f"{problem.space.name} on {problem.dataset.name}, {problem.preset} preset: {total} "
            f"trials of at most {problem.epochs} epochs, evaluated every {problem.every}; "
            f"{len(self._ended)} have ended"
        )

    def started(self, trial: Trial) -> None:
        """A worker has it."""
        if self._output.stream is not None:
            parameters = trial.parameters
            self._output.stream.emit("started", trial=trial.number, parameters=parameters)
        elif self._output.verbose:
            settings = [f"{self._short[k]} {shown(v)}" for k, v in trial.parameters.items()]
            self._output.say(f"trial {trial.number}: {', '.join(settings)}")

    def progressed(self, trial: Trial) -> None:
        """It has a further value."""
        if self._output.stream is not None:
            self._output.stream.emit(
                "progress",
                trial=trial.number,
                epoch=trial.epoch,
                epochs=self._epochs,
                value=trial.value,
            )
        elif self._output.verbose:
            self._output.say(f"trial {trial.number}: {_value(trial)} after {trial.epoch} epochs")

    def ended(self, trial: Trial) -> None:
        """It has ended."""
        self._after()
        self._compare(trial)
        self._ended.add(trial.number)
        if self._output.stream is not None:
            self._output.stream.emit(
                "ended",
                trial=trial.number,
                state=trial.state,
                epoch=trial.epoch,
                value=trial.value,
                reason=trial.reason,
            )
            return
        text = f"trial {trial.number}: {trial.state}"
        if trial.reason:
            text += f", {trial.reason}"
        elif trial.value is not None:
            text += f", {_value(trial)} after {trial.epoch} epochs"
        self._output.say(
            "; ".join((text, *(f"{label} {value}" for label, value in self.summary())))
        )

    def summary(self) -> Sequence[tuple[str, str]]:
        """The best so far, and how many have ended."""
        found = [("trials", f"{len(self._ended)}/{self._total}")]
        if self._best is not None:
            found.insert(0, ("best", f"{_value(self._best)} (trial {self._best.number})"))
        return found

    def _compare(self, trial: Trial) -> None:
        if trial.state == "completed" and trial.value is not None:
            best = self._best.value if self._best is not None else None
            if best is None or trial.value > best:
                self._best = trial


def _value(trial: Trial) -> str:
    return "no value" if trial.value is None else f"top-1 {100 * trial.value:.1f} %"
