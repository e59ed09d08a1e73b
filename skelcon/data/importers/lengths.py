"""The numbers of frames of padded clips, where a file tells them.

It is a help, not a need: where it is damaged the padding itself tells, and that is reported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray

_LONGEST = 1 << 40


def read_lengths(opened: Callable[[], StoredArray], count: int) -> NDArray[np.int64] | str:
    """The lengths of ``count`` clips, or why they cannot be used, for a report.

    Args:
        opened: opens the array; its ``ValueError`` or ``OSError`` is such a reason.
        count: the number of clips.
    """
    try:
        array = opened()
        if array.header.shape not in ((count,), (count, 1)):
            raise ValueError(f"has shape {array.header.shape} for {count} clips")
        rows = [row.reshape(-1)[0] for row in array.rows(0, count)]
        if len(rows) < count:
            raise ValueError("is truncated")
        if not all(-_LONGEST < row < _LONGEST and row == int(row) for row in rows):
            raise ValueError("holds what is no number of frames")
    except (ValueError, OSError) as error:
        return f"{error}: the clips' lengths are taken from their padding instead"
    return np.array([int(row) for row in rows], np.int64)
