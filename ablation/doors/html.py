"""Text for HTML."""

from __future__ import annotations

import html

from skelcon.printable import printable


def to_html(text: str) -> str:
    """Text for an element or a quoted attribute.

    >>> to_html("a < b & 'c'")
    'a &lt; b &amp; &#x27;c&#x27;'
    """
    return html.escape(printable(text))
