"""What happens to the trials of a search, for scripts and for people.

For scripts these are further events; search_spaces/searches/README.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import JsonValue

from ablation.monitor.output import Output
from ablation.search.problem import SearchProblem
from ablation.search.record import SearchRecord, Trial
from ablation.search.report import short_names, shown


class TrialEvents:
    """Passes what happens to trials on: events for a script, lines for people.

    People see each trial that ends, and with ``--verbose`` each start and each value.
    ``after`` is called when a trial has ended.
    """

    def __init__(self, output: Output, record: SearchRecord, after: Callable[[], None]) -> None:
        problem, known = record.problem, record.trials()
        self._output, self._epochs, self._after = output, problem.steps, after
        self._metric = problem.space.metric_in_words
        self._total = max(problem.space.trials, len(known))
        self._short = short_names(list(problem.space.space))
        self._ended = {trial.number: trial for trial in known if trial.ended}
        ended = len(self._ended)
        if output.stream is not None:
            folds = len(problem.folds)
            counts = {"trials": self._total, "ended": ended, "epochs": self._epochs}
            output.stream.emit("plan", **counts, folds=folds)
            return
        output.say(
            f"{problem.space.name} on {problem.dataset.name}, {problem.preset} preset: "
            f"{self._total} trials of at most {problem.most_epochs} epochs in "
            f"{_folds_of(problem)}, evaluated every {problem.every}; {ended} ended before"
        )

    def started(self, trial: Trial) -> None:
        """A worker has started the trial."""
        settings = [f"{self._short[key]} {shown(v)}" for key, v in trial.parameters.items()]
        text = f"started, {', '.join(settings)}"
        self._emit("started", trial, text, parameters=trial.parameters)

    def progressed(self, trial: Trial) -> None:
        """A trial has a new value."""
        values = {"epoch": trial.epoch, "epochs": self._epochs, "value": trial.value}
        self._emit("progress", trial, self._result(trial), **values)

    def ended(self, trial: Trial) -> None:
        """The trial has ended; its state says how."""
        self._ended[trial.number] = trial
        self._after()
        so_far = "; ".join(f"{label} {value}" for label, value in self.summary())
        text = f"{trial.state}, {trial.reason or self._result(trial)}; {so_far}"
        values = {name: getattr(trial, name) for name in ("state", "epoch", "value", "reason")}
        self._emit("ended", trial, text, **values)

    def summary(self) -> Sequence[tuple[str, str]]:
        """How many trials have ended, and the best of those that ran to their end."""
        whole = [trial for trial in list(self._ended.values()) if trial.state == "completed"]
        best = max(whole, key=lambda trial: trial.value or 0.0, default=None)
        trials = ("trials", f"{len(self._ended)}/{self._total}")
        if best is None:
            return [trials]
        return [trials, ("best", f"{100 * (best.value or 0):.1f} % (trial {best.number})")]

    def _emit(self, event: str, trial: Trial, text: str, **values: JsonValue) -> None:
        if self._output.stream is not None:
            self._output.stream.emit(event, trial=trial.number, **values)
        elif event == "ended" or self._output.verbose:
            self._output.say(f"trial {trial.number}: {text}")

    def _result(self, trial: Trial) -> str:
        if trial.value is None:
            return "no value"
        return f"{self._metric} {100 * trial.value:.1f} % after epoch {trial.epoch}"


def _folds_of(problem: SearchProblem) -> str:
    if problem.population:
        return f"one of {problem.num_folds} folds"
    return f"each of {problem.num_folds} folds"
