"""Decimal numbers of a text, all at once, and each exactly what ``float`` makes of it.

A sensor writes nearly all its coordinates as ``0.2181153`` or ``-0.05349901``: a sign or none,
one digit, a point, up to 14 digits. Such a number is an integer below 2**53 over 10**14; both are
exact as float64, and the division of the two is rounded once, which is what ``float`` promises.
The integers are computed for thousands of numbers together, eight digits in one 64-bit word.
Whatever is written otherwise (an exponent, two digits before the point, nan) goes to ``float``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_u = np.uint64
_AT_ONCE = 8192
"""Numbers, so that the arrays of a step stay in the processor's cache."""
_WINDOW = 16
"""Bytes of a number that are looked at: two words."""
_DIGITS = _WINDOW - 2
"""Behind the digit and the point."""
_LONGEST = 100
"""Bytes of a number: longer text is refused, as ``float`` could take long to read it."""


def _each(byte: int) -> np.uint64:
    """A word of eight times ``byte``."""
    return _u(byte * 0x0101010101010101)


_USED = np.array(
    [
        [(1 << 8 * min(digits + 2, 8)) - 1, (1 << 8 * max(digits - 6, 0)) - 1]
        for digits in range(_DIGITS + 1)
    ],
    _u,
)
"""The bits of its two words that belong to a number, by its digits behind the point."""
_JOINS = (
    (_u(10), _u(8), _u(0x00FF00FF00FF00FF)),
    (_u(100), _u(16), _u(0x0000FFFF0000FFFF)),
    (_u(10_000), _u(32), _u(0xFFFFFFFF)),
)


class NumberError(ValueError):
    """The token at ``index`` of the given positions is not a number."""

    def __init__(self, token: bytes, index: int) -> None:
        shown = token.decode("ascii", "backslashreplace")
        super().__init__(f"{shown!r} is not a number")
        self.index = index


def read_numbers(
    text: bytes, starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The (N,) numbers at ``text[starts[i]:stops[i]]``.

    Raises:
        NumberError: names the first one that is not a number.
    """
    out = np.empty(len(starts))
    padded = text.ljust(_WINDOW)
    for at in range(0, len(starts), _AT_ONCE):
        first, stop = starts[at : at + _AT_ONCE], stops[at : at + _AT_ONCE]
        values, plain = _plain_numbers(padded, first, stop)
        for index in np.flatnonzero(~plain).tolist():
            token = text[first[index] : stop[index]]
            try:
                values[index] = float(token if len(token) <= _LONGEST else b"")
            except ValueError:
                raise NumberError(token[:24], at + index) from None
        out[at : at + _AT_ONCE] = values
    return out


def _plain_numbers(
    text: bytes, starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers, and which of them are written plainly; the others are anything."""
    negative = np.frombuffer(text, np.uint8)[starts] == ord("-")
    starts = starts + negative
    digits = stops - starts - 2
    # From every byte of the text on 16 of them, one window over the other.
    windows = np.ndarray((len(text) - _WINDOW + 1,), f"V{_WINDOW}", text, strides=(1,))
    chosen = windows[np.minimum(starts, len(windows) - 1)]
    characters, words = (
        chosen.view(np.uint8).reshape(-1, _WINDOW),
        chosen.view("<u8").reshape(-1, 2),
    )
    plain = (digits >= 1) & (digits <= _DIGITS) & (starts < len(windows))
    plain &= characters[:, 1] == ord(".")
    # Digits as their values, zeros behind the last; the first digit in the place of the point.
    words ^= _each(ord("0"))
    words &= _USED.take(digits, axis=0, mode="clip")
    characters[:, 1] = characters[:, 0]
    characters[:, 0] = 0
    # 0x76 takes a byte above 9 to the highest bit.
    beyond = (words + _each(0x76)) | words
    plain &= (beyond[:, 0] | beyond[:, 1]) & _each(0x80) == 0
    halves = _of_eight_digits(words)
    values = (halves[:, 0] * _u(10**8) + halves[:, 1]).astype(np.float64)
    values /= 10.0**_DIGITS
    np.negative(values, out=values, where=negative)
    return values, plain


def _of_eight_digits(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The number whose digits are the bytes of a word, the first in the lowest byte.

    Neighbours are joined to pairs, pairs to fours, and fours to the whole.
    """
    for joined, bits, mask in _JOINS:
        words = ((words * joined) + (words >> bits)) & mask
    return words
