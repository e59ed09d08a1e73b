"""Protocols that plugins register: computed at import, for the clips of any source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.splits import ALIASES, PROTOCOLS
from skelcon.errors import UserError, reason_of
from skelcon.registry import Registry

ProtocolFunction = Callable[[Sequence[ClipInfo]], ArrayLike | None]

PROTOCOL_PLUGINS: Registry[ProtocolFunction] = Registry(
    "protocol", ("infos",), PROTOCOLS, tuple(ALIASES)
)
"""By name. A data set whose import computed it has it among its splits."""


def versions() -> dict[str, str]:
    """The version of each registered protocol."""
    return {name: str(PROTOCOL_PLUGINS[name].version) for name in sorted(PROTOCOL_PLUGINS.added)}


def with_registered(
    splits: Mapping[str, NDArray[np.int8]], infos: Sequence[ClipInfo]
) -> dict[str, NDArray[np.int8]]:
    """``splits`` and the rows of all registered protocols that apply to these clips.

    Raises:
        UserError: if a name is taken, or a function fails or does not return (N,) sides.
    """
    out = dict(splits)
    for name in sorted(PROTOCOL_PLUGINS.added):
        component = PROTOCOL_PLUGINS[name]
        try:
            answer = component.function(infos)
        except Exception as error:  # the user's code: anything may go wrong
            code = getattr(component.function, "__code__", None)
            reason = reason_of(error, getattr(code, "co_filename", None))
            raise UserError(f"{component} of '{component.module}': {reason}") from None
        if answer is None:
            continue
        row = sides(f"{component} of '{component.module}'", answer, len(infos))
        if name in out:
            raise UserError(f"{component}: the data have a split of that name: choose another name")
        out[name] = row
    return out


def sides(what: str, answer: object, clips: int) -> NDArray[np.int8]:
    """An answer, a list or an array, as the (N,) sides of that many clips.

    Raises:
        UserError: names ``what`` gave it, if it is anything else.
    """
    try:
        row = np.asarray(answer)
    except ValueError:  # lists of several lengths
        row = np.asarray(None)
    if row.shape != (clips,) or row.dtype.kind not in "iu" or not np.isin(row, (-1, 0, 1)).all():
        raise UserError(
            f"{what} must return ({clips},) integers: 0 trains, 1 tests, -1 takes no part; not "
            f"{row.dtype} {row.shape}"
        )
    return row.astype(np.int8)
