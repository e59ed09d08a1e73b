"""The result of a search: the best trials, the default, which settings mattered; and its files."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table as Grid

from ablation.report.notes import SYNTHETIC
from ablation.search.evidence import Lead, TrialEvidence
from ablation.search.importance import importance
from ablation.search.problem import DEFAULT, EPOCHS
from ablation.search.recipe import PRESET, preset_yaml, settings_of
from ablation.search.record import SearchRecord, State, Trial
from ablation.store import Store, write_atomically, write_json
from ablation.store.provenance import environment
from ablation.text import plural
from skelcon.cli.terminal import styled
from skelcon.config import Json
from skelcon.data import kind_of_groups, split

SHOWN = 10
"""How many of the best trials are printed."""
WIDTH = 80
"""Columns of the printed summary, unless the terminal is wider."""
PACKAGES = ("optuna", "scikit-learn")
VALIDATION = (
    "The test side was not read. The best of many trials looks better than it is: --confirm "
    "re-trains it with other seeds."
)
POPULATION = (
    "Under pbt settings changed while trials trained, all on the first fold. The last settings are "
    "printed; a training with them alone need not give the same number."
)


class Summary:
    """A search so far.

    Args:
        record: the trials.
        store: where their predictions are.

    Attributes:
        ranked: trials with a value, the best first: trials that ran to their end before trials
            that were stopped, the later stopped before the earlier.
        best: the best of the trials that ran the furthest; of equal ones the first.
        ahead: trials with a higher value than the best, but after fewer epochs.
        default: the trial that changes nothing.
        evidence: how sure these numbers are.
        lead: of the best over the default, where both ran to their end.
    """

    def __init__(self, record: SearchRecord, store: Store) -> None:
        self.problem, self.trials = record.problem, record.trials()
        self.evidence = TrialEvidence(self.problem, store)
        self.importance = importance(record)
        unusable = ("diverged", "failed")
        usable = [t for t in self.trials if t.value is not None and t.state not in unusable]
        self.ranked = sorted(usable, key=lambda t: (-t.epoch, -(t.value or 0.0), t.number))
        self.best = self.ranked[0] if self.ranked else None
        best_value = (self.best.value if self.best is not None else None) or 0.0
        self.ahead = [trial for trial in self.ranked if (trial.value or 0.0) > best_value]
        unchanged = [t for t in self.trials if t.number == DEFAULT and t.parameters == t.first]
        self.default = unchanged[0] if unchanged else None
        self.lead: Lead | None = None
        if self.best is not None and self.default not in (None, self.best):
            assert self.default is not None
            self.lead = self.evidence.lead(self.best, self.default)

    @property
    def caption(self) -> str:
        """What was searched, on which data, and what the numbers are."""
        problem, space, dataset = self.problem, self.problem.space, self.problem.dataset
        data = "synthetic data made by skelcon" if dataset.synthetic else dataset.name
        folds = f"{problem.folds[0]} alone" if problem.population else str(problem.num_folds)
        return (
            f"{space.title}: {space.task} {space.metric_in_words} by cross-validation over the "
            f"{self.groups} of the training side (folds: {folds}), in percent, {data}, "
            f"{problem.protocol}, {problem.preset} preset, seed {space.seed}, "
            f"{space.scheduler.name}, {problem.algorithm}."
        )

    @property
    def groups(self) -> str:
        """What the folds hold out, such as ``subjects``."""
        dataset, protocol = self.problem.dataset, self.problem.protocol
        return f"{kind_of_groups(dataset, protocol, split(dataset, protocol, 'train'))}s"

    @property
    def verdict(self) -> str:
        """Whether the best is better than the default; empty if that is not known."""
        if self.best is not None and self.best is self.default:
            as_far = " that was trained for as many epochs" if self.ahead else ""
            unfinished = sum(trial.state == "unfinished" for trial in self.trials)
            so_far = f" so far ({unfinished} unfinished)" if unfinished else ""
            return f"No trial{as_far} is better than the default{so_far}."
        if self.lead is None:
            return ""
        within = "" if self.lead.clear else ": within one standard error of the default"
        return f"Best less default: {self.lead.in_words} over clips and {self.groups}{within}."

    @property
    def notes(self) -> list[str]:
        """What a reader must know beside the numbers."""
        count = Counter(trial.state for trial in self.trials)
        counts = ", ".join(f"{count[state]} {state}" for state in get_args(State) if count[state])
        epochs = sum(trial.epoch for trial in self.trials)
        most = len(self.trials) * self.problem.steps
        done = f"{epochs} epochs of {most}, counted over {plural(len(self.problem.folds), 'fold')}"
        notes = [f"{len(self.trials)} trials: {counts}; {done}.", VALIDATION]
        if self.best is not None and self.ahead:
            notes.append(_not_compared(self.best, self.ahead))
        if EPOCHS in self.problem.space.space:
            notes.append(
                "Trials of other lengths than the default's are compared at the same share of "
                "their own training, and their epochs are counted on the default's scale."
            )
        if self.problem.dataset.synthetic:
            notes.append(SYNTHETIC)
        if self.problem.population:
            notes.append(POPULATION)
        return notes


def _not_compared(best: Trial, ahead: Sequence[Trial]) -> str:
    """Why trials with a higher value than ``best`` are not the best."""
    shown = [
        f"trial {trial.number} ({100 * (trial.value or 0):.1f} after {trial.epoch}, {trial.state})"
        for trial in ahead[:SHOWN]
    ]
    shown += [f"{len(ahead) - SHOWN} more"] if len(ahead) > SHOWN else []
    return (
        f"The best is chosen among the trials with the most epochs ({best.epoch}). Higher after "
        f"fewer epochs, and not compared: {', '.join(shown)}."
    )


def print_summary(console: Console, summary: Summary) -> None:
    """The best ten trials, the default, what mattered, and where the best settings are."""
    console.print(styled(summary.caption, "bold"))
    width = max(WIDTH, console.width) if console.is_terminal else WIDTH
    grid = _grid(summary, in_columns=True)
    if console.measure(grid, options=console.options.update(max_width=10**4)).maximum > width:
        grid = _grid(summary, in_columns=False)
    console.print(grid)
    for note in summary.notes:
        console.print(styled(f"- {note}", "dim"))
    found = summary.importance
    ending = f", by {found.method}:" if found.influences else f": {found.method}."
    console.print(styled(f"Which settings mattered{ending}"))
    for one in found.influences:
        share = "" if one.share is None else f"{100 * one.share:5.1f} %  "
        rank = "" if one.spearman is None else f"rank correlation {one.spearman:+.2f}"
        console.print(styled(f"  {share}{one.path}  {rank}".rstrip()), soft_wrap=True)
    if summary.best is not None:
        which = "default" if summary.best is summary.default else "see best.yaml"
        console.print(styled(f"Best: trial {summary.best.number} ({which})"))
    if summary.verdict:
        console.print(styled(summary.verdict))


def _grid(summary: Summary, *, in_columns: bool) -> Grid:
    """The best trials, with a column for each setting, or all settings in one column."""
    short = short_names(list(summary.problem.space.space))
    grid = Grid(header_style="bold")
    metric = summary.problem.space.metric_in_words
    epochs = f"epochs\nof {summary.problem.steps}"
    for name in ("trial", metric, epochs, *(short.values() if in_columns else ())):
        grid.add_column(name, justify="right", no_wrap=True)
    if not in_columns:
        grid.add_column("settings", overflow="fold")

    def add(trial: Trial, style: str) -> None:
        value = "-" if trial.value is None else f"{100 * trial.value:.1f}"
        error = summary.evidence.error(trial)
        value += "" if error is None else f" ± {100 * error:.1f}"
        value = "diverged" if trial.state == "diverged" else value
        number = f"{trial.number} (default)" if trial is summary.default else str(trial.number)
        cells = [shown(trial.parameters[path]) for path in short]
        if not in_columns:
            pairs = zip(short.values(), cells, strict=True)
            cells = ["\n".join(f"{name} {cell}" for name, cell in pairs)]
        grid.add_row(*map(styled, (number, value, str(trial.epoch), *cells)), style=style)

    top = summary.ranked[:SHOWN]
    for trial in top:
        add(trial, "bold" if trial is summary.best else "")
    if summary.default is not None and summary.default not in top:
        grid.add_section()
        add(summary.default, "italic")
    return grid


def export(summary: Summary, directory: Path, confirmation: Json | None = None) -> list[str]:
    """Write best.yaml, preset.yaml, trials.csv and search.json beside the record.

    Returns:
        Their names.
    """
    texts = {"trials.csv": to_csv(summary)}
    if summary.best is not None:
        head = _head(summary, summary.best)
        preset = preset_yaml(summary.problem, summary.best, [*head, "", usage(Path())])
        texts = {"best.yaml": to_yaml(summary, summary.best), PRESET: preset, **texts}
    for name, text in texts.items():
        write_atomically(directory / name, text)
    write_json(directory / "search.json", document(summary, confirmation))
    return [*texts, "search.json"]


def document(summary: Summary, confirmation: Json | None = None) -> Json:
    """The whole result, with its provenance."""
    problem = summary.problem
    about = ("name", "fingerprint", "family", "synthetic")
    return {
        "search": problem.space.name,
        "caption": summary.caption,
        "notes": summary.notes,
        "question": problem.values,
        "best": _outcome(summary, summary.best),
        "default": _outcome(summary, summary.default),
        "lead": None if summary.lead is None else asdict(summary.lead),
        "verdict": summary.verdict,
        "importance": asdict(summary.importance),
        "trials": [asdict(trial) for trial in summary.trials],
        "confirmation": confirmation,
        "provenance": {
            "data": {name: getattr(problem.dataset, name) for name in about},
            "seed": problem.space.seed,
            "preset": problem.preset.name,
            "set": problem.overrides,
            **environment(),
            "search_versions": {name: metadata.version(name) for name in PACKAGES},
        },
    }


def _outcome(summary: Summary, trial: Trial | None) -> Json | None:
    if trial is None:
        return None
    values = {name: getattr(trial, name) for name in ("value", "epoch", "state", "parameters")}
    settings = as_assignments(summary.problem.changes(trial.parameters))
    error = summary.evidence.error(trial)
    return {"trial": trial.number, **values, "error": error, "set": settings}


def to_csv(summary: Summary) -> str:
    """A line a trial, in the order of their numbers."""
    rows = []
    for trial in summary.trials:
        values = {name: getattr(trial, name) for name in ("state", "reason", "epoch", "value")}
        row: Json = {"trial": trial.number, **values, "seconds": f"{trial.seconds:.1f}"}
        row |= {path: _inline(value, "") for path, value in trial.parameters.items()}
        if summary.problem.population:
            row |= {f"first {path}": _inline(value, "") for path, value in trial.first.items()}
        row["pretraining"] = " ".join(trial.units[::2])  # a key for each fold
        row["evaluation"] = " ".join(trial.evaluations)
        rows.append(row)
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def to_yaml(summary: Summary, best: Trial) -> str:
    """The best trial's settings, as the ``base`` of a study."""
    base = settings_of(summary.problem, best)
    command = f"skelcon-ablate STUDY --preset {summary.problem.preset} {as_assignments(base)}"
    head = [*_head(summary, best), "", command]
    lines = "".join(f"# {line}".rstrip() + "\n" for line in head)
    return lines + yaml.safe_dump({"base": base}, sort_keys=False)


def _head(summary: Summary, best: Trial) -> list[str]:
    """How the best was chosen, and how sure that is; without a date."""
    problem, default, beside = summary.problem, summary.default, ""
    if default is not None and default.value is not None and default is not best:
        beside = f"; the default has {_percent(summary, default)} after {default.epoch}"
    head = [
        f"The best of {len(summary.trials)} trials of the search '{problem.space.name}': trial "
        f"{best.number}, {_percent(summary, best)} percent after {best.epoch} epochs{beside}.",
        f"(The default is the {problem.preset} preset with the base of the search.)",
        summary.verdict,
        summary.caption,
        f"Data {problem.dataset.fingerprint}. Chosen by cross-validation on the training side.",
    ]
    head += [_not_compared(best, summary.ahead)] if summary.ahead else []
    head += [POPULATION] if problem.population else []
    return [line for line in head if line]


def _percent(summary: Summary, trial: Trial) -> str:
    """``74.25 ± 2.91``, or without an error if it is not known."""
    error = summary.evidence.error(trial)
    return f"{100 * (trial.value or 0):.2f}" + ("" if error is None else f" ± {100 * error:.2f}")


def usage(directory: Path) -> str:
    """The command that takes the preset file of a search in ``directory``."""
    return f"skelcon-ablate STUDY --data PATH --preset {shlex.quote(str(directory / PRESET))}"


def as_assignments(values: Json) -> str:
    """``--set`` arguments for a shell."""
    settings = (f"{path}={_inline(value)}" for path, value in values.items())
    return " ".join(f"--set {shlex.quote(setting)}" for setting in settings)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The last part of each path, or as many parts as make it unique."""
    found = {}
    for path in paths:
        parts, others = path.split("."), [f".{other}" for other in paths if other != path]
        names = (".".join(parts[at:]) for at in reversed(range(len(parts))))
        clear = (n for n in names if not any(other.endswith(f".{n}") for other in others))
        found[path] = next(clear, path)
    return found


def shown(value: Any) -> str:
    """A setting's value, to three digits."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _inline(value: Any, none: str = "null") -> str:
    """``value`` as YAML on one line."""
    if value is None:
        return none
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return str(text).removesuffix("...\n").strip()
