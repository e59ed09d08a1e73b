"""The parameters of a new trial: the default's, random ones, or suggested by optuna's TPE."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ablation.search.problem import DEFAULT, SearchProblem
from ablation.search.space import Domain
from skelcon.config import Json
from skelcon.seeding import derive

TPE_ATTEMPTS = 100
"""Duplicates that TPE may suggest for a trial before it is drawn at random."""


class Sampler:
    """Gives the default first, and never the same parameters twice.

    Random ones depend on the search's seed and the trial's number alone, so that an interruption
    does not change them. TPE's depend on the trials so far too.
    """

    def __init__(self, problem: SearchProblem) -> None:
        self._problem, self._space = problem, problem.space.space
        self.distributions = {path: distribution(domain) for path, domain in self._space.items()}

    def exhausted(self, known: Sequence[Json]) -> bool:
        """Whether the space holds no other parameters than ``known``."""
        inside = [parameters for parameters in known if self.contains(parameters)]
        return len(inside) >= math.prod(domain.size for domain in self._space.values())

    def suggest(self, study: optuna.Study, known: Sequence[Json]) -> Json:
        """Parameters for the next trial, other than ``known``; there must be some."""
        number = len(known)
        if number == DEFAULT:
            return self._problem.defaults
        by_tpe = self._problem.algorithm == "optuna"
        for attempt in itertools.count():
            draw = self._by_tpe if by_tpe and attempt < TPE_ATTEMPTS else self._at_random
            parameters = draw(study, number, attempt)
            if parameters not in known:
                return parameters
        raise AssertionError("not reached")

    def contains(self, parameters: Json) -> bool:
        """Whether all are inside their domains: the default may be elsewhere."""
        return all(domain.contains(parameters[path]) for path, domain in self._space.items())

    def encoded(self, parameters: Json) -> Json:
        """Parameters for optuna: a choice, which may be a list, is JSON text."""
        return {
            path: json.dumps(parameters[path]) if domain.kind == "choice" else parameters[path]
            for path, domain in self._space.items()
        }

    def _at_random(self, study: optuna.Study, number: int, attempt: int) -> Json:
        draws = random.Random(derive(self._problem.space.seed, f"search {number} {attempt}"))
        return {path: domain.draw(draws) for path, domain in self._space.items()}

    def _by_tpe(self, study: optuna.Study, number: int, attempt: int) -> Json:
        seed = derive(self._problem.space.seed, f"optuna {number} {attempt}") % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed)
        # Of a copy in memory: trials asked of the record stay in it, duplicates too.
        copy = optuna.create_study(direction="maximize", sampler=sampler)
        copy.add_trials(trial for trial in study.get_trials(deepcopy=False) if trial.params)
        found = copy.ask(self.distributions).params
        return {
            path: json.loads(found[path]) if domain.kind == "choice" else found[path]
            for path, domain in self._space.items()
        }


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as optuna's distribution."""
    if domain.kind == "choice":
        return CategoricalDistribution([json.dumps(value) for value in domain.values])
    kind = IntDistribution if domain.whole else FloatDistribution
    return kind(*domain.values, log=domain.log)
