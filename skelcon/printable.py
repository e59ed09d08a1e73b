"""Any text as one line that every terminal and file takes."""

from __future__ import annotations

import re
import unicodedata

_BREAKS = re.compile("\r\n|[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]")
_JOINERS = "\u200c\u200d"
"""Invisible, and part of how words and emoji are written."""


def printable(text: str) -> str:
    r"""``text`` as one line without control characters.

    Line breaks and tabs become a space each. Other control characters, what turns the direction of
    writing, and the lone surrogates of a path that is no UTF-8 become their code points: a name can
    neither clear a screen nor end a command that writes it.

    >>> printable("two\nlines"), printable("\x1b[2J"), printable("Zoë [a]")
    ('two lines', '[U+001B][2J', 'Zoë [a]')
    """
    if text.isprintable():
        return text
    return "".join(map(_visible, _BREAKS.sub(" ", text)))


def _visible(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs")
    return code_point(character) if hidden and character not in _JOINERS else character


def code_point(character: str) -> str:
    """``[U+1F600]``."""
    return f"[U+{ord(character):04X}]"


def counted(count: int, noun: str) -> str:
    """``1 clip``, ``1,234 clips``.

    >>> counted(1, "clip"), counted(1234, "clip")
    ('1 clip', '1,234 clips')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
