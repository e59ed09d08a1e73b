"""Text for Markdown (CommonMark, and GitHub's tables)."""

from __future__ import annotations

import re

from skelcon.printable import printable

_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$]")
_FIRST = re.compile(r"([-+=#:]|\d{1,9}(?=[.)]))")
"""What makes a list, a heading or a ruler of a line that begins with it."""


def to_markdown(text: str) -> str:
    r"""Text for a line, a list's item or a table's cell; spaces are those that are seen.

    Markup and what GitHub reads as HTML or mathematics are escaped.

    >>> to_markdown("|j| = 3, *a* [b]"), to_markdown("1. first"), to_markdown("- item")
    ('\\|j\\| = 3, \\*a\\* \\[b\\]', '1\\. first', '\\- item')
    """
    line = " ".join(printable(text).split())
    escaped = _SPECIAL.sub(lambda found: "\\" + found[0], line)
    first = _FIRST.match(escaped)
    if first is None:
        return escaped
    before = len(first[0]) if first[0].isdigit() else 0
    return escaped[:before] + "\\" + escaped[before:]
