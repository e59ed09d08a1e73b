"""The base of every configuration: typed, frozen, and without unknown keys; and its errors."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from skelcon.errors import UserError, nearest

Json = dict[str, Any]
"""Plain JSON values, keys are text."""


class Config(BaseModel):
    """A frozen set of values; an unknown key or a wrong type is an error.

    Every field carries one line of help (its ``description``), and its default is the paper's
    value unless the description says otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Called by pydantic: what differs from the defaults."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            if field is None or value != field.get_default(call_default_factory=True):
                yield name, value

    @classmethod
    def key_paths(cls) -> Sequence[str]:
        """Key paths that a hint may name for an unknown key anywhere below."""
        return ()


ConfigT = TypeVar("ConfigT", bound=Config)


class InvalidValueError(UserError):
    """A key or a value that a configuration does not allow.

    Attributes:
        keys: the key path.
    """

    def __init__(self, message: str, keys: tuple[str, ...]) -> None:
        super().__init__(message)
        self.keys = keys


def validated(
    model: type[ConfigT], tree: Mapping[str, Any], source: str | Callable[[tuple[str, ...]], str]
) -> ConfigT:
    """Validate ``tree`` as a ``model``.

    Args:
        model: the configuration class.
        tree: keys and values.
        source: where ``tree`` comes from, or a function from a key path to that.

    Raises:
        InvalidValueError: names the source, the key, the value and what is valid.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: the unknown key says more.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        keys = tuple(str(part) for part in first["loc"])
        dotted = ".".join(keys)
        where = source if isinstance(source, str) else source(keys)
        if first["type"] == "extra_forbidden":
            hint = _nearest_path(model, keys)
            raise InvalidValueError(f"{where}: unknown key '{dotted}': {hint}", keys) from None
        message = first["msg"].removeprefix("Value error, ")
        given = first.get("input")
        shown = f" (given: {given!r})" if not isinstance(given, Mapping) else ""
        raise InvalidValueError(f"{where}: {dotted or 'value'}: {message}{shown}", keys) from None


def put(tree: Json, dotted: str, value: Any) -> None:
    """Set ``tree["a"]["b"]`` for the key path ``a.b``; a mapping is merged into an existing one.

    >>> tree = {"a": {"c": 2}}
    >>> put(tree, "a.b", 1)
    >>> tree
    {'a': {'c': 2, 'b': 1}}
    """
    *parents, last = dotted.split(".")
    for parent in parents:
        below = tree.setdefault(parent, {})
        if not isinstance(below, dict):
            raise UserError(f"unknown key '{dotted}': '{parent}' is a value and has no keys")
        tree = below
    if isinstance(value, Mapping):
        if not isinstance(tree.get(last), dict):
            tree[last] = {}
        merge(tree[last], value)
    else:
        tree[last] = copy.deepcopy(value)


def flat(tree: Mapping[str, Any], above: str = "") -> Json:
    """``key.path`` -> value of nested mappings; :func:`merge` gives the nested mappings again.

    >>> flat({"pretrain": {"epochs": 3, "augment": {"use": ["crop"]}}})
    {'pretrain.epochs': 3, 'pretrain.augment.use': ['crop']}
    """
    found: Json = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def merge(tree: Json, changes: Mapping[str, Any]) -> None:
    """Apply ``changes`` (nested mappings, keys may be dotted) to ``tree`` in place."""
    for key, value in changes.items():
        put(tree, str(key), value)


def _nearest_path(model: type[Config], keys: tuple[str, ...]) -> str:
    """A hint for the unknown key path ``keys``: the whole path that it may stand for."""
    *above, last = keys
    names = _fields_at(model, above)
    if close := difflib.get_close_matches(last, names, n=1, cutoff=0.5):
        return f"did you mean '{'.'.join((*above, close[0]))}'?"
    for path in model.key_paths():
        if path.endswith(f".{last}"):
            return f"did you mean '{path}'?"
    return nearest(last, names)


def _fields_at(model: type[Config], path: Sequence[str]) -> list[str]:
    """The names that are valid below ``path`` of ``model``."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(part)
            current = field.annotation if field else None
        else:  # a mapping or sequence of models: its last type argument is the item's
            items = [each for each in get_args(current) if each is not ...]
            current = (items or [None])[-1]
        kinds = [kind for kind in get_args(current) if kind is not NoneType]
        if get_origin(current) in (Union, UnionType) and len(kinds) == 1:
            current = kinds[0]
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []
