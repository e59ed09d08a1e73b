"""A policy for each view: the augmentations of query, key and any further views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from skelcon.augment.config import AugmentConfig
from skelcon.config import Config, Json, merge


class ViewsConfig(Config):
    """What single views have other than ``pretrain.augment``.

    Only the keys that differ are given; :func:`completed` adds all others, so that in a validated
    pre-training each entry is a whole policy.
    """

    query: AugmentConfig | None = Field(
        None, description="what the query view has other than pretrain.augment: {use: [crop, flip]}"
    )
    key: AugmentConfig | None = Field(None, description="the same of the key view")
    extra: tuple[AugmentConfig, ...] = Field(
        (), description="the same of further views, which meet the key view as the query does"
    )

    def policies(self, augment: AugmentConfig) -> tuple[AugmentConfig, ...]:
        """The augmentations of each view: query, key, then the further ones."""
        query, key = (augment if own is None else own for own in (self.query, self.key))
        return (query, key, *self.extra)


def completed(views: Any, augment: Any) -> Any:
    """``views`` with what each entry leaves out as ``augment`` has it.

    Both are what a user gave, not validated yet: what is wrong stays as it is.

    >>> completed({"key": {"use": ["flip"]}}, {"use": ["crop"], "flip": {"p": 1}})
    {'key': {'use': ['flip'], 'flip': {'p': 1}}}
    """
    given, common = _plain(views), _plain(augment)
    if not isinstance(given, Mapping) or not isinstance(common, Mapping):
        return views
    found = dict(given)
    for name in ("query", "key"):
        if name in found:
            found[name] = _whole(found[name], common)
    if isinstance(found.get("extra"), list | tuple):
        found["extra"] = [_whole(each, common) for each in found["extra"]]
    return found


def _whole(changes: Any, common: Mapping[str, Any]) -> Any:
    changes = _plain(changes)
    if not isinstance(changes, Mapping):
        return changes
    tree: Json = {}
    merge(tree, common)
    merge(tree, changes)
    return tree


def _plain(values: Any) -> Any:
    """A configuration as what was set of it."""
    return values.model_dump(exclude_unset=True) if isinstance(values, BaseModel) else values
