"""A parser of the format gives back the text that was escaped."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ablation.doors import to_html, to_markdown
from skelcon.printable import printable

PROPERTY = settings(deadline=None)
ANY = st.text(st.characters(exclude_categories=())) | st.text(
    st.sampled_from("ab1 .)#*_-+=~`[]<>()!|\\&;$:\"'/\n\t\x1b"), max_size=12
)
"""Any text with lone surrogates, and texts that are mostly markup."""
NASTY = [
    "<b>&amp;</b>",
    "`a` *b* __c__ ~~d~~",
    "[a](b)",
    "![a](b)",
    "a|b\\|c",
    "- a",
    "1) a",
    "# a",
]
NASTY += ["===", "---", "    code", "a  \nb", "&lt;", "<!-- a", "$x$", "| a |", "\\", "~~~", "> q"]
NASTY += ["-\u00a0", "_a_b_", "a_b", "__", "_\u00e9_", "&#35;", ":--", "[ ] a", "[a]: b"]
NASTY += ["\u2028- a", "1.5", "-3.1", "+", "#", "#1", "= =", "> a"]
NASTY += ["\u00a0a", "http://a.b", "a\x00b", "\ufeffa", "+", "12. ", "*", "\\*"]


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        assert tag == "p"
        self.attributes += attrs


def _examples(function: Any) -> Any:
    for text in NASTY:
        function = example(text)(function)
    return function


@_examples
@PROPERTY
@given(ANY)
def test_html_gives_the_text_back(text: str) -> None:
    reader = Reader()
    reader.feed(f"<p title=\"{to_html(text)}\" id='{to_html(text)}'>{to_html(text)}</p>")
    reader.close()
    assert "".join(reader.texts) == printable(text)
    assert reader.attributes == [("title", printable(text)), ("id", printable(text))]


def seen(text: str) -> str:
    """Spaces as Markdown shows them."""
    return " ".join(printable(text).split())


def texts_of(tokens: list[Token]) -> list[str]:
    """The texts of the blocks; nothing in them is markup."""
    found = []
    for token in tokens:
        if token.type == "inline":
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}
            found.append("".join(child.content for child in children))
    return found


PARSERS = {
    "commonmark": MarkdownIt("commonmark"),
    "with tables": MarkdownIt("commonmark").enable(["table", "strikethrough"]),
}


@pytest.mark.parametrize("parser", PARSERS)
def test_markdown_gives_the_text_back_as_a_paragraph_and_as_an_item(parser: str) -> None:
    @_examples
    @PROPERTY
    @given(ANY)
    def check(text: str) -> None:
        tokens = PARSERS[parser].parse(f"{to_markdown(text)}\n\n- {to_markdown(text)}\n")
        expected = seen(text)
        assert texts_of(tokens) == ([expected, expected] if expected else [])
        assert {token.type for token in tokens} <= {
            *("paragraph_open", "paragraph_close", "inline", "bullet_list_open"),
            *("bullet_list_close", "list_item_open", "list_item_close"),
        }

    check()


@_examples
@PROPERTY
@given(ANY)
def test_markdown_gives_the_text_back_from_a_table(text: str) -> None:
    cell = to_markdown(text)
    lines = [f"| {cell} | b |", "| --- | ---: |", f"| {cell} | *{cell or 'a'}* |", "| c | d |"]
    tokens = PARSERS["with tables"].parse("\n".join(lines))
    inline = [token for token in tokens if token.type == "inline"]
    assert len(inline) == 6
    assert texts_of(inline[:3]) == [seen(text), "b", seen(text)]
    emphasised = inline[3].children or []
    assert [child.type for child in emphasised if "text" not in child.type] == [
        "em_open",
        "em_close",
    ]
    assert "".join(child.content for child in emphasised) == (seen(text) or "a")
