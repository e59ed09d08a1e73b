"""How a number came about, in the texts that its popover shows."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.figures import Asked
from ablation.pages.facts import Facts, facts_of
from ablation.report.entry import Entry, number
from ablation.report.evidence import Where
from ablation.report.explanation import DEFAULT, Explanation, Value, explanation_of
from ablation.report.table import Table
from ablation.text import fine_duration, plural, short_key


@dataclass(frozen=True)
class Explained:
    """A cell.

    Attributes:
        sentences: its interval, its spread, its place in the column, the paper's value.
        heads, values: what each seed (and fold) gave, with its units and their time.
        settings: those that are not the paper's defaults, with who set them.
        command, remarks: the shell line that computes it again, and what stands in its way.
    """

    row: str
    column: str
    number: str
    sentences: tuple[str, ...]
    heads: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    settings: tuple[tuple[str, str, str], ...]
    defaults: str
    facts: Facts
    command: str
    remarks: tuple[str, ...]


def explained(asked: Asked, name: str, where: Where) -> Explained:
    """What is known of a cell of the table ``name``, from the results alone."""
    table, (row, column) = asked.table, where
    found = explanation_of(
        name, asked.plan, asked.store, where, table.entries[where], asked.evidence, asked.frame
    )
    folds = any(each.fold is not None for each in found.values)
    changed = [each for each in found.settings if each.source != DEFAULT]
    return Explained(
        row=table.label(row),
        column=table.column_label(column),
        number=_number(found),
        sentences=tuple(_sentences(found, table)),
        heads=("seed", *(["fold"] if folds else []), "value", "evaluation", "pre-training", "time"),
        values=tuple(tuple(_value(found.entry, each, folds)) for each in found.values),
        settings=tuple((each.key, str(each.value), each.source) for each in changed),
        defaults=plural(len(found.settings) - len(changed), "setting"),
        facts=facts_of(found.ran),
        command=found.command.line,
        remarks=found.command.remarks,
    )


def _number(found: Explanation) -> str:
    entry = found.entry
    if entry.mean is None:
        return entry.reason or "no value"
    percent = " %" if entry.unit == "percent" else ""
    return f"{number(entry.mean, entry.unit)}{percent} {found.metric.replace('top1', 'top-1')}"


def _value(entry: Entry, each: Value, folds: bool) -> list[str]:
    scale = 100 if entry.unit == "percent" else 1e-6
    shown = each.reason if each.value is None else number(scale * each.value, entry.unit)
    seconds = [s for s in (each.pretraining_seconds, each.seconds) if s is not None]
    return [
        str(each.seed),
        *([str(each.fold)] if folds else []),
        shown,
        short_key(each.unit),
        " ".join(map(short_key, each.pretrainings)),
        " + ".join(map(fine_duration, seconds)),
    ]


def _sentences(found: Explanation, table: Table) -> list[str]:
    entry, told = found.entry, []
    if entry.interval is not None and found.over:
        low, high = entry.interval
        told.append(f"95 % interval {low:.1f} to {high:.1f}, over {found.over}.")
    if entry.error is not None:
        told.append(f"Standard error over clips and groups {entry.error:.1f}.")
    elif entry.spread is not None:
        told.append(f"Sample standard deviation {entry.spread:.1f}, n = {entry.n}.")
    elif entry.mean is not None:
        told.append(f"n = {entry.n}.")
    if entry.best:
        told.append("The best of its column, or not significantly worse.")
    elif entry.second:
        told.append("The second best of its column.")
    report = table.plan.report
    if table.show_paper and report is not None and entry.paper is not None:
        unlike = "" if table.plan.like_the_paper else ", of another data set, protocol or scale"
        value = number(entry.paper, entry.unit, of_paper=True)
        told.append(f"The paper reports {value} ({report.source}{unlike}).")
    return told
