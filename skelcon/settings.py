"""All settings of a run in one tree, and the ways to change them.

A run's settings are the paper's defaults, changed by a preset (`skelcon.presets`), then by a study,
then by ``--set key.path=value``. An unknown key is an error that names the nearest valid one.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError, create_model

from skelcon.config import Config, Json
from skelcon.downstream.tasks import TASKS, task
from skelcon.errors import UserError, nearest
from skelcon.pretrain import PretrainConfig

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_SECTIONS: dict[str, Any] = {
    "pretrain": (PretrainConfig, PretrainConfig()),
    **{each.name: (each.settings, each.settings()) for each in TASKS.values()},
}
_Sections: Any = create_model("_Sections", __base__=Config, **_SECTIONS)


class Settings(_Sections):
    """What a pre-training and its evaluations depend on, apart from the data and the seed.

    In addition to ``pretrain`` it has a field for each of :data:`skelcon.downstream.tasks.TASKS`.
    """

    pretrain: PretrainConfig = PretrainConfig()

    def of(self, task_name: str) -> Config:
        """The settings of a downstream task; :class:`UserError` for an unknown one."""
        settings: Config = getattr(self, task(task_name).name)
        return settings


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


def merge(tree: Json, changes: Mapping[str, Any]) -> None:
    """Apply ``changes`` (nested mappings, keys may be dotted) to ``tree`` in place."""
    for key, value in changes.items():
        put(tree, str(key), value)


def assignments(tree: Mapping[str, Any], above: str = "") -> list[str]:
    """``key.path=value`` for each value of nested mappings.

    >>> assignments({"pretrain": {"epochs": 3, "augment": {"use": ["crop"]}}})
    ['pretrain.epochs=3', "pretrain.augment.use=['crop']"]
    """
    found = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found += assignments(value, f"{above}{key}.")
        else:
            found.append(f"{above}{key}={value}")
    return found


def setting_paths() -> list[str]:
    """The key path of every setting that has a default."""
    return [text.partition("=")[0] for text in assignments(Settings().model_dump(mode="json"))]


def parse_assignment(text: str) -> tuple[str, Any]:
    """``key.path=value`` of ``--set``, its value read as YAML.

    >>> parse_assignment("pretrain.representations=[seq, stg]")
    ('pretrain.representations', ['seq', 'stg'])
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set takes key.path=value, not '{text}'")
    try:
        return key.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        raise UserError(f"--set {key.strip()}: '{value}' is not a valid value") from None


def resolve(trees: Iterable[Mapping[str, Any]], source: str) -> Settings:
    """The settings after each of ``trees`` in turn; errors name the ``source``.

    >>> resolve([{"linear.epochs": 20}, {"linear.epochs": 30}], "example").of("linear").epochs
    30
    """
    tree: Json = {}
    for changes in trees:
        merge(tree, changes)
    return validated(Settings, tree, source)


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


def _nearest_path(model: type[BaseModel], keys: tuple[str, ...]) -> str:
    """A hint for the unknown key path ``keys``: the whole path that it may stand for."""
    *above, last = keys
    names = _fields_at(model, above)
    if close := difflib.get_close_matches(last, names, n=1, cutoff=0.5):
        return f"did you mean '{'.'.join((*above, close[0]))}'?"
    if issubclass(model, Settings):
        for path in setting_paths():
            if path.endswith(f".{last}"):
                return f"did you mean '{path}'?"
    return nearest(last, names)


def _fields_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The names that are valid below ``path`` of ``model``."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(part)
            current = field.annotation if field else None
        else:  # a mapping or sequence of models: its last type argument is the item's
            current = (get_args(current) or (None,))[-1]
        kinds = [kind for kind in get_args(current) if kind is not NoneType]
        if get_origin(current) in (Union, UnionType) and len(kinds) == 1:
            current = kinds[0]
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []
