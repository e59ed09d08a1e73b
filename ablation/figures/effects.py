"""What each factor of a design does: differences between its levels, with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablation.evidence.design_cells import Effect
from ablation.evidence.effects import Effects
from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.report.effect_words import EffectWords
from skelcon.figures import style


def of_results(asked: Asked) -> Figure:
    """A line for each level of each factor, and for each interaction that is shown."""
    found = asked.table.effects
    if not found:
        raise DoesNotApplyError("the study has no design")
    known = [each for each in found if each.main and asked.column in (None, each.column)]
    if not known:
        raise DoesNotApplyError(found[0].reason or "no effect is known yet")
    return effects(frame_of(asked, known), asked.metric)


def frame_of(asked: Asked, found: list[Effects]) -> pd.DataFrame:
    """factor, label, series, value, low, high, shown; levels against the factor's first level."""
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
    """The level that all others of a factor are drawn against."""
    factor = effect.factors[0]
    return next(e.against[0] for e in each.main if e.factors == (factor,))


@style.styled
def effects(lines: pd.DataFrame, metric: str) -> Figure:
    """Differences with their intervals around zero; those that are shown are filled.

    Args:
        lines: as :func:`frame_of` gives them.
        metric: what the axis of values is of.
    """
    rows = lines.drop_duplicates(["factor", "label"]).reset_index(drop=True)
    names = list(dict.fromkeys(lines["series"]))
    labels = [str(label) for label in rows["label"]]
    height = max(style.row_height(labels), 0.085 * len(names) + 0.07)
    below = style.legend_height(names, min(3, len(names))) if len(names) > 1 else 0
    figure = style.sheet(len(labels) * height + 0.6 + below)
    axes = figure.subplots()
    at = {(f, la): y for y, (f, la) in enumerate(zip(rows["factor"], rows["label"], strict=True))}
    step, handles = 0.085 / height if len(names) > 1 else 0.0, []
    for number, name in enumerate(names):
        look = style.distinct(number)
        here = lines[lines["series"] == name]
        shift = (number - (len(names) - 1) / 2) * step
        pairs = zip(here["factor"], here["label"], strict=True)
        places = np.array([at[pair] + shift for pair in pairs])
        value, low, high = (here[each].to_numpy(float) for each in ("value", "low", "high"))
        axes.hlines(places, low, high, color=look["color"], lw=1)
        for shown in (True, False):
            some = here["shown"].to_numpy(bool) == shown
            filled = look["color"] if shown else "white"
            axes.plot(
                value[some], places[some], look["marker"], color=look["color"], mfc=filled, ls=""
            )
        handles.append(Line2D([], [], color=look["color"], marker=look["marker"], lw=1))
    for y in range(1, len(rows)):
        same = rows["factor"][y] == rows["factor"][y - 1]
        axes.axhline(y - 0.5, color="#EEEEEE" if same else style.FAINT, lw=0.5, zorder=0)
    axes.axvline(0, color=style.FAINT, lw=0.8, zorder=0)
    style.label_rows(axes, labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=5)
    told = f"difference in {metric}\nbars: 95 % interval; filled: significant"
    axes.set_xlabel(told, fontsize=style.SMALL)
    if len(names) > 1:
        style.legend(figure, handles, names, columns=min(3, len(names)))
    return figure
