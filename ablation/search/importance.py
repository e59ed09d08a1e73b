"""Which of the searched settings mattered: optuna's fANOVA, and the signs of rank correlations."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass

import optuna

from ablation.search.domains import Domain
from ablation.search.record import SearchRecord

FEWEST = 5
"""Trials below which nothing is said."""


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
    """The influence of each setting, the largest first, and in words what it was computed from."""

    method: str
    influences: tuple[Influence, ...] = ()


def importance(record: SearchRecord) -> Importance:
    """What the trials say of the settings, all after the same number of epochs.

    That is the last epoch that at least half of the trials have reached: ASHA stops most of them,
    and values of different epochs are not comparable.
    """
    space = record.problem.space.space
    if record.problem.population:
        return Importance("not computed: under pbt a trial's settings change while it trains")
    trials = [trial for trial in record.trials() if trial.reports and record.inside(trial)]
    reached = Counter(report.epoch for trial in trials for report in trial.reports)
    enough = [n for n, count in reached.items() if count >= max(FEWEST, len(trials) / 2)]
    if not enough:
        return Importance(f"not computed: {FEWEST} trials of as many epochs are needed")
    epoch, last = max(enough), max(reached)
    study = record.at_epoch(epoch)
    of = f"of {reached[epoch]} trials after {epoch} epochs each"
    if epoch < last:
        of += f" of {last} (what learns fast is not always best at the end)"
    shares = _fanova(study, len(space))
    method = f"Spearman's rank correlation {of}"
    if isinstance(shares, str):
        method += f" (no fANOVA: {shares})"
        shares = {}
    else:
        method = f"fANOVA (share of the variance explained) and {method}"
    found = [
        Influence(path, shares.get(path), _spearman(study, path, domain))
        for path, domain in space.items()
    ]
    found.sort(key=lambda one: (-(one.share or 0), -abs(one.spearman or 0)))
    return Importance(method, tuple(found))


def _spearman(study: optuna.Study, path: str, domain: Domain) -> float | None:
    from scipy import stats  # half a second, which other commands need not spend

    given = [trial.params[path] for trial in study.trials]
    values = [trial.value for trial in study.trials]
    if domain.kind == "choice" or len(set(given)) < 2 or len(set(values)) < 2:
        return None
    return float(stats.spearmanr(given, values).statistic)


def _fanova(study: optuna.Study, settings: int) -> dict[str, float] | str:
    """Each setting's share, or why there is none."""
    needed = max(2 * FEWEST, 3 * settings)
    if len(study.trials) < needed:
        return f"it needs {needed} trials for {settings} settings"
    if len({trial.value for trial in study.trials}) < 2:
        return "all trials have the same value"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {path: float(share) for path, share in found.items()}
