"""The confusion matrix of a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablation.figures.asked import Asked
from ablation.figures.predictions import predictions_of
from skelcon.figures import style

NAMED = 30
"""Up to so many classes are named; with more, only the most frequent confusions."""
LISTED = 5


def of_results(asked: Asked) -> Figure:
    """The confusion matrix of a row, over its seeds (and folds)."""
    row, column = asked.chosen_row, asked.chosen_column
    names = asked.plan.dataset.class_names
    counts = counts_of(predictions_of(asked, row, column), len(names))
    return confusion(counts, names, asked.name(row, column))


def counts_of(predictions: pd.DataFrame, classes: int) -> np.ndarray:
    """(classes, classes) how often clips of class i (row) are predicted as class j (column)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (predictions["label"], predictions["prediction"]), 1)
    return counts


@style.styled
def confusion(counts: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """The share of each predicted class by true class; darker is more.

    Args:
        counts: (C, C) as :func:`counts_of` gives them.
        names: the names of the classes.
        title: the label of the row.
    """
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    classes, named = len(names), len(names) <= NAMED
    figure = style.sheet(max(1.6, 0.105 * classes) + 0.6 if named else 3.5 + 0.12 * LISTED)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=style.HEAT, vmin=0, vmax=1, aspect="auto")
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.LEAST)
    step = 1 if classes <= 10 else 5 if classes <= 60 else 20
    some = sorted({0, *range(step - 1, classes, step)})
    axes.set_xticks(some, [str(each + 1) for each in some], fontsize=style.LEAST)
    axes.set_xlabel("predicted class")
    if named:
        numbered = [f"{number}  {name}" for number, name in enumerate(names, 1)]
        labels = [style.folded(text, 24, 1) for text in numbered]
        axes.set_yticks(range(classes), labels, fontsize=style.LEAST)
    else:
        axes.set_yticks(some, [str(each + 1) for each in some], fontsize=style.LEAST)
        axes.set_ylabel("class")
        text = "\n".join(_most(shares, names))
        axes.set_xlabel(f"predicted class\n{text}", fontsize=style.LEAST)
    axes.tick_params(length=0 if named else 2)
    axes.set_title(style.folded(title, 40), fontsize=style.SMALL, loc="right")
    return figure


def _most(shares: np.ndarray, names: Sequence[str]) -> list[str]:
    """The most frequent confusions, in words."""
    off = shares - np.diag(np.diag(shares))
    found = np.argsort(-off, axis=None, kind="stable")[:LISTED]
    pairs = np.stack(np.unravel_index(found, off.shape), axis=1)
    named = [style.folded(f"{number} {name}", 22, 1) for number, name in enumerate(names, 1)]
    return [
        f"{named[one]} → {named[other]}: {100 * off[one, other]:.0f} %"
        for one, other in pairs
        if off[one, other] > 0
    ]
