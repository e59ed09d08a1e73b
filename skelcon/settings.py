"""All settings of a run in one tree, and the ways to change them.

A run's settings are the paper's defaults, changed by a preset (`skelcon.presets`), then by a study,
then by ``--set key.path=value``. An unknown key is an error that names the nearest valid one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import Field, create_model, field_validator

from skelcon.config import Config, Json, flat, merge, put, validated
from skelcon.downstream.tasks import TASK_PLUGINS, TASKS, section, task
from skelcon.errors import UserError
from skelcon.pretrain import PretrainConfig

__all__ = [
    "Settings",
    "assignments",
    "merge",
    "parse_assignment",
    "put",
    "resolve",
    "setting_paths",
]

_SECTIONS: dict[str, Any] = {
    "pretrain": (PretrainConfig, PretrainConfig()),
    **{
        each.name: (each.settings, each.settings())
        for each in TASKS.values()
        if each.name not in TASK_PLUGINS
    },
}
_Sections: Any = create_model("_Sections", __base__=Config, **_SECTIONS)


class Settings(_Sections):
    """What a pre-training and its evaluations depend on, apart from the data and the seed.

    In addition to ``pretrain`` it has a field for each of :data:`skelcon.downstream.tasks.TASKS`
    that is built in; the others are in ``tasks``.
    """

    pretrain: PretrainConfig = PretrainConfig()
    tasks: dict[str, Json] = Field({}, description="registered task -> its settings")

    @field_validator("tasks")
    @classmethod
    def _of_registered(cls, tasks: dict[str, Json]) -> dict[str, Json]:
        for name, values in tasks.items():
            if name in TASKS and name not in TASK_PLUGINS:
                raise ValueError(f"task '{name}' is built in: its settings are {name}.*")
            TASK_PLUGINS.known(name)
            try:
                validated(TASKS[name].settings, values, f"task '{name}'")
            except UserError as error:
                raise ValueError(str(error)) from None
        return tasks

    def of(self, task_name: str) -> Config:
        """The settings of a downstream task; :class:`UserError` for an unknown one."""
        name = task(task_name).name
        if name in TASK_PLUGINS:
            given: Json = self.tasks.get(name, {})
            own: Config = validated(TASKS[name].settings, given, f"task '{name}'")
            return own
        settings: Config = getattr(self, name)
        return settings

    @classmethod
    def key_paths(cls) -> list[str]:
        """:func:`setting_paths`, and where the settings of registered tasks are."""
        return [*setting_paths(), *map(section, TASK_PLUGINS.added)]


def assignments(tree: Mapping[str, Any]) -> list[str]:
    """``key.path=value`` for each value of nested mappings; nothing for an empty mapping.

    >>> assignments({"pretrain": {"epochs": 3, "augment": {"use": ["crop"]}}})
    ['pretrain.epochs=3', "pretrain.augment.use=['crop']"]
    """
    return [f"{path}={value}" for path, value in flat(tree).items() if value != {}]


def setting_paths() -> list[str]:
    """The key path of every setting that has a default."""
    tree = Settings().model_dump(mode="json")
    for name in TASK_PLUGINS.added:
        put(tree, section(name), TASKS[name].settings().model_dump(mode="json"))
    return list(flat(tree))


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
