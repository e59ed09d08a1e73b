"""Whatever a text is, the terminal shows it: no markup, no emoji's name, no control sequence."""

from __future__ import annotations

import ast
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.table import Table

from skelcon.cli.terminal import PlainConsole, echo, joined, line, say, styled
from skelcon.printable import printable

PROPERTY = settings(deadline=None)
ANY = st.text(st.characters(exclude_categories=()))
"""Lone surrogates too, as a path has them that is no UTF-8."""


def console(width: int = 10_000, terminal: bool = False) -> PlainConsole:
    out = io.StringIO()
    return PlainConsole(file=out, width=width, force_terminal=terminal, color_system=None)


def written(of: PlainConsole) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


@PROPERTY
@given(ANY)
@example("[x] [/x] [bold]b[/] \\[a] :x: :warning:")
@example("\x1b[2J\r\x07\x00\x9b1m")
@example("a\r\nb\u2028c\td")
@example("\ud800 \u202e txt")
def test_the_terminal_shows_the_text_itself(text: str) -> None:
    plain = printable(text)
    assert not [c for c in plain if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    plain.encode()
    ours, one_line = console(), text.replace("\n", " ")
    line(ours, styled(one_line, "bold"))
    line(ours, one_line)
    ours.print(one_line, soft_wrap=True)
    line(ours, joined(("", "red"), one_line))
    assert written(ours) == 4 * f"{printable(one_line)}\n"


@PROPERTY
@given(st.text(st.characters(codec="utf-8")))
def test_what_can_be_printed_is_not_changed(text: str) -> None:
    if text.isprintable():
        assert printable(text) == text
        assert str(styled(text)) == text
    assert printable(printable(text)) == printable(text)


@PROPERTY
@given(st.text(st.sampled_from("ab[]/:x\\ \n\x1b"), min_size=1))
def test_a_table_shows_headers_and_cells_as_they_are(text: str) -> None:
    text = text.replace("\n", " ")
    grid = Table(title=text, box=None)
    grid.add_column(text)
    grid.add_row(text)
    grid.add_row(styled(text))
    ours = console()
    ours.print(grid)
    lines = [each.strip() for each in written(ours).split("\n")]
    assert lines == [*[printable(text).strip()] * 4, ""]


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


def test_nothing_else_makes_consoles_and_texts() -> None:
    """What a user writes reaches rich through the door alone."""
    root = Path(__file__).parents[3]
    files = [path for name in ("ablation", "skelcon") for path in (root / name).rglob("*.py")]
    assert len(files) > 100
    for path in files:
        if path.name == "terminal.py":
            continue
        tree = ast.parse(path.read_text())
        with_rich = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {
            alias.name
            for node in with_rich
            if (node.module or "").startswith("rich")
            for alias in node.names
        }
        assert not names & {"escape", "print", "Prompt", "Confirm"}, path
        made = {name for name in ("Console", "Text") if name in names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                function = node.func.value if isinstance(node.func, ast.Attribute) else node.func
                assert getattr(function, "id", "") not in made, f"{path}:{node.lineno}"
