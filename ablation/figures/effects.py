"""The effects of the factors of a design: differences between levels, with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablation.evidence.design_cells import Effect
from ablation.evidence.effects import Effects
from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.figures.forest import Series, forest
from ablation.report.effect_words import EffectWords
from skelcon.figures import style


def of_results(asked: Asked) -> Figure:
    """A line for each level of each factor, and for each significant interaction."""
    found = asked.table.effects
    if not found:
        raise DoesNotApplyError("the study has no design")
    known = [each for each in found if each.main and asked.column in (None, each.column)]
    if not known:
        raise DoesNotApplyError(found[0].reason or "no effect is known yet")
    return effects(frame_of(asked, known), asked.metric)


def frame_of(asked: Asked, found: list[Effects]) -> pd.DataFrame:
    """A line for each level against its factor's first level, and for each interaction.

    Columns: factor, label, series, value, low, high, shown.
    """
    lines = []
    for each in found:
        words = EffectWords(each)
        parts = [asked.columns[each.column]] if len(asked.columns) > 1 else []
        parts += [each.kind] if len({other.kind for other in found}) > 1 else []
        series = ", ".join(parts)
        for effect in (*each.main, *words.shown_interactions):
            if effect.against[0] == _first(each, effect):
                difference, factor = effect.difference, words.factor(effect.factors)
                within = difference.interval or (np.nan, np.nan)
                numbers = (100 * x for x in (difference.value, *within))
                pair = words.levels(effect, effect.levels), words.levels(effect, effect.against)
                lines.append((factor, " – ".join(pair), series, *numbers, effect.shown))
    named = ["factor", "label", "series", "value", "low", "high", "shown"]
    return pd.DataFrame(lines, columns=named)


def _first(each: Effects, effect: Effect) -> str:
    """The level that all others of a factor are compared with in the figure."""
    factor = effect.factors[0]
    return next(e.against[0] for e in each.main if e.factors == (factor,))


def effects(lines: pd.DataFrame, metric: str) -> Figure:
    """Differences with their intervals; the points of significant ones are filled.

    Args:
        lines: as :func:`frame_of` gives them.
        metric: the metric that the differences are of.
    """
    rows = lines.drop_duplicates(["factor", "label"]).reset_index(drop=True)
    places = {pair: y for y, pair in enumerate(zip(rows["factor"], rows["label"], strict=True))}
    series = []
    for name, here in lines.groupby("series", sort=False):
        value, low, high = (here[each].to_numpy(float) for each in ("value", "low", "high"))
        pairs = zip(here["factor"], here["label"], strict=True)
        at, shown = np.array([places[pair] for pair in pairs]), here["shown"].to_numpy(bool)
        series.append(Series(str(name), at, value, low, high, shown))
    title = f"difference in {metric}\nbars: 95 % interval; filled: significant"
    dividers = {y for y in range(1, len(rows)) if rows["factor"][y] != rows["factor"][y - 1]}
    figure = forest(rows["label"].tolist(), series, title, dividers)
    figure.axes[0].axvline(0, color=style.FAINT, lw=0.8, zorder=0)
    return figure
