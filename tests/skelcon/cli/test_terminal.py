"""Whatever a text is, the terminal shows it: no markup, no emoji's name, no control sequence."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from skelcon.cli.terminal import echo, line, say, shown
from skelcon.printable import printable

ANY = st.text(st.characters(exclude_categories=()))
"""Lone surrogates too, as a path has them that is no UTF-8."""


def console(width: int = 10_000, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def written(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


@given(ANY)
@example("[x] [/x] [bold]b[/] \\[a] :x: :warning:")
@example("\x1b[2J\r\x07\x00\x9b1m")
@example("a\r\nb\u2028c\td")
@example("\ud800 \u202e txt")
def test_the_terminal_shows_the_text_itself(text: str) -> None:
    plain = printable(text)
    assert not [c for c in plain if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    plain.encode()
    ours = console()
    line(ours, shown(text))
    line(ours, text.replace("\n", " "))
    assert written(ours) == f"{plain}\n{printable(text.replace(chr(10), ' '))}\n"


@given(st.text(st.characters(codec="utf-8")))
def test_what_can_be_printed_is_not_changed(text: str) -> None:
    if text.isprintable():
        assert printable(text) == text
        assert str(shown(text)) == text
    assert printable(printable(text)) == printable(text)


@given(st.text(st.sampled_from("ab[]/:x\\ \n\x1b"), min_size=1))
def test_a_table_shows_headers_and_cells_as_they_are(text: str) -> None:
    grid = Table(title=shown(text), box=None)
    grid.add_column(shown(text))
    grid.add_row(shown(text))
    ours = console()
    ours.print(grid)
    assert [each.strip() for each in written(ours).split("\n")] == [printable(text).strip()] * 3 + [
        ""
    ]


def test_lines_stay_lines_and_are_wrapped_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "one [r]two\x1b\nthree four"
    for terminal, expected in (
        (False, "one [r]two[U+001B]\nthree four\n"),
        (True, "one \n[r]two[U+001B]\nthree four\n"),
    ):
        ours = console(width=14, terminal=terminal)
        say(ours, text)
        assert written(ours) == expected
    echo(text)
    assert capsys.readouterr().out == "one [r]two[U+001B]\nthree four\n"
