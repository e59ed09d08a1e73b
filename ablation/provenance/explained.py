"""How a number was computed, in the texts that the terminal and the page show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ablation.provenance.configurations import Facts, facts_of
from ablation.provenance.explanation import DEFAULT, Explanation, Value
from ablation.report.entry import Entry, number
from ablation.text import fine_duration, metric_in_words, plural, short_key


@dataclass(frozen=True)
class Explained:
    """A cell.

    Attributes:
        row, column: their labels in the table.
        sentences: its interval, its spread, its rank in the column, the paper's value.
        heads, values: a table of the value of each seed (and fold), its units and their time.
        settings: key, value and source of each setting that is not the paper's default.
        defaults: how many settings are, such as ``31 settings``.
        facts: versions, revision, machine and arithmetic of its units.
        command, remarks: the shell command that reproduces it, and what has to be filled in.
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


def explained(found: Explanation) -> Explained:
    """The texts of an explanation."""
    folds = any(each.fold is not None for each in found.values)
    changed = [each for each in found.settings if each.source != DEFAULT]
    return Explained(
        row=found.row_label,
        column=found.column_label,
        number=_number(found),
        sentences=tuple(_sentences(found)),
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
    return f"{number(entry.mean, entry.unit)}{percent} {metric_in_words(found.metric)}"


def _value(entry: Entry, each: Value, folds: bool) -> list[str]:
    scale = 100 if entry.unit == "percent" else 1e-6
    shown = each.reason if each.value is None else number(scale * each.value, entry.unit)
    seconds = [s for s in (each.pretraining_seconds, each.seconds) if s is not None]
    return [
        str(each.seed),
        *([str(each.fold)] if folds else []),
        shown,
        "+".join(map(short_key, each.unit.split("+"))),
        " ".join(map(short_key, each.pretrainings)),
        " + ".join(map(fine_duration, seconds)),
    ]


def _sentences(found: Explanation) -> Iterator[str]:
    entry = found.entry
    if entry.interval is not None and found.over:
        low, high = entry.interval
        yield f"95 % interval {low:.1f} to {high:.1f}, over {found.over}."
    if entry.error is not None:
        yield f"Standard error over clips and groups {entry.error:.1f}."
    elif entry.spread is not None:
        yield f"Sample standard deviation {entry.spread:.1f} (ddof = 1), n = {entry.n}."
    elif entry.mean is not None:
        yield f"n = {entry.n}."
    if entry.best:
        yield "The best of its column, or not significantly worse."
    elif entry.second:
        yield "The second best of its column."
    if found.paper:
        yield f"The paper reports {found.paper}."
