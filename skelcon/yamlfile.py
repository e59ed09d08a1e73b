"""YAML files that know the line of each key."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from skelcon.errors import UserError


@dataclass(frozen=True)
class YamlFile:
    """A file's mapping, and the line of each of its keys.

    Attributes:
        path: the file.
        values: its mapping.
        lines: key path -> line, counted from 1.
    """

    path: Path
    values: dict[str, Any]
    lines: dict[tuple[str, ...], int]

    def at(self, keys: Sequence[str]) -> str:
        """``'file', line n`` of the longest prefix of ``keys`` that the file has."""
        for end in range(len(keys), 0, -1):
            line = self.lines.get(tuple(keys[:end]))
            if line is not None:
                return f"'{self.path}', line {line}"
        return f"'{self.path}'"

    def at_setting(self, above: Sequence[str], keys: Sequence[str]) -> str | None:
        """:meth:`at` of the setting ``keys`` below ``above``, whose keys may be dotted.

        None if nothing there sets it, or a part of it.
        """
        tree: Any = self.values
        for part in above:
            tree = tree.get(part) if isinstance(tree, dict) else None
        spelt = _spelt(tree, tuple(keys))
        return None if spelt is None else self.at((*above, *spelt))


def _spelt(tree: Any, keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """The key path ``keys`` as ``tree`` spells it, or the part that is there; None if none is."""
    for name in tree if isinstance(tree, dict) else ():
        dotted = tuple(str(name).split("."))
        if dotted == keys[: len(dotted)]:
            below = keys[len(dotted) :]
            return (str(name), *(_spelt(tree[name], below) or below))
        if keys == dotted[: len(keys)]:
            return (str(name),)
    return None


def read_yaml(path: Path) -> YamlFile:
    """Read a mapping; :class:`UserError` names the file and the line of an error."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        values, root = _parse(text)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not text, or an impossible date
        at = getattr(error, "problem_mark", None)
        where = f", line {at.line + 1}" if at is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"'{path}'{where}: not valid YAML: {problem}") from None
    if not isinstance(values, dict):
        raise UserError(f"'{path}' must be a mapping of keys to values")
    lines: dict[tuple[str, ...], int] = {}
    try:
        if root is not None:
            _find_lines(root, (), lines, path)
    except RecursionError:
        raise UserError(f"'{path}' has a value that contains itself") from None
    return YamlFile(path, values, lines)


def _parse(text: str) -> tuple[Any, yaml.Node | None]:
    """The values and the nodes: by libyaml where it is installed; PyYAML explains faults.

    Both loaders are safe ones: they make plain values only.
    """
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with contextlib.suppress(yaml.YAMLError):
        return yaml.load(text, Loader=fast), yaml.compose(text, Loader=fast)
    return yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)


def _find_lines(
    node: yaml.Node, keys: tuple[str, ...], lines: dict[tuple[str, ...], int], path: Path
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*keys, str(key.value))
            if below in lines:
                line = key.start_mark.line + 1
                raise UserError(f"'{path}', line {line}: duplicate key '{key.value}'")
            lines[below] = key.start_mark.line + 1
            _find_lines(value, below, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[*keys, str(index)] = value.start_mark.line + 1
            _find_lines(value, (*keys, str(index)), lines, path)
