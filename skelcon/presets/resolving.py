"""From a preset to settings: its parts, then a study's settings, then the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skelcon.config import Json
from skelcon.encoders import REPRESENTATION_PLUGINS
from skelcon.presets.names import BY_DATA, BY_REPRESENTATIONS, PARTS, DataNames, canonical_data
from skelcon.presets.reading import Preset
from skelcon.settings import Settings, resolve

if TYPE_CHECKING:
    from skelcon.data import SkeletonDataset


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
        data: the name of a data set, such as ``pkummd2``, whose part of ``by_data`` applies.

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
        preset: a :attr:`Preset.tree`. All studies on a data set of its ``by_data``, or with
            representations of its ``by_representations``, have the same settings.
        trees: the settings of a study.
        overrides: the settings of the user.
        source: where preset and study come from, for errors.
        data: the names of the data sets; None: nothing of ``by_data`` applies.
    """
    general = {key: value for key, value in preset.items() if key not in PARTS}
    first = (general, *_for_data(preset, data))
    asked = resolve((*first, *trees), source)
    if overrides:
        asked = resolve((*first, *trees, overrides), "--set")
    together = "+".join(asked.pretrain.representations)
    special = preset.get(BY_REPRESENTATIONS, {}).get(together, {})
    checked = resolve((*first, special, *trees), source)
    return resolve((*first, special, *trees, overrides), "--set") if overrides else checked


def preset_layers(
    preset: Preset, representations: Sequence[str], data: DataNames | None = None
) -> list[tuple[str, Json]]:
    """(name, settings) of each part of a preset, as :func:`resolve_with_preset` applies them.

    >>> data = DataNames("ntu120", "ntu120")
    >>> [name for name, _ in preset_layers(Preset.of("paper"), ["img"], data)]
    ['preset paper, by_data ntu120']
    """
    layers = [("", {key: value for key, value in preset.tree.items() if key not in PARTS})]
    if data is not None:
        names = canonical_data(data.pretraining), canonical_data(data.task)
        found = zip(names, _for_data(preset.tree, data), strict=True)
        layers += [(f", {BY_DATA} {name}", tree) for name, tree in found]
    together = "+".join(sorted(representations, key=REPRESENTATION_PLUGINS.names().index))
    special = preset.tree.get(BY_REPRESENTATIONS, {}).get(together, {})
    layers.append((f", {BY_REPRESENTATIONS} {together}", special))
    return [(f"preset {preset}{name}", tree) for name, tree in layers if tree]


def _for_data(preset: Mapping[str, Any], data: DataNames | None) -> list[Json]:
    """What applies of ``by_data``: ``pretrain`` of one data set, all else of the other."""
    if data is None:
        return []
    recipes, found = preset.get(BY_DATA, {}), []
    for name, of_pretraining in ((data.pretraining, True), (data.task, False)):
        tree = recipes.get(canonical_data(name), {})
        found.append({k: v for k, v in tree.items() if (k == "pretrain") == of_pretraining})
    return found
