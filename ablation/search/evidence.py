"""How sure the values of a search are: errors over clips and groups, from stored predictions."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ablation.evidence.hits import METRIC, ClipHits, read_hits
from ablation.search.problem import SearchProblem
from ablation.search.record import Trial
from ablation.store import Store


@dataclass(frozen=True)
class Lead:
    """The difference between two trials, clip by clip.

    Attributes:
        value: the difference of their accuracies.
        error: its standard error over clips and groups.
    """

    value: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether it is larger than its standard error."""
        return abs(self.value) > self.error

    @property
    def in_words(self) -> str:
        """Such as ``+1.8 points, standard error 0.7``."""
        return f"{100 * self.value:+.1f} points, standard error {100 * self.error:.1f}"


class TrialEvidence:
    """The predictions that the trials of a search have left."""

    def __init__(self, problem: SearchProblem, store: Store) -> None:
        self._problem, self._store = problem, store
        self._hits = functools.cache(self._read)

    def error(self, trial: Trial) -> float | None:
        """The standard error of a trial's value; None if it did not run to its end."""
        hits = self._hits(trial.evaluations)
        return None if hits is None or trial.state != "completed" else hits.error

    def lead(self, trial: Trial, other: Trial) -> Lead | None:
        """``trial`` less ``other``; None if one of them did not run to its end."""
        hits, others = self._hits(trial.evaluations), self._hits(other.evaluations)
        if hits is None or others is None or {trial.state, other.state} != {"completed"}:
            return None
        found = hits.less(others)
        return None if found is None else Lead(*found)

    def _read(self, keys: tuple[str, ...]) -> ClipHits | None:
        if self._problem.space.metric != METRIC or not keys:
            return None
        if not all(map(self._store.is_done, keys)):
            return None
        return read_hits(self._store, {0: keys})
