"""Accuracy against what it costs: parameters, and training time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.fusion import evaluations_of
from skelcon.figures import style

Cost = Callable[[Asked, str, str], float | None]
"""(asked, row, column) -> the cost of a cell; None if it is not known."""
_WIDE = 8
"""The axis is logarithmic from this ratio of the largest to the smallest value."""


def against_parameters(asked: Asked) -> Figure:
    """Accuracy against the parameters of the evaluated encoders."""
    points = points_of(asked, _parameters)
    if points["x"].nunique() < 2:
        raise DoesNotApplyError("all evaluated encoders have the same number of parameters")
    return tradeoff(points, "parameters of the encoder (millions)", asked.metric)


def against_time(asked: Asked) -> Figure:
    """Accuracy against the time of the pre-trainings and fine-tunings behind it."""
    points = points_of(asked, _minutes)
    if points["x"].nunique() < 2:
        raise DoesNotApplyError("fewer than two cells have a known training time")
    return tradeoff(points, "training time of a seed (minutes)", asked.metric)


def points_of(asked: Asked, cost: Cost) -> pd.DataFrame:
    """A line for each cell with a number and a cost: row, column (labels), x, y."""
    lines = []
    order = list(asked.plan.study.all_rows)
    entries = asked.entries.sort_values(
        "row", key=lambda rows: rows.map(order.index), kind="stable"
    )
    for _, line in entries.dropna(subset="mean").iterrows():
        x = cost(asked, line["row"], line["column"])
        if x is not None and x > 0:
            lines.append((line["label"], line["column_label"], x, line["mean"]))
    return pd.DataFrame(lines, columns=["row", "column", "x", "y"])


def _parameters(asked: Asked, row: str, column: str) -> float | None:
    first = evaluations_of(asked.finished(row, column)[0])
    found = [asked.store.result(unit.key).get("parameters") for unit in first]
    known = [float(each) for each in found if each is not None]
    return sum(known) / 1e6 if len(known) == len(found) else None


def _minutes(asked: Asked, row: str, column: str) -> float | None:
    """The training time of a cell in minutes: all folds together, mean over seeds."""
    seconds: dict[int, float] = {}
    for unit in asked.evaluations(row, column):
        keys = [*unit.needs, *([unit.key] if unit.trains else [])]
        for key in keys:
            provenance = asked.store.files(key).read_or_none("provenance.json") or {}
            if "seconds" not in provenance:
                return None
            spent = seconds.get(unit.side.seed, 0.0)
            seconds[unit.side.seed] = spent + float(provenance["seconds"])
    return float(np.mean([*seconds.values()])) / 60 if seconds else None


@style.styled
def tradeoff(points: pd.DataFrame, cost: str, metric: str) -> Figure:
    """A point for each cell; rows have different markers, columns different colours.

    Args:
        points: row, column (labels), x, y.
        cost, metric: the labels of the axes.
    """
    rows, columns = points["row"].unique(), points["column"].unique()
    several = len(columns) > 1
    labels = [str(each) for each in (*rows, *(columns if several else ()))]
    figure = style.sheet(1.95 + style.legend_height(labels))
    axes = figure.subplots()
    handles = []
    for number, row in enumerate(rows):
        marker = style.MARKERS[number % len(style.MARKERS)]
        own = style.FAINT if several else str(style.distinct(number)["color"])
        # Markers that are used a second time are hollow.
        hollow: style.Look = {"mfc": "white"} if number >= len(style.MARKERS) else {}
        handles.append(Line2D([], [], marker=marker, color=own, ls="", **hollow))
        for turn, column in enumerate(columns):
            here = points[(points["row"] == row) & (points["column"] == column)]
            colour = str(style.distinct(turn)["color"]) if several else own
            axes.plot(here["x"], here["y"], marker, color=colour, ms=5, alpha=0.9, ls="", **hollow)
    if several:
        for turn, _ in enumerate(columns):
            colour = str(style.distinct(turn)["color"])
            handles.append(Line2D([], [], color=colour, lw=3))
    if points["x"].max() / points["x"].min() >= _WIDE:
        axes.set_xscale("log")
        decades = np.log10(points["x"].max() / points["x"].min())
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if decades < 2.5 else (1.0,)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", nbins=5)
    axes.grid()
    axes.set_xlabel(cost)
    axes.set_ylabel(metric)
    style.legend(figure, handles, labels)
    return figure
