"""What a search ends with: the best trials beside the default, and the same as files."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ablation.search.importance import Importance, importance
from ablation.search.question import DEFAULT, Question
from ablation.search.record import Record, Trial
from ablation.store import write_atomically, write_json
from ablation.store.provenance import environment
from skelcon.settings import merge

SHOWN = 10
"""How many of the best trials are printed."""
PACKAGES = ("optuna", "scikit-learn")


@dataclass(frozen=True)
class Summary:
    """A search as its record has it.

    Attributes:
        ranked: trials with a number, the best first: those that ran to their end before those
            that were stopped, the later stopped before the earlier.
    """

    question: Question
    trials: tuple[Trial, ...]
    ranked: tuple[Trial, ...]
    importance: Importance

    @property
    def best(self) -> Trial | None:
        """The best of the trials that ran the furthest; of equals the first."""
        return self.ranked[0] if self.ranked else None

    @property
    def default(self) -> Trial | None:
        """The trial that changes nothing."""
        found = next((trial for trial in self.trials if trial.number == DEFAULT), None)
        return found if found is not None and found.parameters == found.first else None

    def count(self, state: str) -> int:
        """How many trials are in ``state``."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def caption(self) -> str:
        """What was searched on what, and what the numbers are."""
        space, dataset = self.question.space, self.question.dataset
        data = "synthetic data made by skelcon" if dataset.synthetic else dataset.name
        return (
            f"{space.title}: {space.task} top-1 on the validation side, in percent, {data}, "
            f"{self.question.protocol}, {self.question.preset} preset, seed {space.seed}, "
            f"{space.scheduler.name}, {self.question.algorithm}."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside the numbers."""
        states = ("completed", "stopped", "diverged", "failed", "unfinished")
        counts = [f"{n} {state}" for state in states if (n := self.count(state))]
        epochs = sum(trial.epoch for trial in self.trials)
        notes = [
            f"{len(self.trials)} trials: {', '.join(counts)}; {epochs} epochs of "
            f"{len(self.trials) * self.question.epochs}.",
            "The validation side is made of training clips; the test side was not read. The best "
            "of many trials looks better than it is: --confirm re-trains it with other seeds.",
        ]
        if self.question.dataset.synthetic:
            notes.append(
                "Synthetic data is for trying and testing: these numbers say nothing of real "
                "actions."
            )
        if self.question.space.scheduler.name == "pbt":
            notes.append(
                "Under pbt settings changed on the way: those printed are the last ones, and a "
                "training with them alone need not give the same number."
            )
        return tuple(notes)


def summarise(question: Question, record: Record) -> Summary:
    """The search as its record has it now."""
    trials = record.trials()
    barred = ("diverged", "failed")
    with_value = [t for t in trials if t.value is not None and t.state not in barred]
    ranked = sorted(with_value, key=lambda t: (-t.epoch, -(t.value or 0.0), t.number))
    space = question.space
    found = importance(space.space, trials, space.scheduler.name == "pbt")
    return Summary(question, tuple(trials), tuple(ranked), found)


def as_assignments(values: dict[str, Any]) -> str:
    """``--set`` arguments for a shell."""
    return " ".join(
        "--set " + shlex.quote(f"{path}={_inline(value)}") for path, value in values.items()
    )


def print_summary(console: Console, summary: Summary) -> None:
    """The best ten trials, the default, what mattered, and how to use the best."""
    paths = list(summary.question.space.space)
    short = _short(paths)
    grid = Grid(header_style="bold")
    for name in ("trial", "top-1", "epochs"):
        grid.add_column(name, justify="right")
    for path in paths:
        grid.add_column(short[path], justify="right")

    def add(trial: Trial, style: str = "") -> None:
        value = "diverged" if trial.state == "diverged" else "-"
        if trial.value is not None and trial.state != "diverged":
            value = f"{100 * trial.value:.1f}"
        name = f"{trial.number}{' (default)' if trial is summary.default else ''}"
        cells = [name, value, str(trial.epoch), *(_shown(trial.parameters[p]) for p in paths)]
        grid.add_row(*(Text(cell) for cell in cells), style=style)

    shown = summary.ranked[:SHOWN]
    for trial in shown:
        add(trial, "bold" if trial is summary.best else "")
    if summary.default is not None and summary.default not in shown:
        grid.add_section()
        add(summary.default, "italic")
    console.print(Text(summary.caption, style="bold"))
    console.print(grid)
    for note in summary.notes:
        console.print(Text(f"- {note}", style="dim"))
    _print_importance(console, summary.importance)
    if summary.best is not None:
        values = summary.question.changes(summary.best.parameters)
        console.print(Text(f"Best: {as_assignments(values)}"), soft_wrap=True)


def export(
    summary: Summary, record: Record, confirmation: dict[str, Any] | None = None
) -> list[str]:
    """Write trials.csv, best.yaml and search.json beside the record; returns their names."""
    written = ["trials.csv", "search.json"]
    write_atomically(record.directory / "trials.csv", to_csv(summary))
    write_json(record.directory / "search.json", document(summary, confirmation))
    if summary.best is not None:
        write_atomically(record.directory / "best.yaml", to_yaml(summary))
        written.insert(0, "best.yaml")
    return written


def document(summary: Summary, confirmation: dict[str, Any] | None = None) -> dict[str, Any]:
    """All of it, with what it was made of and where."""
    question, dataset = summary.question, summary.question.dataset
    return {
        "search": question.space.name,
        "caption": summary.caption,
        "notes": list(summary.notes),
        "question": question.values,
        "best": _outcome(question, summary.best),
        "default": _outcome(question, summary.default),
        "importance": asdict(summary.importance),
        "trials": [asdict(trial) for trial in summary.trials],
        "confirmation": confirmation,
        "provenance": {
            "data": {
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "family": dataset.family,
                "synthetic": dataset.synthetic,
            },
            "seed": question.space.seed,
            "preset": question.preset,
            "set": question.overrides,
            **environment(),
            "search_versions": _versions(),
        },
    }


def to_csv(summary: Summary) -> str:
    """A line a trial, in the order of their numbers."""
    paths = list(summary.question.space.space)
    pbt = summary.question.space.scheduler.name == "pbt"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    first = [f"first {path}" for path in paths] if pbt else []
    writer.writerow(
        [
            "trial",
            "state",
            "reason",
            "epoch",
            "value",
            "seconds",
            *paths,
            *first,
            "pretraining",
            "evaluation",
        ]
    )
    for trial in summary.trials:
        cells = [_csv(trial.parameters[path]) for path in paths]
        cells += [_csv(trial.first[path]) for path in paths] if pbt else []
        value = "" if trial.value is None else repr(trial.value)
        units = trial.units or ("", "")
        writer.writerow(
            [
                trial.number,
                trial.state,
                trial.reason,
                trial.epoch,
                value,
                f"{trial.seconds:.1f}",
                *cells,
                *units,
            ]
        )
    return out.getvalue()


def to_yaml(summary: Summary) -> str:
    """The best trial's settings, as the ``base`` of a study."""
    best, space = summary.best, summary.question.space
    assert best is not None
    tree: dict[str, Any] = {}
    for values in (space.base, summary.question.changes(best.parameters)):
        merge(tree, values)
    merge(tree, summary.question.overrides)
    base = _flat(tree)
    default = summary.default
    beside = ""
    if default is not None and default.value is not None:
        beside = f"; the default has {100 * default.value:.2f} after {default.epoch}"
    head = [
        f"The best of {len(summary.trials)} trials of the search '{space.name}': trial "
        f"{best.number}, {100 * (best.value or 0):.2f} percent after {best.epoch} epochs{beside}.",
        summary.caption,
        f"Data {summary.question.dataset.fingerprint}. Chosen on the validation side.",
        *(summary.notes[-1:] if space.scheduler.name == "pbt" else ()),
        "",
        f"skelcon-ablate STUDY --preset {summary.question.preset} {as_assignments(base)}",
    ]
    lines = "".join(f"# {line}".rstrip() + "\n" for line in head)
    return lines + yaml.safe_dump({"base": base}, sort_keys=False)


def _outcome(question: Question, trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {
        "trial": trial.number,
        "value": trial.value,
        "epoch": trial.epoch,
        "state": trial.state,
        "parameters": trial.parameters,
        "set": as_assignments(question.changes(trial.parameters)),
    }


def _print_importance(console: Console, found: Importance) -> None:
    if not found.influences:
        console.print(Text(f"Which settings mattered: {found.method}."))
        return
    console.print(Text(f"Which settings mattered, by {found.method}:"))
    for one in found.influences:
        share = "" if one.share is None else f"{100 * one.share:5.1f} %  "
        rank = "" if one.spearman is None else f"rank correlation {one.spearman:+.2f}"
        console.print(Text(f"  {share}{one.path}  {rank}".rstrip()), soft_wrap=True)


def _short(paths: Sequence[str]) -> dict[str, str]:
    """The last part of each path, or as much as keeps them apart."""
    found = {}
    for path in paths:
        parts = path.split(".")
        for n in range(1, len(parts) + 1):
            name = ".".join(parts[-n:])
            if sum(other == path or other.endswith(f".{name}") for other in paths) == 1:
                break
        found[path] = name
    return found


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys as key paths."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{above}{key}"
        found.update(_flat(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return found


def _csv(value: Any) -> str:
    return "" if value is None else _inline(value)


def _inline(value: Any) -> str:
    """``value`` as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def _versions() -> dict[str, str | None]:
    from importlib import metadata

    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
