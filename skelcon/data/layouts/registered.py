"""The layouts by name: those that are built in, and those that plugins register."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from skelcon.data.layouts.description import described
from skelcon.data.layouts.layout import SkeletonLayout
from skelcon.data.layouts.yaml_text import plain
from skelcon.errors import UserError, nearest

_SUFFIXES = (".yaml", ".yml")


class Layouts(Mapping[str, SkeletonLayout]):
    """Name -> layout. A built-in one is read from its file, ``<name>.yaml``, when it is needed."""

    def __init__(self, directory: Path) -> None:
        self._files = {path.stem: path for path in sorted(directory.glob("*.yaml"))}
        self._registered: dict[str, SkeletonLayout] = {}

    def __getitem__(self, name: str) -> SkeletonLayout:
        """The layout of that name; `KeyError` if there is none."""
        if name not in self._registered and name in self._files:
            self._registered[name] = described(self._files[name])
        return self._registered[name]

    def __iter__(self) -> Iterator[str]:
        """Built-in names, then those that plugins registered, sorted."""
        added = sorted(name for name in self._registered if name not in self._files)
        return iter((*self._files, *added))

    def __len__(self) -> int:
        return len({*self._files, *self._registered})

    def __contains__(self, name: object) -> bool:
        return name in self._files or name in self._registered

    def register(self, layout: SkeletonLayout | Mapping[str, Any] | Path | str) -> SkeletonLayout:
        """Add a layout, or the one in a mapping or in a YAML file; it may be added again.

        Raises:
            UserError: if it is not valid, or another layout has its name.
        """
        if isinstance(layout, SkeletonLayout):
            # read again, so that what code made is as valid as what a file says
            described(plain(layout))
            added = layout
        else:
            added = described(Path(layout) if isinstance(layout, str) else layout)
        return self._registered.setdefault(self._free(added).name, added)

    def from_file(self, path: Path) -> SkeletonLayout:
        """The layout in a YAML file, which is not registered.

        Raises:
            UserError: if it is not valid, or another layout has its name.
        """
        return self._free(described(path), f"'{path}': ")

    def _free(self, layout: SkeletonLayout, where: str = "") -> SkeletonLayout:
        if layout.name in self and self[layout.name] != layout:
            owner = "skelcon" if layout.name in self._files else "a plugin"
            raise UserError(
                f"{where}skeleton layout '{layout.name}': {owner} has another layout of that name, "
                "choose another name"
            )
        return layout


LAYOUTS = Layouts(Path(__file__).parent)
KINECT_V2, KINECT_V1, KINECT_V1_SDK = (
    LAYOUTS[name] for name in ("kinect-v2", "kinect-v1", "kinect-v1-sdk")
)


def layout_from(text: str) -> SkeletonLayout:
    """A layout by its name, or from a YAML file by its path.

    Raises:
        UserError: if there is no such layout, or the file is not valid.
    """
    if text in LAYOUTS:
        return LAYOUTS[text]
    path = Path(text)
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        return LAYOUTS.from_file(path)
    raise UserError(
        f"unknown skeleton layout '{text}': {nearest(text, LAYOUTS)} (or give a .yaml file)"
    )
