"""Packages whose names are imported when they are first used.

Settings are read by commands that train nothing, and importing torch takes seconds: a package
imports its configurations at once, and its networks when they are asked for.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package``.

    Args:
        package: its ``__name__``.
        homes: public name -> the module that defines it.

    No public name may be the name of a submodule: once that is imported, it hides the other.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
