"""The importers by family: those that are built in, and those that plugins register."""

from __future__ import annotations

import inspect
import re

from skelcon.data.importers.source import Source
from skelcon.errors import UserError

FAMILIES: dict[str, type[Source]] = {}
"""Every family, by the name that ``--format`` takes."""


def register(source: type[Source]) -> None:
    """Add an importer. The same class again (a notebook cell that is run again) replaces it.

    Raises:
        UserError: if it is no importer, or its family's name is invalid or taken.
    """
    if not (inspect.isclass(source) and issubclass(source, Source)):
        raise UserError(f"importer {source!r:.60}: it must be a subclass of skelcon.data.Source")
    name = getattr(source, "family", None)
    what = f"importer '{source.__qualname__}'"
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise UserError(f"{what}: family {name!r}: give lower-case letters, digits, '-' and '_'")
    if not isinstance(getattr(source, "title", None), str):
        raise UserError(f"{what}: it needs a title, such as 'My recordings'")
    if missing := sorted(source.__abstractmethods__):
        raise UserError(f"{what}: it does not define {', '.join(missing)}")
    before = FAMILIES.get(name)
    if before is not None and _place(before) != _place(source):
        raise UserError(f"{what}: '{before.__module__}' has an importer of the family '{name}'")
    FAMILIES[name] = source


def _place(source: type[Source]) -> tuple[str, str]:
    return source.__module__, source.__qualname__
