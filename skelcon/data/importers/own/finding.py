"""From a path and options to the source that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skelcon.config import InvalidValueError, validated
from skelcon.data.importers.own.arrays import OwnArrays
from skelcon.data.importers.own.description import KINDS
from skelcon.data.importers.own.files import OwnFiles, is_manifest
from skelcon.data.importers.own.source import OwnSource
from skelcon.data.importers.own.table import OwnTable
from skelcon.data.importers.own.tables import TABLES, column_names
from skelcon.errors import UserError, nearest
from skelcon.yamlfile import YamlFile, read_yaml

SOURCES: Mapping[str, type[OwnSource[Any]]] = {
    source.family: source for source in (OwnArrays, OwnFiles, OwnTable)
}
NAME = "skelcon.yaml"
"""A description of the directory that it is in."""
_TOGETHER = ("files", "manifest", "rows", "axes")
"""Settings that exclude each other."""
_OPTIONS = {"keys": "key"}
"""Setting -> the option that sets it, if its name differs."""
_YAML = (".yaml", ".yml")
_DATA = (".npz", ".npy", *TABLES)


def description_at(path: Path) -> Path | None:
    """The description that ``path`` is, or that is in it or beside it; None if there is none."""
    if path.is_dir():
        beside = path / NAME
    elif path.suffix in _YAML:
        beside = path
    else:
        beside = path.with_suffix(_YAML[0])
    if not beside.is_file() or (beside != path and beside.name != NAME and not _is_one(beside)):
        return None
    return beside


def _is_one(path: Path) -> bool:
    """Whether a YAML file that is beside data is a description, and not a layout or other file."""
    values = read_yaml(path).values
    if "kind" in values:
        return True
    others = set().union(*(kind.model_fields for kind in KINDS.values())) - {"name", "unit"}
    if "bones" not in values and (said := [key for key in values if key in others]):
        raise UserError(
            f"'{path}' says '{said[0]}' but no kind: if it is the description of the data beside "
            f"it, say kind: {', '.join(KINDS)}; else rename it"
        )
    return False


def described_source(
    path: Path, options: Mapping[str, Any] | None = None, describe: Path | None = None
) -> OwnSource[Any] | None:
    """The source at ``path`` that a description or options describe; None if nothing does.

    Args:
        path: the data, or a description.
        options: values of a description, which override the values in a file.
        describe: a description that is elsewhere.

    Raises:
        UserError: names the file, the key, the value and the nearest valid choice.
    """
    place = describe or description_at(path)
    if place is None and not options:
        return None
    file = YamlFile(Path(), {}, {}) if place is None else read_yaml(place)
    data = path if place is None else _data_of(file, path if describe else None)
    if not data.exists():
        raise UserError(f"{file.at(('data',))}: there is no '{data}'")
    values = {**file.values, **(options or {})}
    stated = file.values.get("keys")
    if isinstance(stated, Mapping) and options and "keys" in options:
        values["keys"] = {**stated, **options["keys"]}
    kind = _kind(values, data, file, place)
    settings = KINDS[kind]
    given = options or {}
    for key in values:
        others = [name for name, each in KINDS.items() if key in each.model_fields]
        if others and key not in settings.model_fields:
            where = _where((key,), given, file, place)
            raise UserError(
                f"{where}: '{key}' is a setting of {' and '.join(others)}, and '{data}' is of "
                f"kind {kind}"
            )
    try:
        description = validated(
            settings, {**values, "kind": kind}, lambda keys: _where(keys, given, file, place)
        )
    except InvalidValueError as error:
        where = _where(error.keys, given, file, place)
        if not where.startswith("--"):
            raise
        text = str(error).removeprefix(f"{where}: ")  # names the key again
        text = text.removeprefix(f"{'.'.join(error.keys) or 'value'}: ")
        raise InvalidValueError(f"{where}: {text}", error.keys) from None
    base = Path() if place is None else place.parent
    return SOURCES[kind].of(description, data, base)


def option_of(key: str) -> str:
    """The command-line option of a setting."""
    return f"--{_OPTIONS.get(key, key).replace('_', '-')}"


def _where(
    keys: tuple[str, ...], options: Mapping[str, Any], file: YamlFile, place: Path | None
) -> str:
    if not keys and any(key in options for key in _TOGETHER):
        return " ".join(f"--{key}" for key in _TOGETHER if key in options)
    if place is None or (keys and keys[0] in options):
        return option_of(keys[0] if keys else "describe")
    return file.at(keys)


def _data_of(file: YamlFile, stated: Path | None) -> Path:
    """The files that a description is of."""
    if stated is not None and stated != file.path:
        return stated
    folder = file.path.parent
    if "data" in file.values:
        return folder / str(file.values["data"])
    if file.path.name == NAME:
        return folder
    found = [path for suffix in _DATA if (path := file.path.with_suffix(suffix)).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"'{file.path}': which of {names} does it describe? Say data: NAME")
    return found[0] if found else folder


def _kind(values: dict[str, Any], data: Path, file: YamlFile, place: Path | None) -> str:
    """The stated kind, or else the kind that follows from the data's name and the settings.

    A table that lists files is entered in ``values`` as the manifest.
    """
    if values.get("kind") is not None:
        kind = str(values["kind"])
        if kind not in KINDS:
            where = file.at(("kind",)) if place else "--kind"
            raise UserError(f"{where}: unknown kind '{kind}': {nearest(kind, KINDS)}")
        return kind
    if values.get("files") or (values.get("manifest") and data.is_dir()):
        return "files"
    if data.suffix in (".npz", ".npy"):
        return "arrays"
    if data.suffix in TABLES:
        keys = values.get("keys")
        if is_manifest(data, column_names(data)) or (isinstance(keys, Mapping) and "path" in keys):
            values.setdefault("manifest", data.name)
            return "files"
        return "table"
    inside = sorted(path.suffix for path in data.iterdir()) if data.is_dir() else []
    if inside.count(".npz") == 1 or (".npy" in inside and ".npz" not in inside):
        return "arrays"
    raise UserError(
        f"'{data}': say what it is: --files PATTERN for a file a clip, or --manifest FILE, or give "
        "the path of an .npz, .npy, .csv or .parquet file"
    )
