"""A layout as plain values, and as the text of the YAML file that `layout_from` reads."""

from __future__ import annotations

from typing import Any

import yaml

from skelcon.data.layouts.layout import Point, SkeletonLayout


def plain(layout: SkeletonLayout) -> dict[str, Any]:
    """What a layout's file says, its joints by name; keys whose value is the default are left out.

    `skelcon.register_layout` takes it.
    """
    names = layout.joints

    def named(point: Point) -> Any:
        return names[point] if isinstance(point, int) else [names[joint] for joint in point]

    values = {**layout.to_dict(), "joints": list(names)}
    for key in ("bones", "mirror"):
        if key in values:
            values[key] = [[names[a], names[b]] for a, b in values[key]]
    values["centre"] = named(layout.centre)
    values["spine"] = [named(point) for point in layout.spine]
    values["shoulders"] = [named(point) for point in layout.shoulders]
    if layout.same_as:
        values["same_as"] = dict(layout.same_as)
    if layout.title:
        values = {"name": layout.name, "title": layout.title, **values}
    return values


def to_yaml(layout: SkeletonLayout) -> str:
    """The text of a layout's file."""
    text: str = yaml.safe_dump(
        plain(layout), sort_keys=False, default_flow_style=None, allow_unicode=True, width=98
    )
    return text
