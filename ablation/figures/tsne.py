"""t-SNE of untrained and trained features of ten random classes, in three draws (Figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ablation.figures.asked import Asked
from skelcon.figures import style

CLASSES, DRAWS, SEED = 10, 3, 0


@dataclass(frozen=True)
class Draw:
    """The features of some classes by both encoders, in two dimensions.

    Attributes:
        names: the names of the classes.
        labels: (n,) indices into ``names``.
        untrained, trained: (n, 2).
    """

    names: Sequence[str]
    labels: NDArray[np.int64]
    untrained: NDArray[np.float32]
    trained: NDArray[np.float32]


def of_results(asked: Asked) -> Figure:
    """The features of the test clips by the encoders of the chosen cell's first seed."""
    _ = asked.frames  # asked before torch is imported
    from ablation.figures.encoders import evaluation_with_data, features_of, untrained

    unit, dataset, name = evaluation_with_data(asked)
    clips = unit.side.clips(dataset, unit.test)
    both = [features_of(each, asked.store, dataset, clips) for each in (untrained(unit), unit)]
    labels, rng = dataset.labels[clips], np.random.default_rng(SEED)
    there = np.unique(labels)
    draws = []
    for _ in range(DRAWS):
        some = np.sort(rng.choice(there, min(CLASSES, len(there)), replace=False))
        mine = np.isin(labels, some)
        places = [embedded(features[mine]) for features in both]
        names = [dataset.class_names[label] for label in some]
        draws.append(Draw(names, np.searchsorted(some, labels[mine]), *places))
    return clusters(draws, name)


def embedded(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 2) t-SNE of unit vectors, so that distances follow the cosine; zeros for n < 4."""
    from sklearn.manifold import TSNE

    if len(features) < 4:
        return np.zeros((len(features), 2), np.float32)
    perplexity = min(30.0, (len(features) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(features)
    return np.asarray(places, np.float32)


@style.styled
def clusters(draws: Sequence[Draw], name: str) -> Figure:
    """A column for each draw: untrained above, trained below, then the names of its classes."""
    most = max(len(draw.names) for draw in draws)
    figure = style.sheet(2.45 + 0.115 * most)
    grid = figure.subplots(3, len(draws), squeeze=False, height_ratios=[1.05, 1.05, 0.115 * most])
    rows = ("untrained", style.folded(name, 18))
    for number, (column, draw) in enumerate(zip(grid.T, draws, strict=True)):
        looks = [_look(each) for each in range(len(draw.names))]
        for axes, places in zip(column[:2], (draw.untrained, draw.trained), strict=True):
            for label, look in enumerate(looks):
                here = places[draw.labels == label]
                axes.plot(here[:, 0], here[:, 1], ls="", ms=2.2, mew=0.4, **look)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        column[2].set_axis_off()
        handles = [Line2D([], [], ls="", ms=3.5, **look) for look in looks]
        made = column[2].legend(
            handles,
            [style.folded(each, 15, 1) for each in draw.names],
            loc="upper left",
            bbox_to_anchor=(-0.1, 1.0),
            fontsize=style.LEAST,
            borderaxespad=0,
            borderpad=0,
            handletextpad=0.1,
            labelspacing=0.15,
        )
        made.set_in_layout(False)
        if number == 0:
            for axes, text in zip(column[:2], rows, strict=True):
                axes.set_ylabel(text, fontsize=style.SMALL)
    return figure


def _look(number: int) -> style.Look:
    """Ten different looks; the last ones are hollow."""
    colours = len(style.COLOURS) - 1
    colour = style.COLOURS[number % colours]
    return {
        "color": colour,
        "marker": style.MARKERS[number % len(style.MARKERS)],
        "mfc": colour if number < colours else "white",
    }
