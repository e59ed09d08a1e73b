"""Text for Markdown (CommonMark, and GitHub's tables)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from skelcon.printable import printable

_MARKUP = re.compile(r"[\\`*\[<|~$]|&(?=[#A-Za-z])|(?<![^\W_])_|_(?![^\W_])")
"""Code, emphasis, links, HTML, GitHub's mathematics; not a ``_`` inside a name."""
_FIRST = re.compile(
    r"[-+](?=\s|$)|(?:-+|=+)$|#{1,6}(?=\s|$)|>|:(?=-)|(?P<number>\d{1,9})(?=[.)](?:\s|$))"
)
"""The beginning of a list item, a heading, a quotation or a horizontal rule."""


def to_markdown(text: str) -> str:
    r"""Text for a line, a list item or a table cell; runs of spaces become one.

    >>> to_markdown("|j| = 3, *a* [b]"), to_markdown("1. top_1"), to_markdown("-3.1, --set")
    ('\\|j\\| = 3, \\*a\\* \\[b]', '1\\. top_1', '-3.1, --set')
    """
    line = " ".join(printable(text).split())
    escaped = _MARKUP.sub(lambda found: "\\" + found[0], line)
    first = _FIRST.match(escaped)
    if first is None:
        return escaped
    before = len(first["number"] or "")
    return escaped[:before] + "\\" + escaped[before:]


def markdown_table(heads: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are Markdown already.

    Args:
        heads: the head of each column.
        align: a letter for each column, ``l`` (left) or ``r`` (right).
        rows: the cells of each row.
    """
    rule = ["---:" if letter == "r" else "---" for letter in align]
    return [f"| {' | '.join(line)} |" for line in (heads, rule, *rows)]
