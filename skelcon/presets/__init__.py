"""Presets: the scale and the recipe of a run, by name or in a YAML file of the user's.

extends: small                                  another preset, by name, or a file beside this one
chosen: by cross-validation on my data          how its values were chosen: a note under each table
pretrain: {epochs: 60, encoders.frames: 32}     settings, as ``--set`` names them
by_data:                                        further ones for a data set, by its name
  ntu120: {pretrain.epochs: 351}
by_representations:                             and for what is pre-trained together
  img+seq: {pretrain.epochs: 300}

What is set for a data set comes after the general settings, and what is set for representations
after that; then come a study's settings and the user's. A file's content decides, never its name:
that is what a unit's key and a table's provenance hold.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skelcon.config import Json, validated
from skelcon.encoders import REGISTERED
from skelcon.errors import UserError, nearest
from skelcon.settings import Settings, merge, resolve
from skelcon.yamlfile import YamlFile, read_yaml

if TYPE_CHECKING:
    from skelcon.data import SkeletonDataset

PRESETS = ("quick", "small", "paper", "authors")
PAPER_SCALE = ("paper", "authors")
"""Those at the paper's own scale."""

_EXTENDS, _CHOSEN = "extends", "chosen"
_PARTS = _BY_DATA, _BY_REPRESENTATIONS = "by_data", "by_representations"


@dataclass(frozen=True)
class DataNames:
    """The names of the data sets whose recipes count; of a transfer they differ.

    Attributes:
        pretraining: decides ``pretrain``.
        task: decides the settings of the downstream task.
    """

    pretraining: str
    task: str

    @classmethod
    def of(cls, dataset: SkeletonDataset, source: SkeletonDataset | None = None) -> DataNames:
        """Those of an evaluation on ``dataset``, of what is pre-trained on ``source``."""
        return cls((source or dataset).name, dataset.name)


@dataclass(frozen=True)
class Preset:
    """A preset; :meth:`of` finds it.

    Attributes:
        name: what captions call it: a built-in one's name, or the file's.
        tree: all that it sets, with what it extends.
        base: of a file, the built-in preset that it extends in the end; empty if there is none.
        changes: of a file, what it sets itself.
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
        """What :meth:`to_json` wrote, or (of an earlier version) the name of a built-in one."""
        if isinstance(values, str):
            return cls.of(values)
        own = {"chosen": "", **values}
        return cls(own["name"], own["tree"], own["base"], own["changes"], own["chosen"])

    def to_json(self) -> Json:
        """All of it: a file is not needed again."""
        names = ("name", "tree", "base", "changes", "chosen")
        return {name: getattr(self, name) for name in names}

    @property
    def at_paper_scale(self) -> bool:
        """Whether it is one of :data:`PAPER_SCALE` itself."""
        return self.name in PAPER_SCALE

    def __str__(self) -> str:
        return self.name


def default_preset(dataset: SkeletonDataset) -> str:
    """The preset that suits a data set: ``quick`` for synthetic clips, ``small`` for others."""
    return "quick" if dataset.synthetic else "small"


def preset(
    name: str | Path = "paper",
    settings: Mapping[str, Any] | None = None,
    *,
    data: str | None = None,
) -> Settings:
    """All settings of a preset, ready to be used: ``preset("small").pretrain`` pre-trains.

    >>> preset("small").pretrain.epochs
    60
    >>> preset("small", {"pretrain.representations": ["img"]}).pretrain.representations
    ('img',)

    Args:
        name: ``quick``, ``small``, ``paper``, ``authors``, or the path of a file.
        settings: what to change, as ``--set`` names it.
        data: the name of a data set, such as ``pkummd2``, whose recipes count.

    Raises:
        UserError: for an unknown preset, key or value.
    """
    found, names = Preset.of(name), None if data is None else DataNames(data, data)
    return resolve_with_preset(found.tree, (), settings or {}, f"preset '{found}'", names)


def preset_tree(preset: str | Path | Preset) -> Json:
    """What a preset changes; :class:`UserError` for an unknown one."""
    return Preset.of(preset).tree


def resolve_with_preset(
    preset: Mapping[str, Any],
    trees: Sequence[Mapping[str, Any]],
    overrides: Mapping[str, Any],
    source: str,
    data: DataNames | None = None,
) -> Settings:
    """The settings after ``preset``, then each of ``trees``, then the user's ``overrides``.

    Args:
        preset: a :attr:`Preset.tree`; ``by_data`` and ``by_representations`` hold what further
            applies, so that every study on these data, or that pre-trains these representations,
            has the same settings.
        trees: of a study.
        overrides: the user's.
        source: where the trees come from, for errors.
        data: the names of the data sets; if not set, no recipe of ``by_data`` applies.
    """
    general = {key: value for key, value in preset.items() if key not in _PARTS}
    first = (general, *_for_data(preset, data))
    asked = resolve((*first, *trees), source)
    if overrides:
        asked = resolve((*first, *trees, overrides), "--set")
    together = "+".join(asked.pretrain.representations)
    special = preset.get(_BY_REPRESENTATIONS, {}).get(together, {})
    checked = resolve((*first, special, *trees), source)
    return resolve((*first, special, *trees, overrides), "--set") if overrides else checked


def preset_layers(
    preset: Preset, representations: Sequence[str], data: DataNames | None = None
) -> list[tuple[str, Json]]:
    """What a preset sets, as :func:`resolve_with_preset` applies it, each part with its name.

    >>> data = DataNames("ntu120", "ntu120")
    >>> [name for name, _ in preset_layers(Preset.of("paper"), ["img"], data)]
    ['preset paper, by_data ntu120']
    """
    layers = [("", {key: value for key, value in preset.tree.items() if key not in _PARTS})]
    if data is not None:
        names = canonical_data(data.pretraining), canonical_data(data.task)
        found = zip(names, _for_data(preset.tree, data), strict=True)
        layers += [(f", {_BY_DATA} {name}", tree) for name, tree in found]
    together = "+".join(sorted(representations, key=REGISTERED.names().index))
    special = preset.tree.get(_BY_REPRESENTATIONS, {}).get(together, {})
    layers.append((f", {_BY_REPRESENTATIONS} {together}", special))
    return [(f"preset {preset}{name}", tree) for name, tree in layers if tree]


def canonical_data(name: str) -> str:
    """One spelling of a data set's name.

    >>> [canonical_data(name) for name in ("ntu-120", "NTU RGB+D 60", "PKU-MMD II", "UTD-MHAD")]
    ['ntu120', 'ntu60', 'pkummd2', 'utdmhad']
    """
    letters = re.sub(r"[^\w]|_", "", name.lower())
    known = re.fullmatch(r"(ntu|pku)(?:rgbd|mmd)?(60|120|1|2|i|ii)", letters)
    if known is None:
        return letters
    family, part = known.groups()
    return f"ntu{part}" if family == "ntu" else f"pkummd{len(part) if 'i' in part else part}"


def _for_data(preset: Mapping[str, Any], data: DataNames | None) -> list[Json]:
    """Of ``by_data`` what applies: ``pretrain`` of one data set, all else of the other."""
    if data is None:
        return []
    recipes, found = preset.get(_BY_DATA, {}), []
    for name, of_pretraining in ((data.pretraining, True), (data.task, False)):
        tree = recipes.get(canonical_data(name), {})
        found.append({k: v for k, v in tree.items() if (k == "pretrain") == of_pretraining})
    return found


# -- finding and reading ----------------------------------------------------------------------


def _found(asked: str, beside: Path, above: tuple[Path, ...]) -> Preset:
    """The preset that is asked for in a directory, by files ``above`` that extend one another."""
    if asked in PRESETS:
        with resources.as_file(resources.files("skelcon") / "presets" / f"{asked}.yaml") as path:
            read = _read(path, (*above, path))
            return Preset(asked, read.tree, chosen=read.chosen)
    path = beside / Path(asked).expanduser()
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
    for part in _PARTS:
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
    name = path.name if path.suffix else f"./{path.name}"  # none of a built-in one's
    chosen = file.values.get(_CHOSEN, base.chosen)
    if not isinstance(chosen, str):
        raise UserError(f"{file.at([_CHOSEN])}: chosen: give a text")
    return Preset(name, tree, base.name if base.name in PRESETS else base.base, changes, chosen)


def _canonical(part: str, name: str) -> str:
    """The one spelling of a name in ``by_data`` or ``by_representations``."""
    if part == _BY_DATA:
        return canonical_data(name)
    return "+".join(sorted(name.split("+"), key=REGISTERED.names().index))


def _names(file: YamlFile, part: str) -> list[str]:
    """The names below ``part`` as the file spells them; :class:`UserError` for a wrong one."""
    found: dict[str, str] = {}
    entries = file.values[part]
    if not isinstance(entries, dict):
        raise UserError(f"{file.at([part])}: {part}: give a mapping of names to settings")
    for name, settings in entries.items():
        where = file.at([part, str(name)])
        try:
            if part == _BY_REPRESENTATIONS:
                for each in str(name).split("+"):
                    REGISTERED.known(each)
        except ValueError as error:
            raise UserError(f"{where}: {part}: {error}") from None
        if not isinstance(name, str) or not isinstance(settings, dict):
            raise UserError(f"{where}: {part}: '{name}' needs a mapping of settings")
        same = found.setdefault(_canonical(part, name), name)
        if same != name:
            raise UserError(f"{where}: {part}: '{name}' and '{same}' are the same")
    return list(entries)


def _check(file: YamlFile, tree: Json) -> None:
    """:class:`UserError`, with the line, unless all settings are valid, for whatever they apply."""
    general = {key: value for key, value in tree.items() if key not in _PARTS}

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
    for part in _PARTS:
        spelt = {_canonical(part, name): name for name in file.values.get(part, {})}
        for name, changes in tree.get(part, {}).items():
            together = name.split("+") if part == _BY_REPRESENTATIONS else None
            pretrained = {"pretrain.representations": together} if together else {}
            valid((part, spelt.get(name, name)), changes, pretrained)
