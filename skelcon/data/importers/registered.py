"""The importers by family: those that are built in, and those that plugins register."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import re
from collections.abc import Iterator, Sequence
from linecache import getlines
from pathlib import Path

from skelcon.data.importers.source import Source
from skelcon.errors import UserError, reason_of

FAMILIES: dict[str, type[Source]] = {}
"""Every family, by the name that ``--format`` takes."""


def register(source: type[Source]) -> None:
    """Add an importer. The same class again (a notebook cell that is run again) replaces it.

    Raises:
        UserError: if it is not an importer, or its family's name is invalid or taken.
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


def is_users(source: type[Source]) -> bool:
    """Whether an importer is a user's, whose code may raise anything."""
    return not source.__module__.startswith("skelcon.")


def file_of(source: type[Source]) -> str | None:
    """The file that defines an importer; None if none does, as in a prompt."""
    with contextlib.suppress(OSError, TypeError):
        return inspect.getfile(source)
    return None


def code_digest(source: type[Source]) -> str:
    """Of the code of a user's importer; empty for one that is built in.

    It covers the files of the class and of its bases, and the modules beside them that they import;
    of a class in a notebook, which has no file, the cell.
    """
    digest = hashlib.sha256()
    users = [kind for kind in source.__mro__ if issubclass(kind, Source) and is_users(kind)]
    files = [Path(file_of(kind) or "") for kind in users]
    for kind, file in zip(users, files, strict=True):
        digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
        digest.update(_content(file) or _text_of(kind))
    for file in _imported_beside(files):
        digest.update(file.name.encode() + _content(file))
    return digest.hexdigest() if users else ""


def _text_of(kind: type[Source]) -> bytes:
    """The notebook cells that define the methods of a class; empty if they are not known.

    (`inspect.getsource` needs a file for a class, but not for its methods.)
    """
    methods = (getattr(member, "__func__", member) for member in vars(kind).values())
    cells = [method.__code__.co_filename for method in methods if inspect.isfunction(method)]
    return "".join(line for cell in dict.fromkeys(cells) for line in getlines(cell)).encode()


def _imported_beside(files: Sequence[Path]) -> list[Path]:
    """The modules in the directories of ``files`` that these import, and what those import."""
    known = dict.fromkeys(files)
    waiting = [*known]
    while waiting:
        file = waiting.pop()
        for name in _names_imported(file):
            beside = file.with_name(f"{name.rpartition('.')[2]}.py")
            if beside not in known and beside.is_file():
                known[beside] = None
                waiting.append(beside)
    return sorted(known.keys() - set(files))


def _names_imported(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(_content(file))
    except (SyntaxError, ValueError):  # changed since it was imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (each.name for each in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _content(file: Path) -> bytes:
    """The content of a file; empty if it cannot be read."""
    with contextlib.suppress(OSError):
        return file.read_bytes()
    return b""


@contextlib.contextmanager
def faults_reported(source: type[Source]) -> Iterator[None]:
    """While code of an importer runs: what a user's raises becomes a :class:`UserError`."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        if not is_users(source):
            raise
        raise UserError(
            f"importer '{source.family}' of '{source.__module__}': "
            f"{reason_of(error, file_of(source))}"
        ) from None


def _place(source: type[Source]) -> tuple[str, str]:
    return source.__module__, source.__qualname__
