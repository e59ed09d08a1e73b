r"""Text for LaTeX: ASCII that pdflatex, lualatex and xelatex compile without any package.

Letters with accents, Greek letters and common symbols become macros. Letters that only some font
encodings have (``ą``, ``ð``) are printed if the document's encoding has them, else a substitute.
Compatibility characters (full-width letters, ligatures, fractions) become the plain ones. Anything
else (Chinese, emoji, Cyrillic) becomes its code point, ``[U+4E2D]``: LaTeX would stop there, or
leave it out.
"""

from __future__ import annotations

import re
import unicodedata

from ablation.doors.latex_signs import ABOVE, ACCENTS, FREE, IN_SOME_FONTS, LIGATURES, SIGNS
from skelcon.printable import code_point, printable

_LETTER = re.compile(
    r"[A-Za-z]|\$\\[A-Za-z]+\$|\\(AE|ae|OE|oe|O|o|L|l|ss|i|j)\{\}|\\([^A-Za-z{}]|[bcdHruv])\{.+\}"
)
"""The pieces that may have an accent."""


def to_latex(text: str) -> str:
    r"""Text for a paragraph, a caption or a table's cell.

    Brackets and stars are in braces: after ``\\`` they would be arguments of that command.

    >>> to_latex("50 % of [a_1], Zoë"), to_latex("--set"), to_latex("λ ≤ 中")
    ('50 \\% of {[}a\\_1{]}, Zo\\"{e}', '-\\/-set', '$\\lambda$ $\\leq$ {[}U+4E2D{]}')
    """
    pieces: list[str] = []
    for character in unicodedata.normalize("NFC", printable(text)):
        piece = _combined(character, pieces)
        if piece is None:
            piece = _known(character)
        if piece is None:
            piece = _spelled(code_point(character))
        if pieces and pieces[-1][-1:] + piece[:1] in LIGATURES:
            piece = r"\/" + piece  # not an empty group: lualatex makes a dash of -{}- too
        if piece:  # an empty piece would hide the one before it from the next
            pieces.append(piece)
    return " ".join("".join(pieces).split())


def to_latex_name(text: str) -> str:
    r"""A name for ``\label`` and ``\ref``: all but letters, digits and ``:._+/`` becomes ``-``.

    >>> to_latex_name("tab:my study (2)")
    'tab:my-study--2-'
    """
    return re.sub(r"[^A-Za-z0-9:._+/-]", "-", text)


def _combined(mark: str, pieces: list[str]) -> str | None:
    """``mark`` on the last letter of ``pieces``, which is removed there; None if not possible."""
    if mark in FREE and pieces and _LETTER.fullmatch(pieces[-1]):
        return _accented(mark, pieces.pop())
    return None


def _known(character: str) -> str | None:
    """A character in ASCII and macros; None if there is no substitute."""
    if character in SIGNS:
        return SIGNS[character]
    if character.isascii():
        return character
    if character in IN_SOME_FONTS:
        return _where_known(*IN_SOME_FONTS[character])
    letter, *marks = list(unicodedata.normalize("NFD", character))
    if marks and all(mark in FREE or (mark in ACCENTS and character < "\u0180") for mark in marks):
        piece = _known(letter)
        if piece is not None and _LETTER.fullmatch(piece):
            for mark in marks:
                piece = _accented(mark, piece, character)
            return piece
    meant = unicodedata.normalize("NFKC", character)
    if meant != character:
        parts = [_known(each) for each in meant]
        return None if None in parts else "".join(filter(None, parts))
    return None


def _accented(mark: str, letter: str, whole: str | None = None) -> str:
    if mark in ABOVE and letter in ("i", "j"):
        letter = rf"\{letter}{{}}"
    made = f"{ACCENTS[mark]}{{{letter}}}"
    if ACCENTS[mark] != r"\k":
        return made
    return _where_known(made, r"\k", _spelled(code_point(whole)) if whole else letter)


def _spelled(text: str) -> str:
    """ASCII text."""
    return "".join(SIGNS.get(character, character) for character in text)


def _where_known(made: str, macro: str, instead: str) -> str:
    """``made`` if the font encoding has the macro, else ``instead``; OT1 is still the default."""
    known = rf"\ifcsname\csname f@encoding\endcsname\string{macro}\endcsname"
    return rf"{known} {made}\else {instead}\fi{{}}"
