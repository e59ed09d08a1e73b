"""Figures of a study's results; a new one is a module, and a line of :data:`FIGURES`.

Most modules have a function that draws plain data (frames, arrays), and ``of_results``, which
collects the data of an :class:`~ablation.figures.asked.Asked` or raises
:class:`~ablation.figures.asked.DoesNotApplyError`. `skelcon.figures.style` defines the look.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from ablation.figures import (
    by_class,
    confusion,
    effects,
    intervals,
    pairs,
    ranks,
    retrieval,
    settings,
    tradeoff,
    training,
    tsne,
)
from ablation.figures.asked import Asked, DoesNotApplyError

__all__ = ["FIGURES", "Asked", "DoesNotApplyError"]

FIGURES: dict[str, Callable[[Asked], Figure]] = {
    "intervals": intervals.of_results,  # the table's rows
    "setting": settings.of_results,  # along one numeric setting, such as |j| or l_min
    "effects": effects.of_results,  # what each factor of a design does
    "pairs": pairs.of_results,  # representations pre-trained together
    "confusion": confusion.of_results,  # of --row in --column
    "classes": by_class.of_results,  # --row against --against
    "parameters": tradeoff.against_parameters,
    "time": tradeoff.against_time,
    "training": training.of_results,  # loss and contrast top-1 by epoch (Figure 6)
    "ranks": ranks.of_results,  # which rows differ significantly
    "tsne": tsne.of_results,  # Figure 7; needs the data
    "retrieval": retrieval.of_results,  # Figure 8; needs the data
}
"""Name of a figure and of its files -> the function that draws it."""
