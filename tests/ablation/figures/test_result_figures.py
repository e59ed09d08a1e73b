"""Each figure of results on small frames, checked by what its axes contain."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import (
    PALETTE,
    check_apart,
    check_legible,
    colours,
    files_of,
    points,
    texts,
    tick_labels,
)
from matplotlib.figure import Figure

from ablation.evidence.evidence import Evidence
from ablation.figures import (
    by_class,
    confusion,
    intervals,
    pairs,
    ranks,
    retrieval,
    settings,
    tradeoff,
    training,
    tsne,
)
from ablation.statistics import difference_of
from skelcon.data import KINECT_V1
from skelcon.figures import style

LONG = [f"row {number}: crop-resize, pose and joint jitter of many joints" for number in range(8)]
METRIC = "top-1 accuracy (%)"


def entries(rows: list[str] = LONG, columns: int = 3, references: int = 2) -> pd.DataFrame:
    """Row r, column c has the mean 10 r + c, and intervals of ± 1."""
    lines = []
    for c in range(columns):
        for r, row in enumerate(rows):
            mean = 10.0 * r + c
            reference, best = r >= len(rows) - references, r == 3
            lines.append(
                (f"r{r}", row, f"c{c}", f"COL {c}", mean, mean - 1, mean + 1, best, reference)
            )
    named = ["row", "label", "column", "column_label", "mean", "low", "high", "best", "reference"]
    return pd.DataFrame(lines, columns=named)


def along_frame(lines: int) -> pd.DataFrame:
    xs = [2, 5, 10, 15, 20]
    values = [
        (x, f"l{n}", f"$line_{n}$", 50 + n + x, 49 + n + x, 51 + n + x)
        for n in range(lines)
        for x in xs
    ]
    return pd.DataFrame(values, columns=["x", "line", "line_label", "mean", "low", "high"])


def curve_frame() -> pd.DataFrame:
    lines = [
        (panel, row, f"{row} {seed}", epoch, 4 - epoch / 10 + seed, epoch / 20 + seed / 100, 0.01)
        for panel in ("IMG", "SEQ")
        for row in LONG
        for seed in range(3)
        for epoch in range(1, 11)
    ]
    return pd.DataFrame(lines, columns=["panel", "row", "run", "epoch", "loss", "top1", "chance"])


def block_frame(rows: list[str] = LONG, blocks: int = 20) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The last row is best, and each is clearly worse than the next; 0 and 1 are equal."""
    rng = np.random.default_rng(0)
    level = np.arange(len(rows), dtype=float)
    level[1] = level[0]
    values = pd.DataFrame(level + rng.normal(0, 0.05, (blocks, len(rows))), columns=rows)
    apart = ~np.eye(len(rows), dtype=bool)
    apart[0, 1] = apart[1, 0] = False
    return values, pd.DataFrame(apart, index=rows, columns=rows)


def class_names(count: int) -> list[str]:
    return [f"class {number} with a long name_{number}" for number in range(count)]


def class_frame(count: int) -> pd.DataFrame:
    index = pd.Index(class_names(count))
    return pd.DataFrame({"row": np.linspace(90, 30, count), "against": 60.0}, index=index)


def count_matrix(count: int) -> np.ndarray:
    counts = 8 * np.eye(count, dtype=np.int64)
    counts[0, 2] = 2
    return counts


def draws(classes: int = 10) -> list[tsne.Draw]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 6)
    places = rng.normal(size=(2, len(labels), 2)).astype(np.float32)
    return [tsne.Draw(class_names(classes), labels, *places) for _ in range(3)]


def found(queries: int = 3) -> list[list[retrieval.Shown]]:
    rng = np.random.default_rng(0)
    labels = ["throw a ball_far away", "throw a ball_far away", "knock", "knock", "draw x"]
    return [
        [retrieval.Shown(label, rng.normal(size=(1, 30, 20, 2))) for label in labels]
        for _ in range(queries)
    ]


FIGURES: dict[str, Callable[[], Figure]] = {
    "intervals": lambda: intervals.intervals(entries(), METRIC, "95 % interval"),
    "intervals, one column": lambda: intervals.intervals(entries(columns=1), METRIC),
    "intervals, two metrics": lambda: intervals.intervals(
        entries(columns=2), "nearest-neighbour accuracy (%) or top-1 accuracy (%)", "95 % interval"
    ),
    "setting": lambda: settings.along(along_frame(8), "joints", METRIC, "95 % interval"),
    "setting, levels": lambda: settings.along(along_frame(1), "x", METRIC, "", entries(columns=1)),
    "pairs": lambda: pairs.heat(matrix(), "pre-trained with", "evaluated", METRIC),
    "confusion": lambda: confusion.confusion(count_matrix(27), class_names(27), LONG[0]),
    "confusion, 120": lambda: confusion.confusion(count_matrix(120), class_names(120), LONG[0]),
    "classes": lambda: by_class.by_class(class_frame(27), LONG[0], LONG[1]),
    "classes, 120": lambda: by_class.by_class(class_frame(120), LONG[0], LONG[1]),
    "parameters": lambda: tradeoff.tradeoff(costs(1000), "parameters", METRIC),
    "time": lambda: tradeoff.tradeoff(costs(3), "minutes", METRIC),
    "training": lambda: training.training(curve_frame()),
    "ranks": lambda: ranks.ranks({"IMG": block_frame(), "SEQ": block_frame(LONG[:4])}),
    "tsne": lambda: tsne.clusters(draws(), LONG[0]),
    "retrieval": lambda: retrieval.strips(found(), KINECT_V1, LONG[0]),
}


@functools.cache
def drawn(name: str) -> Figure:
    """A figure, drawn once for the tests of all figures."""
    return FIGURES[name]()


def matrix() -> pd.DataFrame:
    names = ["alone", "IMG", "STG", "SEQ", "both others"]
    values = np.arange(15.0).reshape(3, 5)
    values[0, 1] = np.nan
    return pd.DataFrame(values, index=["IMG", "STG", "SEQ with a long name"], columns=names)


def costs(ratio: float) -> pd.DataFrame:
    lines = [
        (row, f"COL {c}", 1 + (ratio - 1) * r / 7 + c, 50.0 + r + c)
        for r, row in enumerate(LONG)
        for c in range(3)
    ]
    return pd.DataFrame(lines, columns=["row", "column", "x", "y"])


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_legible_at_column_width_and_written_in_all_formats(
    name: str, tmp_path: Path
) -> None:
    figure = drawn(name)
    check_legible(figure)
    for axes in figure.axes:
        check_apart(axes.texts)
    files = files_of(figure, tmp_path)
    assert set(files) == set(style.FORMATS)
    assert min(map(len, files.values())) > 2000


@pytest.mark.parametrize("name", [name for name in FIGURES if not name.startswith("retrieval")])
def test_a_figure_uses_colours_for_the_colour_blind(name: str) -> None:
    assert colours(drawn(name)) <= PALETTE


def test_two_calls_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (files_of(FIGURES["tsne"](), tmp_path / folder) for folder in ("one", "two"))
    assert one == two


def test_intervals_show_each_mean_and_interval_in_its_row() -> None:
    figure = FIGURES["intervals"]()
    (axes,) = figure.axes
    assert [label.get_text().split("\n")[0] for label in tick_labels(axes, "y")] == [
        style.folded(row, 24).split("\n")[0] for row in LONG
    ]
    for c in range(3):
        drawn = sorted(points(axes, style.COLOURS[c]))
        assert [x for x, _ in drawn] == [10.0 * r + c for r in range(8)]
        assert [round(y) for _, y in drawn] == list(range(8))
    ends = {tuple(np.round(np.sort(path[:, 0]), 3)) for path in axes.collections[1].get_segments()}
    assert ends == {(10.0 * r, 10.0 * r + 2) for r in range(8)}
    filled = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert {
        tuple(line.get_xdata()) for line in filled if line.get_markerfacecolor() != "white"
    } == {(30.0,)}
    assert "95 % interval" in axes.get_xlabel()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["COL 0", "COL 1", "COL 2"]


def test_cells_without_a_number_have_no_point_and_columns_of_them_no_label() -> None:
    frame = entries()
    frame.loc[(frame["row"] == "r2") | (frame["column"] == "c1"), ["mean", "low", "high"]] = np.nan
    figure = intervals.intervals(frame, METRIC)
    assert {x for x, _ in points(figure.axes[0], style.COLOURS[0])} == {
        10.0 * r for r in range(8) if r != 2
    }
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["COL 0", "COL 2"]


def test_curves_along_a_setting_have_their_band_and_their_ticks_at_the_values() -> None:
    (axes,) = FIGURES["setting, levels"]().axes
    assert points(axes, style.COLOURS[0]) == {(x, 50.0 + x) for x in (2, 5, 10, 15, 20)}
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (51, 71)
    assert [label.get_text() for label in tick_labels(axes, "x")] == ["2", "5", "10", "15", "20"]
    levels = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() != "-"}
    assert levels == {10.0 * r for r in range(8)}


def test_values_of_several_decades_have_a_logarithmic_axis() -> None:
    frame = along_frame(1).assign(x=[0.0001, 0.001, 0.01, 0.1, 1])
    figure = settings.along(frame, "learning rate", METRIC)
    assert figure.axes[0].get_xscale() == "log"
    check_legible(figure)


def test_a_heat_map_prints_each_number_and_leaves_other_cells_empty() -> None:
    (axes,) = FIGURES["pairs"]().axes
    printed = {text.get_position(): text.get_text() for text in axes.texts}
    expected = {(j, i): f"{5 * i + j:.1f}" for i in range(3) for j in range(5)}
    expected.pop((1, 0))
    assert printed == expected
    light = {text.get_text() for text in axes.texts if text.get_color() == "white"}
    assert "14.0" in light
    assert "0.0" not in light


def test_a_confusion_matrix_has_shares_of_each_class() -> None:
    figure = FIGURES["confusion"]()
    image = figure.axes[0].images[0].get_array()
    assert image is not None
    np.testing.assert_allclose(image.sum(axis=1), 1)
    assert image[0, 2] == pytest.approx(0.2)
    assert len(tick_labels(figure.axes[0], "y")) == 27
    predictions = pd.DataFrame({"label": [0, 0, 1, 1], "prediction": [0, 1, 1, 1]})
    np.testing.assert_array_equal(confusion.counts_of(predictions, 3)[:2, :2], [[1, 1], [0, 2]])


def test_of_many_classes_the_most_frequent_confusions_are_named() -> None:
    figure = FIGURES["confusion, 120"]()
    assert "1 class 0 with a long… → 3 class 2 with a long…: 20 %" in figure.axes[0].get_xlabel()


def test_classes_are_sorted_by_the_gain_of_the_row() -> None:
    figure = FIGURES["classes"]()
    (axes,) = figure.axes
    ours = [y for _, y in sorted(points(axes, style.COLOURS[0]), reverse=True)]
    assert ours == list(range(27))
    lines = axes.collections[0]
    gains = [tuple(colour[:3]) for colour in lines.get_edgecolor()]
    assert len(set(gains)) == 2
    assert gains[0] != gains[-1]
    predictions = pd.DataFrame({"label": [0, 0, 1, 1], "prediction": [0, 1, 1, 1]})
    assert by_class.accuracies(predictions).to_dict() == {0: 50.0, 1: 100.0}


def test_of_very_many_classes_the_largest_changes_are_shown() -> None:
    (axes,) = FIGURES["classes, 120"]().axes
    labels = [label.get_text() for label in tick_labels(axes, "y")]
    assert len(labels) == by_class.MOST
    assert labels[0].startswith("class 0 ")
    assert labels[-1].startswith("class 119 ")
    assert any("80 classes" in text.get_text() for text in texts(axes.figure))


def test_tradeoffs_have_a_colour_for_a_column_and_a_marker_for_a_row() -> None:
    (axes,) = FIGURES["time"]().axes
    frame = costs(3)
    for turn in range(3):
        of_column = frame[frame["column"] == f"COL {turn}"]
        expected = {(round(x, 3), y) for x, y in zip(of_column["x"], of_column["y"], strict=True)}
        assert points(axes, style.COLOURS[turn]) == expected
    assert len({line.get_marker() for line in axes.lines}) == 8
    assert FIGURES["parameters"]().axes[0].get_xscale() == "log"


def test_training_curves_are_means_over_runs_with_their_deviation() -> None:
    figure = FIGURES["training"]()
    assert len(figure.axes) == 4
    loss, top1 = figure.axes[:2]
    epochs = np.arange(1, 11)
    np.testing.assert_allclose(loss.lines[0].get_ydata(), 4 - epochs / 10 + 1)
    np.testing.assert_allclose(top1.lines[0].get_ydata(), 100 * (epochs / 20 + 0.01))
    band = loss.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(4.9 + 1)  # the deviation of 0, 1, 2 is 1
    assert [text.get_text().startswith("row ") for text in figure.legends[0].get_texts()]
    assert "3 runs" in figure.axes[1].get_title("right")


def test_a_row_whose_objective_has_no_ranking_has_only_a_loss() -> None:
    frame = curve_frame()
    frame.loc[frame["row"] == LONG[0], ["top1", "chance"]] = np.nan
    loss, top1 = training.training(frame).axes[:2]
    assert np.isfinite(loss.lines[0].get_ydata()).all()
    assert np.isnan(top1.lines[0].get_ydata()).all()
    assert np.isfinite(top1.lines[1].get_ydata()).all()
    frame[["top1", "chance"]] = np.nan
    check_legible(training.training(frame))


def test_a_single_run_has_no_band() -> None:
    frame = curve_frame()
    figure = training.training(frame[frame["run"].str.endswith(" 0")])
    assert not any("band" in text.get_text() for text in texts(figure))
    check_legible(figure)


def test_ranks_join_rows_without_a_significant_difference_and_no_others() -> None:
    figure = FIGURES["ranks"]()
    axes = figure.axes[0]
    placed = sorted(points(axes, style.COLOURS[0]), key=lambda point: point[1])
    assert [x for x, _ in placed][:6] == [1, 2, 3, 4, 5, 6]
    assert [x for x, _ in placed][6:] == pytest.approx([7.5, 7.5], abs=0.5)
    bars = [line for line in axes.lines if line.get_color() == style.INK]
    assert {tuple(np.sort(bar.get_ydata())) for bar in bars} == {(6, 7)}


def test_cliques_are_the_largest_sets_without_a_difference() -> None:
    differ = np.ones((5, 5), bool)
    for one, other in ((0, 1), (1, 2), (0, 2), (2, 3)):
        differ[one, other] = differ[other, one] = False
    np.fill_diagonal(differ, False)
    assert ranks.cliques(pd.DataFrame(differ)) == [[0, 1, 2], [2, 3]]


def test_rows_differ_by_their_paired_difference_after_a_correction() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (4, 5))
    means = dict(zip("abcd", [[0.5], [0.5], [0.9], [0.52]], strict=True))
    values = {
        (row, "img"): dict(enumerate((mean + noise[number]).tolist()))
        for number, (row, mean) in enumerate(means.items())
    }
    found = ranks.significant_pairs(
        Evidence(values | {("e", "img"): {0: 0.1}}), "img", list("abcde")
    )
    assert found.loc["c", ["a", "b", "d"]].all()
    assert not found.loc["a", ["a", "b", "e"]].any()  # itself, alike, and a single seed
    assert (found == found.T).all(axis=None)
    alone = ranks.significant_pairs(Evidence(values), "img", ["a", "d"]).loc["a", "d"]
    p = difference_of([*values["a", "img"].values()], [*values["d", "img"].values()]).p
    assert p is not None
    assert alone == (p < 0.05)
    assert found.loc["a", "d"] <= alone


def test_tsne_shows_untrained_above_trained_and_names_ten_classes() -> None:
    figure = FIGURES["tsne"]()
    grid = np.array(figure.axes).reshape(3, 3)
    (draw, *_) = draws()
    for axes, places in ((grid[0, 0], draw.untrained), (grid[1, 0], draw.trained)):
        shown = np.concatenate([np.asarray(line.get_xydata()) for line in axes.lines])
        np.testing.assert_allclose(shown, places)
        looks = {(line.get_color(), line.get_marker()) for line in axes.lines}
        assert len(looks) == 10
    assert len(grid[2, 0].get_legend().get_texts()) == 10


def test_embedded_keeps_clusters_together_and_takes_few_clips() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 1, 8))
    features = np.concatenate([one + 0.01 * rng.normal(size=(12, 8)), two + np.zeros((12, 8))])
    places = tsne.embedded(features.astype(np.float32))
    within = np.linalg.norm(places[:12] - places[:12].mean(axis=0), axis=1).max()
    assert np.linalg.norm(places[:12].mean(axis=0) - places[12:].mean(axis=0)) > within
    assert tsne.embedded(features[:3].astype(np.float32)).shape == (3, 2)


def test_retrieval_says_right_or_wrong_by_colour_and_by_mark() -> None:
    (axes,) = FIGURES["retrieval"]().axes
    marks = [text for text in axes.texts if text.get_text() in {"\u2713", "\u2717"}]
    assert [mark.get_text() for mark in marks] == ["\u2713", "\u2717", "\u2717", "\u2717"] * 3
    assert {(mark.get_text(), mark.get_color()) for mark in marks} == {
        ("\u2713", style.RIGHT),
        ("\u2717", style.WRONG),
    }
    assert len(axes.patches) == 15
