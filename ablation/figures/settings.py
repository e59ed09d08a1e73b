"""Accuracy along one numeric setting, such as |j| (Table 8), l_min (9) or a share of labels (2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablation.figures.asked import Asked, DoesNotApplyError
from skelcon.config import flat
from skelcon.figures import style

NAMES = {
    "pretrain.augment.jitter.joints": "jittered joints |j| (of 25)",
    "pretrain.augment.crop.l_min": "shortest crop, of the clip ($l_{min}$)",
    "pretrain.optimiser.lr": "learning rate",
    "finetune.labels": "share of the labels",
}
"""Setting -> label of the axis; other settings are called by their keys."""
_WIDE = 20
"""The axis is logarithmic from this ratio of the largest to the smallest value."""


def of_results(asked: Asked) -> Figure:
    """The curve along the setting in which rows differ, or else columns."""
    study, entries = asked.plan.study, asked.entries
    for by, sets, line, name in (
        ("row", {row: each.set for row, each in study.rows.items()}, "column", "column_label"),
        ("column", {col: study.columns[col].set for col in asked.plan.ranked}, "row", "label"),
    ):
        key, values = _setting(sets)
        if key is not None:
            main = entries[~entries["reference"]].assign(x=entries[by].map(values))
            levels = entries[entries["reference"]] if by == "row" else entries.iloc[:0]
            if by == "column":
                main = entries.assign(x=entries[by].map(values))
            if main["mean"].isna().all():
                raise DoesNotApplyError("no cell has a number yet")
            main = main.assign(line=main[line], line_label=main[name])
            title = NAMES.get(key, style.plain(key))
            return along(main, title, asked.metric, asked.whiskers, levels)
    raise DoesNotApplyError(
        "neither its rows nor its columns differ in exactly one numeric setting"
    )


def _setting(sets: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, dict[str, float]]:
    """The only key in which they differ, and its numbers by name; None if there is no such key."""
    every = {name: flat(each) for name, each in sets.items()}
    keys = {key for each in every.values() for key in each}
    differ = [key for key in keys if len({repr(each.get(key)) for each in every.values()}) > 1]
    if len(differ) != 1:
        return None, {}
    values = {name: each.get(differ[0]) for name, each in every.items()}
    numbers = [v for v in values.values() if isinstance(v, int | float) and v is not True]
    if len(numbers) < len(values) or len(set(numbers)) < len(numbers):
        return None, {}
    return differ[0], {name: float(value) for name, value in values.items() if value is not None}


@style.styled
def along(
    entries: pd.DataFrame,
    setting: str,
    metric: str,
    whiskers: str = "",
    levels: pd.DataFrame | None = None,
) -> Figure:
    """A curve with a band for each ``line``, and horizontal lines for references.

    Args:
        entries: x, line, line_label, mean, low, high.
        setting, metric: the labels of the axes.
        whiskers: the meaning of the bands.
        levels: label and mean of the references; they are drawn if there is a single curve.
    """
    entries = entries.dropna(subset="mean")
    lines = entries["line"].unique()
    beside: list[tuple[float, str]] = []
    if levels is not None and len(lines) == 1:
        known = levels.dropna(subset="mean")
        beside = list(zip(known["mean"].astype(float), known["label"].astype(str), strict=True))
    names = [str(entries.loc[entries["line"] == line, "line_label"].iloc[0]) for line in lines]
    names += [label for _, label in beside]
    across = 1 if beside else 2
    below = style.legend_height(names, across) if len(names) > 1 else 0
    figure = style.sheet(1.95 + below)
    axes = figure.subplots()
    handles = []
    for number, line in enumerate(lines):
        look = style.distinct(number)
        here = entries[entries["line"] == line].sort_values("x")
        axes.fill_between(
            here["x"], here["low"], here["high"], color=look["color"], alpha=0.2, lw=0
        )
        axes.plot(here["x"], here["mean"], **look)
        handles.append(Line2D([], [], **look))
    for number, (height, _) in enumerate(beside):
        dashes = style.LINES[1 + number % 3]
        axes.axhline(height, color=style.FAINT, ls=dashes, lw=0.9)
        handles.append(Line2D([], [], color=style.FAINT, ls=dashes, lw=0.9))
    _ticks(axes, np.unique(entries["x"].to_numpy(float)))
    axes.grid(axis="y")
    axes.locator_params(axis="y", nbins=5)
    axes.set_xlabel(setting)
    axes.set_ylabel(metric)
    if whiskers and entries["low"].notna().any():
        axes.set_title(f"bands: {whiskers}", fontsize=style.SMALL, loc="right", color=style.FAINT)
    if len(names) > 1:
        style.legend(figure, handles, names, across)
    return figure


def _ticks(axes: Any, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Set ticks at the values, as far as there is room for their labels."""
    wide = values.min() > 0 and values.max() / values.min() >= _WIDE
    if wide:
        axes.set_xscale("log")
        axes.minorticks_off()
    places = np.log(values) if wide else values
    span = np.ptp(places) or 1.0
    shown: list[int] = []
    for number, place in enumerate(places):
        if not shown or (place - places[shown[-1]]) / span > 0.13:
            shown.append(number)
    axes.set_xticks(values[shown], [f"{value:g}" for value in values[shown]])
