"""The error for a user's mistake, and the hint that names the nearest valid choice."""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a flag, a file or a configuration.

    Its message is one line that names the value, where it is set and what is valid. The command
    line prints it without a traceback and exits with 2.
    """


class MachineError(UserError):
    """The request is valid, but the machine cannot do it: the command exits with 1."""


def nearest(value: str, choices: Iterable[str]) -> str:
    """A hint for an unknown ``value``: the nearest of ``choices``, or all (at most 30) of them.

    >>> nearest("xveiw", ["xsub", "xview"])
    "did you mean 'xview'?"
    >>> nearest("nope", ["mine"])
    'valid: mine'
    """
    known = sorted(set(choices))
    close = difflib.get_close_matches(value, known, n=1, cutoff=0.51)  # over half is the same
    if close:
        return f"did you mean '{close[0]}'?"
    more = f", and {len(known) - 30} more" if len(known) > 30 else ""
    return "valid: " + ", ".join(known[:30]) + more


def reason_of(error: Exception, file: str | None = None) -> str:
    """An error of a user's code in a line, with the last place in the user's ``file``."""
    return " ".join(f"{type(error).__name__}: {error}".split()) + place_in(error, file)


def place_in(error: Exception, file: str | None) -> str:
    """`` (FILE, line 3)``: the last place of an error in ``file``; empty if it is not there."""
    places = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == file]
    return f" ({file}, line {places[-1].lineno})" if places else ""


_FULL = "free some space, or write to another disk"
_CURES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "files may not be this large there (ulimit -f); write to another disk",
    errno.EIO: "check the disk, or the connection to it",
    errno.ESTALE: "check the connection to the disk",
    errno.EROFS: "write to another disk (SKELCON_CACHE and TMPDIR, if you gave no path there)",
}


def cannot_write(path: object, error: OSError) -> UserError:
    """The error of writing ``path``, or the file that ``error`` itself names, with the cure."""
    reason = disk_error(OSError(error.errno, error.strerror)) or error.strerror or str(error)
    return UserError(f"cannot write '{error.filename or path}': {reason}")


def disk_error(error: OSError) -> str | None:
    """One line for an error of a disk or a file, with the cure; None if it is of another kind.

    >>> disk_error(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device: free some space, or write to another disk'
    """
    cure = _CURES.get(error.errno or 0)
    if error.errno == errno.ENOENT and error.filename is None:  # of Python's tempfile
        cure = "set TMPDIR to a directory that can be written"
    if cure is None and error.filename is None:
        return None
    where = "" if error.filename is None else f"'{error.filename}': "
    return f"{where}{error.strerror}{'' if cure is None else f': {cure}'}"
