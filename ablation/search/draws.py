"""Where the parameters of a new trial come from: the default, chance, or Optuna.

No two trials of a search have the same parameters. Importing this module imports Ray.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from ray import tune
from ray.tune.search.optuna import OptunaSearch

from ablation.search.domains import Domain
from ablation.search.question import DEFAULT, Question
from ablation.search.record import Trial
from skelcon.errors import UserError
from skelcon.seeding import derive

TRIES = 100
"""Draws that are thrown away because an earlier trial had them, before the space counts as done."""


class Source(Protocol):
    """Gives parameters and learns what became of them."""

    def suggest(self, number: int, attempt: int) -> dict[str, Any]:
        """Parameters for a trial; another ``attempt`` may give others."""

    def refused(self, number: int, attempt: int) -> None:
        """An earlier trial has what was suggested."""

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""


class Chance:
    """Parameters at random, from the search's seed and the trial's number alone."""

    def __init__(self, space: Mapping[str, Domain], seed: int) -> None:
        self._space, self._seed = space, seed

    def suggest(self, number: int, attempt: int) -> dict[str, Any]:
        """The same trial has the same parameters, whatever was interrupted."""
        draws = random.Random(derive(self._seed, f"search {number} {attempt}"))
        return {path: domain.draw(draws) for path, domain in self._space.items()}

    def refused(self, number: int, attempt: int) -> None:
        """Chance learns nothing."""

    def ended(self, trial: Trial) -> None:
        """Chance learns nothing."""


class Optuna:
    """Ray Tune's `OptunaSearch` (TPE), told of all trials that have ended.

    A resumed search draws with a seed of its own, so it is not the search that an undisturbed
    one would have been, but as good.
    """

    def __init__(
        self, space: Mapping[str, Domain], metric: str, seed: int, known: list[Trial]
    ) -> None:
        try:
            import optuna
        except ImportError:
            raise UserError(
                "the algorithm optuna needs the package optuna: pip install optuna, or take "
                "--algorithm random"
            ) from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._asked = space, dict[int, str]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seed = derive(seed, f"optuna after {len(known)}") % 2**32
            self._search = OptunaSearch(
                OptunaSearch.convert_search_space(tune_space(space)),
                metric=metric,
                mode="max",
                seed=seed,
            )
        for trial in known:
            self.ended(trial)

    def suggest(self, number: int, attempt: int) -> dict[str, Any]:
        """What TPE makes of the trials so far."""
        self._asked[number] = f"{number}/{attempt}"
        suggested = self._search.suggest(self._asked[number])
        return {
            path: json.loads(suggested[path]) if domain.kind == "choice" else suggested[path]
            for path, domain in self._space.items()
        }

    def refused(self, number: int, attempt: int) -> None:
        """Told as a trial that came to nothing."""
        self._search.on_trial_complete(self._asked.pop(number), error=True)

    def ended(self, trial: Trial) -> None:
        """Told with its numbers on the way; one that was stopped counts as pruned."""
        asked = self._asked.pop(trial.number, None)
        if asked is not None:
            self._search.on_trial_complete(asked, error=True)  # told in full instead, just below
        if not all(self._space[path].contains(value) for path, value in trial.parameters.items()):
            return  # the default may lie outside the space
        if trial.state in ("completed", "stopped") and trial.value is not None:
            self._search.add_evaluated_point(
                {
                    path: json.dumps(value) if self._space[path].kind == "choice" else value
                    for path, value in trial.parameters.items()
                },
                trial.value,
                pruned=trial.state == "stopped",
                intermediate_values=[report.value for report in trial.reports],
            )


def tune_space(space: Mapping[str, Domain]) -> dict[str, Any]:
    """The domains in Ray Tune's terms; a choice is among JSON texts, so that it may hold lists."""
    return {path: _tune_domain(domain) for path, domain in space.items()}


def _tune_domain(domain: Domain) -> Any:
    if domain.kind == "choice":
        return tune.choice([json.dumps(value) for value in domain.values])
    low, high = domain.values
    if domain.whole:  # Tune leaves the upper bound out
        return (tune.lograndint if domain.log else tune.randint)(low, high + 1)
    return (tune.loguniform if domain.log else tune.uniform)(low, high)


class Drawer:
    """Hands out the parameters of new trials, the default's first, none twice."""

    def __init__(self, question: Question, known: list[Trial]) -> None:
        space = question.space
        self._default = question.defaults
        self._chance = Chance(space.space, space.seed)
        self._source: Source = self._chance
        if question.algorithm == "optuna":
            ended = [trial for trial in known if trial.state != "unfinished"]
            self._source = Optuna(space.space, space.metric, space.seed, ended)
        self._seen = {_text(trial.first) for trial in known}

    def parameters(self, number: int) -> dict[str, Any] | None:
        """For the trial ``number``; None if the space seems to have no others."""
        if number == DEFAULT:
            self._seen.add(_text(self._default))
            return self._default
        sources = [self._source] if self._source is self._chance else [self._source, self._chance]
        for source in sources:
            for attempt in range(TRIES):
                found = source.suggest(number, attempt)
                if _text(found) not in self._seen:
                    self._seen.add(_text(found))
                    return found
                source.refused(number, attempt)
        return None

    def ended(self, trial: Trial) -> None:
        """Let the algorithm learn."""
        self._source.ended(trial)


def explored(
    space: Mapping[str, Domain], parameters: dict[str, Any], resample: float, draws: random.Random
) -> dict[str, Any]:
    """PBT's next parameters of a member: each drawn anew with ``resample``, else moved a little.

    (Tune's own move may leave the bounds.)
    """
    return {
        path: domain.draw(draws)
        if draws.random() < resample or not domain.contains(parameters[path])
        else domain.neighbour(parameters[path], draws)
        for path, domain in space.items()
    }


def _text(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)
