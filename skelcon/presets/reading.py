"""Reads presets: the built-in ones by name, and YAML files, each part of them checked."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from skelcon.config import Json, validated
from skelcon.encoders import REPRESENTATION_PLUGINS
from skelcon.errors import UserError, nearest
from skelcon.presets.names import BY_DATA, BY_REPRESENTATIONS, PARTS, canonical_data
from skelcon.settings import Settings, merge
from skelcon.yamlfile import YamlFile, read_yaml

PRESETS = ("quick", "small", "paper", "authors")

_EXTENDS, _CHOSEN = "extends", "chosen"


@dataclass(frozen=True)
class Preset:
    """A preset; :meth:`of` finds it.

    Attributes:
        name: what captions call it: the name of a built-in preset, or of the file.
        tree: everything that it sets, with what it extends.
        base: of a file, the built-in preset at the end of its ``extends``; empty if there is none.
        changes: of a file, what it and the files that it extends set.
        chosen: how its values were chosen, in words.
    """

    name: str
    tree: Json = field(hash=False, repr=False)
    base: str = ""
    changes: Json = field(default_factory=dict, hash=False, repr=False)
    chosen: str = field(default="", repr=False)

    @classmethod
    def of(cls, asked: str | Path | Preset) -> Preset:
        """The preset of that name, or in that file.

        Raises:
            UserError: if there is none, or the file is not a valid preset; it names the line.
        """
        return asked if isinstance(asked, Preset) else _found(str(asked), Path(), ())

    @classmethod
    def from_json(cls, values: Json | str) -> Preset:
        """From :meth:`to_json`; an earlier version wrote the name of a built-in preset."""
        if isinstance(values, str):
            return cls.of(values)
        own = {"chosen": "", **values}
        return cls(own["name"], own["tree"], own["base"], own["changes"], own["chosen"])

    def to_json(self) -> Json:
        """All of it, so that a preset's file is not needed again."""
        names = ("name", "tree", "base", "changes", "chosen")
        return {name: getattr(self, name) for name in names}

    @property
    def at_paper_scale(self) -> bool:
        """Whether it is a built-in preset of the paper's own scale."""
        return self.name in ("paper", "authors")

    def __str__(self) -> str:
        return self.name


def _found(asked: str, beside: Path, above: tuple[Path, ...]) -> Preset:
    """The preset called ``asked``.

    Args:
        asked: a name, or a path relative to ``beside``.
        beside: the directory of the file that extends it.
        above: the files that lead to it by ``extends``.
    """
    if asked in PRESETS:
        with resources.as_file(resources.files("skelcon") / "presets" / f"{asked}.yaml") as path:
            read = _read(path, (*above, path))
            return Preset(asked, read.tree, chosen=read.chosen)
    try:
        path = beside / Path(asked).expanduser()
    except RuntimeError:
        raise UserError(f"preset '{asked}': this home directory is unknown") from None
    if not (os.sep in asked or path.suffix in (".yaml", ".yml") or path.is_file()):
        hint = nearest(asked, PRESETS)
        raise UserError(f"unknown preset '{asked}': {hint} (or the path of a .yaml file)")
    if path.resolve() in above:
        raise UserError(f"'{path}' extends itself")
    return _read(path, (*above, path.resolve()))


def _read(path: Path, above: tuple[Path, ...]) -> Preset:
    """The preset in a file, each part of it checked."""
    file = read_yaml(path)
    own = {key: value for key, value in file.values.items() if key not in (_EXTENDS, _CHOSEN)}
    for part in PARTS:
        if part in own:
            own[part] = {_canonical(part, name): own[part][name] for name in _names(file, part)}
    base = Preset("", {})
    if _EXTENDS in file.values:
        asked = file.values[_EXTENDS]
        if not isinstance(asked, str):
            raise UserError(f"{file.at([_EXTENDS])}: extends: give a preset's name, or a file")
        try:
            base = _found(asked, path.parent, above)
        except UserError as error:
            raise UserError(f"{file.at([_EXTENDS])}: extends: {error}") from None
    tree, changes = copy.deepcopy(base.tree), copy.deepcopy(base.changes)
    merge(tree, own)
    merge(changes, own)
    _check(file, tree)
    name = path.name if path.suffix else f"./{path.name}"  # never a built-in preset's name
    chosen = file.values.get(_CHOSEN, base.chosen)
    if not isinstance(chosen, str):
        raise UserError(f"{file.at([_CHOSEN])}: chosen: give a text")
    return Preset(name, tree, base.name if base.name in PRESETS else base.base, changes, chosen)


def _canonical(part: str, name: str) -> str:
    """The one spelling of a name in ``by_data`` or ``by_representations``."""
    if part == BY_DATA:
        return canonical_data(name)
    return "+".join(sorted(name.split("+"), key=REPRESENTATION_PLUGINS.names().index))


def _names(file: YamlFile, part: str) -> list[str]:
    """The names below ``part`` as the file spells them; :class:`UserError` for a wrong one."""
    found: dict[str, str] = {}
    entries = file.values[part]
    if not isinstance(entries, dict):
        raise UserError(f"{file.at([part])}: {part}: give a mapping of names to settings")
    for name, settings in entries.items():
        where = file.at([part, str(name)])
        try:
            if part == BY_REPRESENTATIONS:
                for each in str(name).split("+"):
                    REPRESENTATION_PLUGINS.known(each)
        except ValueError as error:
            raise UserError(f"{where}: {part}: {error}") from None
        if not isinstance(name, str) or not isinstance(settings, dict):
            raise UserError(f"{where}: {part}: '{name}' needs a mapping of settings")
        same = found.setdefault(_canonical(part, name), name)
        if same != name:
            raise UserError(f"{where}: {part}: '{name}' and '{same}' are the same")
    return list(entries)


def _check(file: YamlFile, tree: Json) -> None:
    """:class:`UserError`, with the line, for invalid settings, general or for a part of the work.

    The parts are in :data:`PARTS`: data sets, and representations.
    """
    general = {key: value for key, value in tree.items() if key not in PARTS}

    def valid(above: tuple[str, ...], *trees: Json) -> None:
        merged: Json = {}
        for each in (general, *trees):
            merge(merged, each)
        places = (above, ()) if above else ((),)

        def line(keys: tuple[str, ...]) -> str:
            found = (file.at_setting(place, keys) for place in places)
            return next((text for text in found if text is not None), file.at(above))

        validated(Settings, merged, line)

    valid(())
    for part in PARTS:
        spelt = {_canonical(part, name): name for name in file.values.get(part, {})}
        for name, changes in tree.get(part, {}).items():
            together = name.split("+") if part == BY_REPRESENTATIONS else None
            pretrained = {"pretrain.representations": together} if together else {}
            valid((part, spelt.get(name, name)), changes, pretrained)
