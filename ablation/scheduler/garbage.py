"""Blocks of code in which Python does not look for garbage."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Python's garbage collector does not run in this block, in any thread.

    Large packages are imported a sixth faster so: the collector looks again and again at all that
    they define, and none of it is garbage.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
