"""Which of the searched settings mattered: fANOVA's shares, and Spearman's signs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablation.search.domains import Domain
from ablation.search.record import Trial

FEWEST = 5
"""Trials below which nothing is said."""


@dataclass(frozen=True)
class Influence:
    """How much a setting mattered.

    Attributes:
        share: of the values' variance that the setting alone or with others explains (fANOVA), as
            a part of all settings'; None where that is not computed.
        spearman: rank correlation with the value; None of a choice, or of a constant.
    """

    path: str
    share: float | None
    spearman: float | None


@dataclass(frozen=True)
class Importance:
    """The influence of each setting, the largest first, and in words what it was computed from."""

    method: str
    influences: tuple[Influence, ...] = ()


def importance(space: Mapping[str, Domain], trials: Sequence[Trial], pbt: bool) -> Importance:
    """What the trials say of the settings, all after the same number of epochs.

    That is the last epoch that at least half of the trials have reached: ASHA stops most of them,
    and numbers of different epochs cannot be compared.
    """
    if pbt:
        return Importance("not computed: under pbt a trial's settings change on the way")
    inside = [
        trial
        for trial in trials
        if trial.reports and all(space[k].contains(v) for k, v in trial.parameters.items())
    ]
    epochs = sorted({report.epoch for trial in inside for report in trial.reports}, reverse=True)
    for epoch in epochs:
        values = {
            trial.number: report.value
            for trial in inside
            for report in trial.reports
            if report.epoch == epoch
        }
        if len(values) >= max(FEWEST, len(inside) / 2):
            break
    else:
        return Importance(f"not computed: {FEWEST} trials of as many epochs are needed")
    seen = [trial for trial in inside if trial.number in values]
    numbers = [values[trial.number] for trial in seen]
    of = f"of {len(seen)} trials after {epoch} epochs each"
    if epoch < epochs[0]:
        of += f" of {epochs[0]} (what learns fast is not always best at the end)"
    shares = _fanova(space, seen, numbers)
    method = f"Spearman's rank correlation {of}"
    if isinstance(shares, str):
        method += f" (no fANOVA: {shares})"
        shares = {}
    else:
        method = f"fANOVA (share of the variance explained) and {method}"
    found = [
        Influence(path, shares.get(path), _spearman(space[path], path, seen, numbers))
        for path in space
    ]
    found.sort(key=lambda one: (-(one.share or 0), -abs(one.spearman or 0)))
    return Importance(method, tuple(found))


def _spearman(
    domain: Domain, path: str, trials: Sequence[Trial], values: Sequence[float]
) -> float | None:
    from scipy import stats  # half a second, which other commands need not spend

    given = [trial.parameters[path] for trial in trials]
    if domain.kind == "choice" or len(set(given)) < 2 or len(set(values)) < 2:
        return None
    return float(stats.spearmanr(given, values).statistic)


def _fanova(
    space: Mapping[str, Domain], trials: Sequence[Trial], values: Sequence[float]
) -> dict[str, float] | str:
    """Each setting's share, or why there is none."""
    needed = max(2 * FEWEST, 3 * len(space))
    if len(trials) < needed:
        return f"it needs {needed} trials for {len(space)} settings"
    if len(set(values)) < 2:
        return "all trials have the same value"
    try:
        import optuna
        import sklearn  # noqa: F401  # optuna's fANOVA needs it, and says so late
    except ImportError as error:
        return f"the package {error.name} is not installed"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {path: _distribution(domain) for path, domain in space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        for trial, value in zip(trials, values, strict=True):
            parameters = {
                path: json.dumps(trial.parameters[path])
                if domain.kind == "choice"
                else trial.parameters[path]
                for path, domain in space.items()
            }
            study.add_trial(
                optuna.trial.create_trial(
                    params=parameters, distributions=distributions, value=value
                )
            )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {path: float(share) for path, share in found.items()}


def _distribution(domain: Domain) -> Any:
    from optuna import distributions

    if domain.kind == "choice":
        return distributions.CategoricalDistribution([json.dumps(v) for v in domain.values])
    made = distributions.IntDistribution if domain.whole else distributions.FloatDistribution
    return made(*domain.values, log=domain.log)
