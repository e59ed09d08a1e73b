"""The caption of a table: what it shows, on which data, and what n and ± are."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.evidence.evidence import Where
from ablation.evidence.validation import folds_in_words, groups_in_words
from ablation.fusion import evaluations_of
from ablation.plan import Plan
from ablation.report.entry import Entry
from ablation.report.frame import metrics_of
from ablation.text import and_joined, metric_in_words, plural


def caption_of(plan: Plan, entries: Mapping[Where, Entry]) -> str:
    """One sentence."""
    study, dataset = plan.study, plan.dataset
    data = "synthetic data made by skelcon" if dataset.synthetic else dataset.name
    if plan.source is not None and plan.source.synthetic and not dataset.synthetic:
        data += " after synthetic data made by skelcon"
    changed = ", changed by --set" if plan.overrides else ""
    side = ""
    if plan.evaluate_on == "validation":
        side = f", cross-validation over the {groups_in_words(plan)} of the training side"
    like = f" (as {study.reproduces} of the paper)" if study.reproduces else ""
    own = all(study.columns[study.behind(name)].protocol for name in study.columns)
    protocol = "" if own else f", {plan.protocol}"
    return (
        f"{study.title}{like}: {_metrics(plan)}, in percent, {data}{protocol}{side}, "
        f"{plan.preset} preset{changed}, {_seeds(plan, entries)}."
    )


def _seeds(plan: Plan, entries: Mapping[Where, Entry]) -> str:
    """``n = 3 seeds, mean ± sample standard deviation (ddof = 1)``."""
    counts = sorted({entry.n for entry in entries.values() if entry.n})
    if not counts:
        return "no result yet"
    fewest = "" if len(counts) == 1 else f"{counts[0]} to "
    text = f"n = {fewest}{plural(counts[-1], 'seed')}"
    if any(entry.error is not None for entry in entries.values()):
        mean = "mean ± " if counts[-1] > 1 else "± "
        text += f", {mean}standard error over clips and {groups_in_words(plan)}"
    if plan.evaluate_on == "validation":
        return f"{text} ({folds_in_words(plan)})"
    if subsets := _subsets(plan):
        return text + _over_subsets(plan, subsets, counts[-1])
    if counts[-1] > 1:
        text += ", mean ± sample standard deviation (ddof = 1)"
    return text


def _subsets(plan: Plan) -> dict[str, int]:
    """Column -> number of subsets of the labels that its ± is over; columns without are left out.

    The ± of other metrics of the same task, such as nn_top1, is over the seeds.
    """
    found: dict[str, int] = {}
    for cell in plan.cells:
        if cell.unit is None or f"{plan.metric(cell.column)}_std" not in metrics_of(cell.unit):
            continue
        units = evaluations_of(cell.unit)
        count = max((int(unit.options.get("subsets", 1)) for unit in units), default=1)
        if count > 1:
            found[cell.column] = max(count, found.get(cell.column, 0))
    return found


def _over_subsets(plan: Plan, subsets: Mapping[str, int], seeds: int) -> str:
    """What ± is, where it is over subsets of the labels in all or some of the columns."""
    spread = f"sample standard deviation over {max(subsets.values())} random subsets (ddof = 1)"
    over = f"mean ± {spread}{' of each seed' if seeds > 1 else ''}"
    if all(column in subsets for column in plan.ranked):
        return f", {over}"
    labels = and_joined([plan.study.columns[column].label or column for column in subsets])
    others = ", mean ± sample standard deviation (ddof = 1)" if seeds > 1 else ""
    return f"{others}, in {labels} {over}"


def _metrics(plan: Plan) -> str:
    """``linear top-1``, or ``linear and knn top-1, clustering ari`` if columns differ."""
    study = plan.study
    found: dict[str, dict[str, None]] = {}
    for column in plan.ranked or study.columns:
        found.setdefault(plan.metric(column), {})[study.task_of_column(column)] = None
    if set(found) == {"nn_top1"}:
        return "nearest-neighbour top-1 of the same features"
    return ", ".join(
        f"{and_joined([*tasks])} {metric_in_words(metric)}" for metric, tasks in found.items()
    )
