"""The look of all figures, text from outside, and files that do not change."""

import io
import warnings
from pathlib import Path

import matplotlib as mpl
import pytest
from figure_helpers import check_legible, files_of
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skelcon.errors import UserError
from skelcon.figures import style

NASTY = [
    "$x_1$",
    "a_b^c",
    r"$\frac{1",
    "_hidden",
    "50 % & #1",
    "动作 $5 and $6",
    "\\$",
    "two\nlines",
]


@style.styled
def drawn(labels: list[str]) -> Figure:
    figure = style.sheet(0.4 * len(labels) + 0.5)
    axes = figure.subplots()
    handles = []
    for number, _ in enumerate(labels):
        look = style.distinct(number)
        axes.plot([0, 1], [number, number], **look)
        handles.append(Line2D([], [], **look))
    style.label_rows(axes, labels)
    axes.set_title(style.folded(labels[0], 24, 1))
    style.legend(figure, handles, labels)
    return figure


def shown(text: str) -> str:
    """What matplotlib prints of a text that is not a formula."""
    return text.replace("\\$", "$")


def test_text_from_outside_is_printed_as_it_is_and_warns_of_nothing(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawn(NASTY)
        files_of(figure, tmp_path)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    for texts in (labels, legend):
        printed = [shown(text) for text in texts]
        assert printed[:5] == NASTY[:5]
        assert printed[5].endswith(" $5 and $6")
        assert printed[6:] == ["\\$", "two lines"]
    assert all(
        not mpl.cbook.is_math_text(text) for text in (*labels, *legend, style.plain(NASTY[0]))
    )


def test_a_letter_that_no_font_has_is_a_square():
    assert style.plain("a\U0001f9fdb\x07") == f"a{style.UNKNOWN}b{style.UNKNOWN}"
    assert style.plain("größer → ±") == "größer → ±"


@pytest.mark.parametrize("count", [1, 8, 20])
def test_long_labels_of_rows_do_not_collide(count: int):
    labels = [f"{number} a label of a row which goes on and on for long" for number in range(count)]
    check_legible(drawn(labels))


def test_a_long_label_is_cut_where_it_has_no_room():
    folded = style.folded("one two three four five six", 10)
    assert folded.split("\n")[0] == "one two"
    assert folded.endswith("…")
    assert max(map(len, folded.split("\n"))) <= 10


def test_files_have_the_same_bytes_each_time(tmp_path: Path):
    one, two = (files_of(drawn(["a", "b"]), tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert set(one) == {"png", "svg", "pdf"}
    assert one["png"].startswith(b"\x89PNG")
    assert b"<svg" in one["svg"]
    assert one["pdf"].startswith(b"%PDF")
    for content in one.values():
        assert b"CreationDate" not in content
        assert b"dc:date" not in content
        assert mpl.__version__.encode() not in content.replace(b"/matplotlib.org", b"")


def test_the_users_own_matplotlibrc_changes_nothing(tmp_path: Path):
    before = files_of(drawn(["a"]), tmp_path / "one")
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.grid": True}):
        during = files_of(drawn(["a"]), tmp_path / "two")
    assert before == during
    assert mpl.rcParams["font.size"] == mpl.rcParamsDefault["font.size"]


def test_series_differ_in_more_than_colour():
    looks = [style.distinct(number) for number in range(14)]
    assert len({(each["marker"], each["color"]) for each in looks}) == 14
    assert len({(each["marker"], each["linestyle"]) for each in looks}) == 14
    assert style.COLOURS[-1] not in {each["color"] for each in looks}  # yellow, on white


def test_what_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        style.save(drawn(["a"]), tmp_path / "file", "x", ("png",))
    with pytest.raises(UserError, match="unknown format 'pgn': did you mean 'png'"):
        style.parse_formats("svg,pgn")


def test_a_figure_is_drawn_without_pyplot():
    import sys

    drawn(["a"]).savefig(io.BytesIO())
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
