"""What a reader must know beside a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ablation.evidence.budgets import unequal_budgets
from ablation.evidence.claims import Answer, in_short
from ablation.evidence.effects import Effects
from ablation.evidence.hits import ClipHits, of_other_clips
from ablation.evidence.validation import validation_notes
from ablation.plan import Plan
from ablation.report.diagnosis import pretext_notes
from ablation.report.effects_export import details, sentences
from ablation.report.entry import Entry
from ablation.report.leaks import HEADERS, leak_notes, read_leaks, without_leaks
from ablation.report.mixtures import mixture_notes
from ablation.report.recipe import recipe_notes
from ablation.store import Store
from ablation.text import and_joined
from ablation.units import EvaluateUnit, PretrainUnit
from skelcon.settings import assignments

Entries = Mapping[tuple[str, str], Entry]

SYNTHETIC = "Synthetic data is for trying and testing: its numbers say nothing about real actions."


class Detail(str):
    """A note that may be left out in print, as no number is misread without it."""

    __slots__ = ()


class Origin(Detail):
    """A note on where the numbers come from; a comment in LaTeX."""

    __slots__ = ()


def notes_of(
    plan: Plan,
    entries: Entries,
    frame: pd.DataFrame,
    store: Store | None = None,
    hits: Mapping[tuple[str, str], ClipHits] | None = None,
    answers: Sequence[Answer] = (),
    effects: Sequence[Effects] = (),
) -> tuple[str, ...]:
    """The notes of a table, the most general first.

    Args:
        plan: the table's plan.
        entries: its cells.
        frame: the lines that it prints.
        store: where its pre-trainings are; without it there are no notes on them.
        hits: (row, column) -> the clips that were classified correctly.
        answers: the claims of its study, with their verdicts.
        effects: the effects of the factors of its design.
    """
    dataset, on_test = plan.dataset, plan.evaluate_on == "test"
    notes = [
        Origin(f"Data fingerprint {dataset.fingerprint}, layout family {dataset.family}."),
        "The last epoch is reported; "
        f"{'no epoch is chosen on the test side' if on_test else 'the test side was not read'}.",
    ]
    if plan.synthetic:
        notes.append(SYNTHETIC)
    if plan.overrides:
        notes.append(f"Changed by --set: {', '.join(assignments(plan.overrides))}.")
    notes += map(Detail, recipe_notes(plan))
    notes += [*plan.notes, *plan.study.notes, *_tasks(plan)]
    notes += _precisions(plan)
    notes += map(Detail, (*_schedules(plan), *_jitter(plan), *_labels(plan)))
    if not on_test:
        notes += map(Detail, validation_notes(plan, hits or {}))
    if store is not None:
        notes += _other_clips(plan, store, hits or {})
        leaks = read_leaks(store.results / HEADERS / dataset.fingerprint)
        notes += leak_notes(plan, without_leaks(plan, hits or {}, leaks), leaks)
    if answers:
        command = f"skelcon-ablate claims {plan.study.name}"
        notes.append(Detail(f"Claims: {in_short(answers)} ({command} says which and why)."))
    if effects:
        notes += [*sentences(plan, effects), *map(Detail, details(effects))]
    if plan.report is not None:
        notes += _unequal(plan, entries) or map(Detail, _rank_correlations(plan, entries))
    if store is not None:
        notes += mixture_notes(plan, store)
        notes += map(Detail, pretext_notes(plan, store))
    missing = frame[frame["state"].isin(["failed", "not run"])]
    for reason, group in missing.groupby("reason", sort=False):
        where = dict.fromkeys(group["row"] + " / " + group["column"])
        notes.append(f"{len(group)} missing ({', '.join(where)}): {reason}.")
    return tuple(notes)


def _tasks(plan: Plan) -> list[str]:
    """The task of each column, if there are several."""
    study, found = plan.study, dict[str, list[str]]()
    for column in plan.ranked:
        label = study.columns[column].label or column
        found.setdefault(study.task_of_column(column), []).append(label)
    if len(found) < 2:
        return []
    parts = [f"{task} ({and_joined(labels)})" for task, labels in found.items()]
    return [f"Columns are of different tasks: {', '.join(parts)}. Compare rows, not columns."]


def _other_clips(plan: Plan, store: Store, hits: Mapping[tuple[str, str], ClipHits]) -> list[str]:
    """The columns without an error over clips, as each seed tests different clips."""
    columns = of_other_clips(plan, store, hits)
    labels = and_joined([plan.study.columns[column].label or column for column in columns])
    if not columns:
        return []
    return [
        f"{labels}: each seed was tested on other clips (exemplars that are drawn from them are "
        "not tested), so there is no standard error over clips, and intervals are over seeds alone."
    ]


def _precisions(plan: Plan) -> list[str]:
    """The work that is not done in float32."""
    found: dict[str, dict[str, None]] = {}
    for unit in plan.units.values():
        precision = str(unit.options.get("precision", "fp32"))
        if precision != "fp32":
            work = "pre-training" if isinstance(unit, PretrainUnit) else unit.task.name
            found.setdefault(precision, {})[work] = None
    return [f"In {precision}: {', '.join(works)}." for precision, works in found.items()]


def _schedules(plan: Plan) -> list[str]:
    """Epochs and learning rates of the pre-trainings, if they differ."""
    found: dict[tuple[int, str], dict[str, None]] = {}
    for unit in plan.units.values():
        if isinstance(unit, PretrainUnit):
            schedule = (unit.epochs, _rate(unit.settings.optimiser.lr))
            found.setdefault(schedule, {})["+".join(unit.representations).upper()] = None
    if len(found) < 2:
        return []
    parts = [f"{' and '.join(names)} {n} epochs at {lr}" for (n, lr), names in found.items()]
    return [
        f"Pre-trainings differ in their schedule: {', '.join(parts)}. Comparing such rows or "
        "columns compares the schedules too."
    ]


def _rate(lr: float | dict[str, float]) -> str:
    """``0.001``, or ``0.001 (IMG) and 0.006 (SEQ)``."""
    if not isinstance(lr, dict):
        return f"{lr:g}"
    return " and ".join(f"{rate:g} ({name.upper()})" for name, rate in lr.items())


def _jitter(plan: Plan) -> list[str]:
    """How many joints |j| jitters on a skeleton with another number of joints than 25."""
    found: dict[int, int] = {}
    joints = plan.dataset.layout.num_joints
    for unit in plan.units.values():
        if isinstance(unit, PretrainUnit) and "jitter" in unit.augmentations:
            for config in (p.jitter for p in unit.settings.policies if "jitter" in p.use):
                found[config.joints] = config.count(joints)
    if joints == 25 or plan.source is not None or not found:
        return []
    counts = ", ".join(f"|j| = {j} jitters {n}" for j, n in sorted(found.items()))
    return [f"|j| is defined for 25 joints; of the {joints} joints here {counts}."]


def _labels(plan: Plan) -> list[str]:
    """How many clips each share of the labels is."""
    found: dict[float, set[int]] = {}
    totals: set[int] = set()
    for unit in plan.units.values():
        if isinstance(unit, EvaluateUnit) and float(unit.options.get("labels", 1)) < 1:
            train = unit.side.clips(plan.dataset)
            share = float(unit.options["labels"])
            classes = np.unique(plan.dataset.labels[train], return_counts=True)[1]
            totals.add(len(train))
            # As `skelcon.downstream.labelled_subset` draws them.
            labelled = sum(max(1, round(share * int(clips))) for clips in classes)
            found.setdefault(share, set()).add(labelled)
    if not found:
        return []
    counts = ", ".join(f"{100 * share:g} % is {_range(n)}" for share, n in sorted(found.items()))
    return [f"Of the {_range(totals)} training clips {counts}; at least one of every class."]


def _range(numbers: set[int]) -> str:
    """``27``, or ``27 to 29``, as folds differ in their clips."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _rank_correlations(plan: Plan, entries: Entries) -> list[str]:
    """The rank correlation of the rows with the paper's: a description, not a test."""
    study, source = plan.study, plan.report.source if plan.report else ""
    found = {
        study.columns[column].label or column: rank_correlation(
            [entries[row, column] for row in study.rows]
        )
        for column in plan.ranked
    }
    parts = [f"{label} {rho:.2f}" for label, rho in found.items() if rho is not None]
    if not parts:
        return []
    note = f"Spearman's rank correlation of the rows with the paper's ({source}): "
    return [f"{note}{', '.join(parts)}."]


def _unequal(plan: Plan, entries: Entries) -> list[str]:
    """A warning if rows with values of the paper were trained with different budgets."""
    both = [cell for cell, e in entries.items() if e.mean is not None and e.paper is not None]
    unequal = unequal_budgets(plan, both)
    if not unequal:
        return []
    return [f"The rows are not compared with the paper's: the budgets differ ({unequal})."]


def rank_correlation(line: Sequence[Entry]) -> float | None:
    """Spearman's coefficient between our means and the paper's values; None for fewer than 3."""
    known = [(e.mean, e.paper) for e in line if e.mean is not None and e.paper is not None]
    if len(known) < 3:
        return None
    ours, papers = (pd.Series(side).rank() for side in zip(*known, strict=True))
    return float(ours.corr(papers)) if ours.std() > 0 and papers.std() > 0 else None
