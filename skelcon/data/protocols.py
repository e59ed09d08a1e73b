"""Protocols that plugins register: computed at import, for the clips of any source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.splits import ALIASES, PROTOCOLS
from skelcon.errors import UserError
from skelcon.registry import Registry

ProtocolFunction = Callable[[Sequence[ClipInfo]], ArrayLike | None]

REGISTERED: Registry[ProtocolFunction] = Registry("protocol", ("infos",), PROTOCOLS, tuple(ALIASES))
"""By name. A data set whose import computed it has it among its splits."""


def versions() -> dict[str, str]:
    """The version of each registered protocol."""
    return {name: str(REGISTERED[name].version) for name in sorted(REGISTERED.added)}


def with_registered(
    splits: Mapping[str, NDArray[np.int8]], infos: Sequence[ClipInfo]
) -> dict[str, NDArray[np.int8]]:
    """``splits`` and the rows of all registered protocols that apply to these clips.

    Raises:
        UserError: if a name is taken, or a function fails or does not return (N,) sides.
    """
    out = dict(splits)
    for name in sorted(REGISTERED.added):
        component = REGISTERED[name]
        try:
            answer = component.function(infos)
        except Exception as error:  # the user's code: anything may go wrong
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"{component} of '{component.module}': {reason}") from None
        if answer is None:
            continue
        sides = np.asarray(answer)
        fits = sides.shape == (len(infos),) and sides.dtype.kind in "iu"
        if not fits or not np.isin(sides, (-1, 0, 1)).all():
            raise UserError(
                f"{component} of '{component.module}' must return ({len(infos)},) integers: 0 "
                f"trains, 1 tests, -1 takes no part; not {sides.dtype} {sides.shape}"
            )
        if name in out:
            raise UserError(f"{component}: the data have a split of that name: choose another name")
        out[name] = sides.astype(np.int8)
    return out
