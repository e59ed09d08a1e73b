"""The error for a user's mistake, and the hint that names the nearest valid choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a flag, a file or a configuration.

    Its message is one line that names the value, where it is set and what is valid. The command
    line prints it without a traceback and exits with 2.
    """


def nearest(value: str, choices: Iterable[str]) -> str:
    """A hint for an unknown ``value``: the nearest of ``choices``, or all (at most 30) of them.

    >>> nearest("xveiw", ["xsub", "xview"])
    "did you mean 'xview'?"
    """
    known = sorted(choices)
    close = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    more = f", and {len(known) - 30} more" if len(known) > 30 else ""
    return "valid: " + ", ".join(known[:30]) + more
