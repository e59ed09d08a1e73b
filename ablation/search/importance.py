"""Which settings of a search mattered: rank correlations, and shares of the variance (fANOVA)."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass

import optuna
import pandas as pd

from ablation.search.record import SearchRecord

FEWEST = 5
"""The fewest trials for which the settings' influence is computed."""


@dataclass(frozen=True)
class Influence:
    """How much a setting mattered.

    Attributes:
        share: of the values' variance that the setting explains, alone or with others (fANOVA), as
            a part of all settings'; None where that is not computed.
        spearman: rank correlation with the value; None of a choice, or of a constant.
    """

    path: str
    share: float | None
    spearman: float | None


@dataclass(frozen=True)
class Importance:
    """The influence of each setting, the largest first, and in words how it was computed."""

    method: str
    influences: tuple[Influence, ...] = ()


def importance(record: SearchRecord) -> Importance:
    """How much each setting mattered, from trials after the same number of epochs.

    That is the last epoch that at least half of the trials have reached: ASHA stops most of them,
    and values of different epochs are not comparable.
    """
    if record.problem.population:
        return Importance("not computed: under pbt a trial's settings change while it trains")
    trials = [t for t in record.study.get_trials(deepcopy=False) if t.params]  # inside the space
    reported = [trial for trial in trials if trial.intermediate_values]
    reached = Counter(epoch for trial in reported for epoch in trial.intermediate_values)
    enough = [n for n, count in reached.items() if count >= max(FEWEST, len(reported) / 2)]
    if not enough:
        return Importance(f"not computed: {FEWEST} trials of as many epochs are needed")
    epoch, last = max(enough), max(reached)
    study = optuna.create_study(direction="maximize")
    for trial in reported:
        if epoch in trial.intermediate_values:
            value, domains = trial.intermediate_values[epoch], trial.distributions
            whole = optuna.trial.create_trial(
                value=value, params=trial.params, distributions=domains
            )
            study.add_trial(whole)
    method = f"Spearman's rank correlation of {reached[epoch]} trials after {epoch} epochs each"
    if epoch < last:
        method += f" of {last} (what learns fast is not always best at the end)"
    frame = pd.DataFrame([{**trial.params, "value": trial.value} for trial in study.trials])
    ranks = frame.corr("spearman", numeric_only=True)["value"].dropna()
    paths, shares = list(record.problem.space.space), dict[str, float]()
    needed = max(2 * FEWEST, 3 * len(paths))
    if len(frame) < needed:
        method += f" (no fANOVA: it needs {needed} trials for {len(paths)} settings)"
    elif frame["value"].nunique() < 2:
        method += " (no fANOVA: all trials have the same value)"
    else:
        method = f"fANOVA (share of the variance explained) and {method}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    found = [Influence(path, shares.get(path), ranks.get(path)) for path in paths]
    found.sort(key=lambda one: (-(one.share or 0), -abs(one.spearman or 0)))
    return Importance(method, tuple(found))
