"""Notes on the pre-trainings behind each column, by the rules in ablation/README.md.

Only ``metrics.jsonl`` and ``result.json`` of finished units are read, so no data set is needed.
Units of earlier versions, which did not record these metrics, are left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ablation.fusion import Fusion
from ablation.plan import Plan
from ablation.store import Store
from ablation.text import and_joined
from ablation.units import PretrainUnit
from skelcon.config import Json

HARDLY_LEARNED = 0.20
"""Contrast top-1 below which the pretext was hardly learned."""
SOLVED = 0.95
"""Contrast top-1 above which the pretext is nearly solved."""
IMPROVING = 0.03
"""Relative decrease of the mean loss from the last tenth but one of the epochs to the last."""
IMPROVING_EPOCHS = 20
"""With fewer epochs the tenths are not compared."""
COLLAPSED_RANK = 2.0
"""Effective rank below which features have collapsed."""
COLLAPSED_ALIGNMENT, COLLAPSED_UNIFORMITY = 0.01, -0.05
"""Embeddings have collapsed if alignment is below the one and uniformity above the other."""
FALLEN = 0.03
"""Decrease of the monitored accuracy from its maximum that is reported."""


@dataclass(frozen=True)
class Curve:
    """The epochs of a finished pre-training.

    Attributes:
        row: the label of the table's row.
        steps: total number of optimisation steps.
        last: the metrics of the last epoch; without ``top1`` if the objective has no ranking.
        losses: the loss of each epoch.
        monitored: nearest-neighbour accuracies, first of the random weights, then of each epoch.
    """

    row: str
    steps: int
    last: Json
    losses: tuple[float, ...]
    monitored: tuple[float, ...] = ()

    @classmethod
    def of(cls, row: str, steps: int, epochs: Sequence[Json]) -> Curve | None:
        """From the lines of metrics.jsonl; None if they are of an earlier version."""
        last = epochs[-1] if epochs else {}
        if "loss" not in last or ("top1" in last) != ("chance" in last):
            return None
        seen = [epochs[0].get("nn_top1_start"), *(line.get("nn_top1") for line in epochs)]
        return cls(
            row,
            steps,
            epochs[-1],
            tuple(line["loss"] for line in epochs if "loss" in line),
            tuple(value for value in seen if value is not None),
        )

    def rank(self) -> float | None:
        """Effective rank of the features at the end, if it is known."""
        return self.last.get("effective_rank")


def pretext_notes(plan: Plan, store: Store) -> list[str]:
    """A line for each column that ranks; columns of the same pre-trainings share one."""
    notes: dict[frozenset[str], tuple[list[str], str]] = {}
    for column in plan.ranked:
        label = plan.study.columns[column].label or column
        keys = frozenset(key for _, key in _behind(plan, column))
        if keys in notes:
            notes[keys][0].append(label)
        elif text := describe(_curves(plan, store, column)):
            notes[keys] = ([label], text)
    return [f"{', '.join(labels)}: {text}" for labels, text in notes.values()]


def _behind(plan: Plan, column: str) -> list[tuple[str, str]]:
    """(row, key) of the pre-trainings behind the main rows of a column, each once per row.

    Fusions are left out, as other columns have their pre-trainings.
    """
    cells = (c for c in plan.cells if c.column == column and c.row in plan.study.rows)
    units = ((c.row, c.unit) for c in cells if c.unit and not isinstance(c.unit, Fusion))
    return list(dict.fromkeys((row, key) for row, unit in units for key in unit.needs))


def _curves(plan: Plan, store: Store, column: str) -> list[Curve]:
    curves = []
    for row, key in _behind(plan, column):
        files, unit = store.files(key), plan.units.get(key)
        if not isinstance(unit, PretrainUnit) or not files.is_done:
            continue
        steps = int((files.read_or_none("result.json") or {}).get("steps", 0))
        curve = Curve.of(plan.study.rows[row].label or row, steps, files.metrics())
        curves += [curve] if curve is not None else []
    return curves


def describe(curves: Sequence[Curve]) -> str:
    """The metrics of the curves and the verdicts on them; empty without curves.

    Each row is judged by the medians over its seeds. A verdict names its rows unless it is on all.
    """
    if not curves:
        return ""
    rows: dict[str, list[Curve]] = {}
    for curve in curves:
        rows.setdefault(curve.row, []).append(curve)
    sentences = [_figures(rows)]
    for verdict, advice in VERDICTS.items():
        judged = [row for row, each in rows.items() if verdict in _judge(each)]
        if judged:
            where = "" if len(judged) == len(rows) else f" in {and_joined(judged)}"
            sentences.append(f"{verdict}{where}{f': {advice}' if advice else ''}.")
    return " ".join(sentences)


NEARLY_SOLVED = "The pretext is nearly solved"
BARELY = "The pretext was hardly learned"
COLLAPSED = "The features have collapsed"
STILL_IMPROVING = "Still improving at the last epoch"
NO_HIGHER = "The nearest neighbour ends no better than it began"
FELL = "The nearest neighbour fell from its best epoch"
VERDICTS = {
    COLLAPSED: "a lower learning rate, or a norm in the encoder",
    BARELY: "weaker augmentation or more steps",
    NEARLY_SOLVED: "stronger augmentation or a longer queue",
    STILL_IMPROVING: "more epochs",
    NO_HIGHER: "what is learned does not help to recognise actions",
    FELL: "",
}
"""Verdict -> advice, in the order in which notes print them."""


def _judge(curves: Sequence[Curve]) -> list[str]:
    """The verdicts on a row, by the medians over its curves."""
    top1 = _median(curve.last.get("top1") for curve in curves)
    solved = top1 is not None and top1 > SOLVED
    found = []
    if _collapsed(curves):
        found.append(COLLAPSED)
    elif top1 is not None and top1 < HARDLY_LEARNED:
        found.append(BARELY)
    elif solved:
        found.append(NEARLY_SOLVED)
    fall = _median(_fall(curve.losses) for curve in curves)
    if fall is not None and fall > IMPROVING and not solved:
        found.append(STILL_IMPROVING)
    # At least two: the last one is compared with an earlier one.
    monitored = [curve.monitored for curve in curves if len(curve.monitored) > 1]
    gain = _median(values[-1] - values[0] for values in monitored)
    lost = _median(max(values) - values[-1] for values in monitored)
    if gain is not None and gain <= 0:
        found.append(NO_HIGHER)
    if lost is not None and lost > FALLEN:
        found.append(FELL)
    return found


def _collapsed(curves: Sequence[Curve]) -> bool:
    rank = _median(curve.rank() for curve in curves)
    if rank is not None and rank < COLLAPSED_RANK:
        return True
    aligned = _median(curve.last.get("alignment") for curve in curves)
    uniform = _median(curve.last.get("uniformity") for curve in curves)
    if aligned is None or uniform is None:
        return False
    return aligned < COLLAPSED_ALIGNMENT and uniform > COLLAPSED_UNIFORMITY


def _fall(losses: Sequence[float]) -> float | None:
    """Relative decrease of the mean loss from the last tenth but one of the epochs to the last."""
    if len(losses) < IMPROVING_EPOCHS:
        return None
    tenth = len(losses) // 10
    before, last = statistics.fmean(losses[-2 * tenth : -tenth]), statistics.fmean(losses[-tenth:])
    return (before - last) / before if before > 0 else None


def _figures(rows: dict[str, list[Curve]]) -> str:
    """``contrast top-1 8.9 % (rows 3.9 to 12.0), chance 0.8 %, after 180 steps; ...``."""
    curves = [curve for each in rows.values() for curve in each]
    ranked = [curve.last for curve in curves if "top1" in curve.last]
    chance = sorted({f"{100 * last['chance']:.1f} %" for last in ranked})
    if ranked:
        text = f"contrast top-1 {_over(rows, _percent, ' %')}, chance {' or '.join(chance)}"
    else:
        text = "no contrast top-1"
    steps = sorted({curve.steps for curve in curves if curve.steps})
    if steps:
        between = f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0])
        text += f", after {between} steps"
    if rank := _over(rows, Curve.rank):
        text += f"; effective rank {rank}"
    if end := _over(rows, lambda c: 100 * c.monitored[-1] if c.monitored else None, " %"):
        text += f"; nearest neighbour across groups of the training side {end}"
        known = {row: [c for c in each if len(c.monitored) > 1] for row, each in rows.items()}
        if start := _over(known, lambda c: 100 * c.monitored[0], " %"):
            text += f", initially {start}"
    return f"{text}."


def _percent(curve: Curve) -> float | None:
    """The contrast top-1 in percent."""
    return 100 * curve.last["top1"] if "top1" in curve.last else None


def _over(
    rows: dict[str, list[Curve]], value: Callable[[Curve], float | None], unit: str = ""
) -> str:
    """The median over the medians of the rows, with their range if they differ; empty if none."""
    medians = [_median(map(value, curves)) for curves in rows.values()]
    known = [median for median in medians if median is not None]
    if not known:
        return ""
    text = f"{statistics.median(known):.1f}{unit}"
    if f"{min(known):.1f}" != f"{max(known):.1f}":
        text += f" (rows {min(known):.1f} to {max(known):.1f})"
    return text


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
