"""Average ranks of the rows, with bars that join rows without a significant difference.

After the critical-difference diagram of Demšar ("Statistical Comparisons of Classifiers over
Multiple Data Sets", JMLR 2006); rows are listed vertically, as their labels are long.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablation.evidence.evidence import Evidence
from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.figures.predictions import predictions_of
from ablation.statistics import LEVEL, adjusted
from skelcon.figures import style


def of_results(asked: Asked) -> Figure:
    """A panel for each column in which at least two rows share at least two blocks."""
    found = {}
    for column in [asked.column] if asked.column else asked.plan.ranked:
        blocks = blocks_of(asked, column)
        if blocks.shape[0] > 1 and blocks.shape[1] > 1:
            differ = significant_pairs(asked.table.evidence, column, list(blocks.columns))
            labels = [asked.rows[row] for row in blocks.columns]
            differ = differ.set_axis(labels, axis=0).set_axis(labels, axis=1)
            found[asked.columns[column]] = (blocks.set_axis(labels, axis=1), differ)
    if not found:
        raise DoesNotApplyError("no two rows share two blocks (seed x group)")
    return ranks(found)


def blocks_of(asked: Asked, column: str) -> pd.DataFrame:
    """(seed and group of test clips, main row) -> accuracy; complete blocks only."""
    rows = {}
    for row in asked.plan.study.rows:
        try:
            lines = predictions_of(asked, row, column)
        except DoesNotApplyError:
            continue
        right = lines["prediction"] == lines["label"]
        rows[row] = right.groupby([lines["seed"], lines["group"]]).mean()
    return pd.DataFrame(rows).dropna()


def significant_pairs(evidence: Evidence, column: str, rows: Sequence[str]) -> pd.DataFrame:
    """Whether the paired difference of two rows is significant at 5 % after Holm's correction.

    The correction is over all pairs of these rows. A difference without a known error is never
    significant.

    Returns:
        (rows, rows) bool.
    """
    found = pd.DataFrame(False, index=list(rows), columns=list(rows))
    known: dict[tuple[str, str], float] = {}
    for one, other in itertools.combinations(rows, 2):
        difference = evidence.difference((one, column), (other, column))
        if difference is not None and difference.p is not None:
            known[one, other] = difference.p
    for (one, other), p in zip(known, adjusted(list(known.values())), strict=True):
        found.loc[one, other] = found.loc[other, one] = bool(p < LEVEL)
    return found


def cliques(differ: pd.DataFrame) -> list[list[int]]:
    """The maximal sets of two or more rows without a significant difference, as positions.

    Args:
        differ: (rows, rows) bool.
    """
    count = len(differ)
    joined = ~differ.to_numpy(bool)
    found: list[set[int]] = []

    def grow(members: set[int], left: set[int], done: set[int]) -> None:
        if not left and not done:
            found.append(members)
        for each in sorted(left):
            near = {other for other in range(count) if other != each and joined[each, other]}
            grow(members | {each}, left & near, done & near)
            left, done = left - {each}, done | {each}

    grow(set(), set(range(count)), set())
    return sorted(sorted(each) for each in found if len(each) > 1)


@style.styled
def ranks(panels: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> Figure:
    """A point for each row at its average rank, the best on top, and bars at the right.

    Args:
        panels: label -> accuracies (blocks, rows), and whether two rows differ significantly (rows,
            rows). Rank 1 is the best; ties share the mean of their ranks.
    """
    heights = []
    for blocks, _ in panels.values():
        heights.append(len(blocks.columns) * style.row_height(list(blocks.columns), 0.16) + 0.25)
    figure = style.sheet(sum(heights) + 0.45)
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights, sharex=True)
    widest = max(len(blocks.columns) for blocks, _ in panels.values())
    farthest = widest + 0.3
    for axes, (label, (blocks, differ)) in zip(all_axes[:, 0], panels.items(), strict=True):
        mean = blocks.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
        axes.plot(mean, range(len(mean)), "o", color=style.COLOURS[0], ls="")
        for y, rank in enumerate(mean):
            axes.plot([0, rank], [y, y], color="#DDDDDD", lw=0.8, zorder=0)
        joined = cliques(differ.loc[mean.index, mean.index])
        for number, members in enumerate(joined):
            x, at = widest + 0.6 + 0.35 * number, np.array(members)
            axes.plot(np.full(2, x), [at[0], at[-1]], color=style.INK, lw=1.5)
            axes.plot(np.full(len(at), x), at, "o", color=style.INK, ms=3, ls="")
        farthest = max(farthest, widest + 0.6 + 0.35 * len(joined))
        style.label_rows(axes, [str(each) for each in mean.index])
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_bounds(1, widest)
        axes.set_xticks(range(1, widest + 1))
        title = style.folded(str(label), 24, 1) + f" ({len(blocks)} blocks)"
        axes.set_title(title, fontsize=style.SMALL, loc="left")
    all_axes[0, 0].set_xlim(0.8, farthest)
    text = "average rank (1 is best)\nbars: no significant difference"
    all_axes[-1, 0].set_xlabel(text)
    return figure
