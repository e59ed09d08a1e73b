"""All settings of a run in one tree, and the three ways to change them.

A run's settings are the defaults (the paper's), changed by a preset, then by a study, then by
``--set key.path=value``. A key that does not exist is an error that names the nearest.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from skelcon.config import Config
from skelcon.downstream import LinearConfig, RetrievalConfig
from skelcon.errors import UserError, nearest
from skelcon.pretrain import PretrainConfig

PRESETS = ("quick", "small", "paper")
Tree = dict[str, Any]
ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Settings(Config):
    """What a pre-training and its evaluations depend on, beside data and seed."""

    pretrain: PretrainConfig = PretrainConfig()
    linear: LinearConfig = LinearConfig()
    retrieval: RetrievalConfig = RetrievalConfig()


def load_yaml(path: Path) -> Tree:
    """The mapping in a YAML file; :class:`UserError` names the file, and the line of a fault."""
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        at = getattr(error, "problem_mark", None)
        where = f", line {at.line + 1}" if at is not None else ""
        problem = getattr(error, "problem", None) or "not a text file"
        raise UserError(f"'{path}'{where}: not valid YAML: {problem}") from None
    if not isinstance(values, dict):
        raise UserError(f"'{path}' holds no mapping of keys to values")
    return values


def preset_tree(name: str) -> Tree:
    """What the preset ``name`` changes; :class:`UserError` for an unknown one."""
    if name not in PRESETS:
        raise UserError(f"unknown preset '{name}': {nearest(name, PRESETS)}")
    with resources.as_file(resources.files("skelcon") / "presets" / f"{name}.yaml") as path:
        return load_yaml(path)


def put(tree: Tree, dotted: str, value: Any) -> None:
    """Set ``tree["a"]["b"]`` for the key path ``a.b``; a mapping is merged into what is there."""
    *parents, last = dotted.split(".")
    for parent in parents:
        below = tree.setdefault(parent, {})
        if not isinstance(below, dict):
            raise UserError(f"unknown key '{dotted}': '{parent}' holds a value, not keys")
        tree = below
    if isinstance(value, Mapping):
        if not isinstance(tree.get(last), dict):
            tree[last] = {}
        merge(tree[last], value)
    else:
        tree[last] = copy.deepcopy(value)


def merge(tree: Tree, changes: Mapping[str, Any]) -> None:
    """Apply ``changes`` (nested mappings, keys may be dotted) to ``tree`` in place."""
    for key, value in changes.items():
        put(tree, str(key), value)


def parse_assignment(text: str) -> tuple[str, Any]:
    """``key.path=value`` of ``--set``, its value read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set takes key.path=value, not '{text}'")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"--set {key.strip()}: '{value}' is not a valid value") from None


def resolve(trees: Iterable[Mapping[str, Any]], source: str) -> Settings:
    """The settings after each of ``trees`` in turn; ``source`` is named in an error."""
    tree: Tree = {}
    for changes in trees:
        merge(tree, changes)
    return validated(Settings, tree, source)


def validated(model: type[ConfigT], tree: Mapping[str, Any], source: str) -> ConfigT:
    """``model`` from ``tree``; :class:`UserError` names the key, the value and what is valid."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: the former says more.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        path = [str(part) for part in first["loc"]]
        dotted = ".".join(path)
        if first["type"] == "extra_forbidden":
            hint = nearest(path[-1], _fields_at(model, path[:-1]))
            raise UserError(f"{source}: unknown key '{dotted}': {hint}") from None
        message = first["msg"].removeprefix("Value error, ")
        given = first.get("input")
        shown = f" (given: {given!r})" if not isinstance(given, Mapping) else ""
        raise UserError(f"{source}: {dotted or 'value'}: {message}{shown}") from None


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """The names that are valid below ``path`` of ``model``."""
    parts = iter(path)
    for part in parts:
        field = model.model_fields.get(part)
        below = field.annotation if field is not None else None
        if get_origin(below) is dict:
            below = get_args(below)[1]
            next(parts, None)  # the mapping's key
        if not isinstance(below, type) or not issubclass(below, BaseModel):
            return []
        model = below
    return list(model.model_fields)
