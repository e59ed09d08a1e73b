"""What a search ends with: the best trials beside the default, and the same as files."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, get_args

import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ablation.search.importance import Importance, importance
from ablation.search.problem import DEFAULT, SearchProblem
from ablation.search.record import SearchRecord, State, Trial
from ablation.store import write_atomically, write_json
from ablation.store.provenance import environment
from skelcon.config import Json
from skelcon.settings import merge

SHOWN = 10
"""How many of the best trials are printed."""
WIDTH = 80
"""Columns of the printed summary where there is no wider terminal."""
PACKAGES = ("optuna", "scikit-learn")


@dataclass(frozen=True)
class Summary:
    """A search as its record has it.

    Attributes:
        ranked: trials with a value, the best first: those that ran to their end before those that
            were stopped, the later stopped before the earlier.
    """

    problem: SearchProblem
    trials: tuple[Trial, ...]
    ranked: tuple[Trial, ...]
    importance: Importance

    @classmethod
    def of(cls, record: SearchRecord) -> Summary:
        """The search as its record has it now."""
        trials = record.trials()
        usable = [
            t for t in trials if t.value is not None and t.state not in ("diverged", "failed")
        ]
        ranked = sorted(usable, key=lambda t: (-t.epoch, -(t.value or 0.0), t.number))
        return cls(record.problem, tuple(trials), tuple(ranked), importance(record))

    @property
    def best(self) -> Trial | None:
        """The best of the trials that ran the furthest; of equal ones the first."""
        return self.ranked[0] if self.ranked else None

    @property
    def default(self) -> Trial | None:
        """The trial that changes nothing."""
        found = next((trial for trial in self.trials if trial.number == DEFAULT), None)
        return found if found is not None and found.parameters == found.first else None

    @property
    def failed(self) -> bool:
        """Whether a trial has failed."""
        return any(trial.state == "failed" for trial in self.trials)

    @property
    def caption(self) -> str:
        """What was searched on what, and what the numbers are."""
        problem, space, dataset = self.problem, self.problem.space, self.problem.dataset
        data = "synthetic data made by skelcon" if dataset.synthetic else dataset.name
        return (
            f"{space.title}: {space.task} top-1 on the validation side, in percent, {data}, "
            f"{problem.protocol}, {problem.preset} preset, seed {space.seed}, "
            f"{space.scheduler.name}, {problem.algorithm}."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside the numbers."""
        count = Counter(trial.state for trial in self.trials)
        counts = ", ".join(f"{count[state]} {state}" for state in get_args(State) if count[state])
        epochs = sum(trial.epoch for trial in self.trials)
        notes = [
            f"{len(self.trials)} trials: {counts}; {epochs} epochs of "
            f"{len(self.trials) * self.problem.epochs}.",
            "The validation side is made of training clips; the test side was not read. The best "
            "of many trials looks better than it is: --confirm re-trains it with other seeds.",
        ]
        if self.problem.dataset.synthetic:
            notes.append(
                "Synthetic data is for trying and testing: these numbers say nothing of real "
                "actions."
            )
        if self.problem.population:
            notes.append(
                "Under pbt settings changed while trials trained: those printed are the last ones, "
                "and a training with them alone need not give the same number."
            )
        return tuple(notes)


def print_summary(console: Console, summary: Summary) -> None:
    """The best ten trials, the default, what mattered, and where the best settings are."""
    console.print(Text(summary.caption, style="bold"))
    short = short_names(list(summary.problem.space.space))
    width = max(WIDTH, console.width) if console.is_terminal else WIDTH
    grid = _grid(summary, short, in_columns=True)
    if console.measure(grid, options=console.options.update(max_width=10**4)).maximum > width:
        grid = _grid(summary, short, in_columns=False)
    console.print(grid)
    for note in summary.notes:
        console.print(Text(f"- {note}", style="dim"))
    _print_importance(console, summary.importance)
    if summary.best is not None:
        which = "the default" if summary.best is summary.default else "see best.yaml"
        console.print(Text(f"Best: trial {summary.best.number} ({which})"))


def _grid(summary: Summary, short: dict[str, str], *, in_columns: bool) -> Grid:
    """The best trials; their settings in a column each, or below each other in one."""
    grid = Grid(header_style="bold")
    for name in ("trial", "top-1", "epochs"):
        grid.add_column(name, justify="right", no_wrap=True)
    for name in short.values() if in_columns else ():
        grid.add_column(name, justify="right", no_wrap=True)
    if not in_columns:
        grid.add_column("settings", overflow="fold")

    def add(trial: Trial, style: str = "") -> None:
        value = "diverged" if trial.state == "diverged" else "-"
        if trial.value is not None and trial.state != "diverged":
            value = f"{100 * trial.value:.1f}"
        number = "default" if trial is summary.default else str(trial.number)
        settings = {short[path]: shown(trial.parameters[path]) for path in short}
        listed = "\n".join(f"{name} {value}" for name, value in settings.items())
        cells = list(settings.values()) if in_columns else [listed]
        grid.add_row(
            *(Text(cell) for cell in (number, value, str(trial.epoch), *cells)), style=style
        )

    top = summary.ranked[:SHOWN]
    for trial in top:
        add(trial, "bold" if trial is summary.best else "")
    if summary.default is not None and summary.default not in top:
        grid.add_section()
        add(summary.default, "italic")
    return grid


def _print_importance(console: Console, found: Importance) -> None:
    if not found.influences:
        console.print(Text(f"Which settings mattered: {found.method}."))
        return
    console.print(Text(f"Which settings mattered, by {found.method}:"))
    for one in found.influences:
        share = "" if one.share is None else f"{100 * one.share:5.1f} %  "
        rank = "" if one.spearman is None else f"rank correlation {one.spearman:+.2f}"
        console.print(Text(f"  {share}{one.path}  {rank}".rstrip()), soft_wrap=True)


def export(summary: Summary, record: SearchRecord, confirmation: Json | None = None) -> list[str]:
    """Write trials.csv, best.yaml and search.json beside the record; returns their names."""
    written = ["trials.csv", "search.json"]
    write_atomically(record.directory / "trials.csv", to_csv(summary))
    write_json(record.directory / "search.json", document(summary, confirmation))
    if summary.best is not None:
        write_atomically(record.directory / "best.yaml", to_yaml(summary, summary.best))
        written.insert(0, "best.yaml")
    return written


def document(summary: Summary, confirmation: Json | None = None) -> Json:
    """All of it, with what it was made of and where."""
    problem, dataset = summary.problem, summary.problem.dataset
    return {
        "search": problem.space.name,
        "caption": summary.caption,
        "notes": list(summary.notes),
        "question": problem.values,
        "best": _outcome(problem, summary.best),
        "default": _outcome(problem, summary.default),
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
            "seed": problem.space.seed,
            "preset": problem.preset,
            "set": problem.overrides,
            **environment(),
            "search_versions": {name: metadata.version(name) for name in PACKAGES},
        },
    }


def _outcome(problem: SearchProblem, trial: Trial | None) -> Json | None:
    if trial is None:
        return None
    return {
        "trial": trial.number,
        "value": trial.value,
        "epoch": trial.epoch,
        "state": trial.state,
        "parameters": trial.parameters,
        "set": as_assignments(problem.changes(trial.parameters)),
    }


def to_csv(summary: Summary) -> str:
    """A line a trial, in the order of their numbers."""
    rows = []
    for trial in summary.trials:
        row: Json = {name: getattr(trial, name) for name in ("state", "reason", "epoch", "value")}
        row = {"trial": trial.number, **row, "seconds": f"{trial.seconds:.1f}"}
        row |= {path: _inline(value) for path, value in trial.parameters.items()}
        if summary.problem.population:
            row |= {f"first {path}": _inline(value) for path, value in trial.first.items()}
        row["pretraining"], row["evaluation"] = trial.units or ("", "")
        rows.append(row)
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def to_yaml(summary: Summary, best: Trial) -> str:
    """The best trial's settings, as the ``base`` of a study."""
    problem, space = summary.problem, summary.problem.space
    tree: Json = {}
    for values in (space.base, problem.changes(best.parameters), problem.overrides):
        merge(tree, values)
    base = _flat(tree)
    default, beside = summary.default, ""
    if default is not None and default.value is not None:
        beside = f"; the default has {100 * default.value:.2f} after {default.epoch}"
    head = [
        f"The best of {len(summary.trials)} trials of the search '{space.name}': trial "
        f"{best.number}, {100 * (best.value or 0):.2f} percent after {best.epoch} epochs{beside}.",
        summary.caption,
        f"Data {problem.dataset.fingerprint}. Chosen on the validation side.",
    ]
    if problem.population:
        head.append(summary.notes[-1])
    head += ["", f"skelcon-ablate STUDY --preset {problem.preset} {as_assignments(base)}"]
    lines = "".join(f"# {line}".rstrip() + "\n" for line in head)
    return lines + yaml.safe_dump({"base": base}, sort_keys=False)


def as_assignments(values: Json) -> str:
    """``--set`` arguments for a shell."""
    return " ".join(
        "--set " + shlex.quote(f"{path}={_inline(value, 'null')}") for path, value in values.items()
    )


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The last part of each path, or as much as keeps them apart."""
    found = {}
    for path in paths:
        parts = path.split(".")
        names = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        found[path] = next(
            name
            for name in names
            if sum(other == path or other.endswith(f".{name}") for other in paths) == 1
        )
    return found


def shown(value: Any) -> str:
    """A setting's value, to three digits."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _inline(value: Any, none: str = "") -> str:
    """``value`` as YAML on one line."""
    if value is None:
        return none
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return str(text).removesuffix("...\n").strip()


def _flat(tree: Json, above: str = "") -> Json:
    """Nested keys as key paths."""
    found: Json = {}
    for key, value in tree.items():
        path = f"{above}{key}"
        found.update(_flat(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return found
