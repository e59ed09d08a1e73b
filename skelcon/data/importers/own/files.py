"""A file a clip: found by the pattern of their names, or listed in a manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.own import bvh
from skelcon.data.importers.own.axes import OF_ONE_CLIP, Axes, fitting
from skelcon.data.importers.own.columns import Columns
from skelcon.data.importers.own.description import SYNONYMS, FilesDescription
from skelcon.data.importers.own.facts import ClipFacts, facts_from, plain, unique, whole_number
from skelcon.data.importers.own.frame_files import frame_files, natural_order, read_frames
from skelcon.data.importers.own.readers import read_file
from skelcon.data.importers.own.source import OwnSource
from skelcon.data.importers.own.tables import TABLES, manifest_path, read_rows
from skelcon.data.importers.source import Note, RawClip, SkippedFile
from skelcon.data.layouts import SkeletonLayout
from skelcon.errors import UserError, nearest

_FIELD = re.compile(r"\{(\w+)\}|(\*)")


class OwnFiles(OwnSource[FilesDescription]):
    """Files of one clip each, in a directory or listed in a manifest."""

    family = "files"
    title = "files of own recordings"
    batch = 32

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        description: FilesDescription,
        base: Path,
        facts: Sequence[ClipFacts],
    ) -> None:
        super().__init__(path, files, description, base)
        self._found_facts = tuple(facts)

    @classmethod
    def of(cls, description: FilesDescription, path: Path, base: Path) -> OwnFiles:
        """The files that match the pattern, or that the manifest lists."""
        if description.manifest is not None:
            return cls._listed(description, description.manifest, path, base)
        directory = path if path.is_dir() else path.parent
        paths, facts = _matching(directory, description.files or "")
        if not paths:
            raise UserError(
                f"'{directory}': no file is called '{description.files}'"
                + (f", such as '{example}'" if (example := _example(directory)) else "")
            )
        return cls(directory, _files_of(paths), description, base, facts)

    @classmethod
    def _listed(
        cls, description: FilesDescription, stated: str, path: Path, base: Path
    ) -> OwnFiles:
        manifest = manifest_path(stated, base, path)
        columns, rows = read_rows(manifest)
        called: dict[str, str] = {}
        try:
            for key in description.takes:
                name = description.find_key(key, columns, required=key == "path")
                if name is not None:
                    called[key] = name
        except ValueError as error:
            raise UserError(f"'{manifest}': {error}") from None
        listed = list(rows)
        texts = [row.values.get(called["path"], "") for row in listed]
        directory = path if path.is_dir() else manifest.parent
        names = _clip_names(
            [
                (row.values.get(called.get("name", ""), ""), text)
                for row, text in zip(listed, texts, strict=True)
            ]
        )
        facts = []
        for row, text, name in zip(listed, texts, names, strict=True):
            bad = f"line {row.number} of '{manifest.name}': {row.bad}" if row.bad else ""
            fact = facts_from(name, row.values, called, bad)
            place = str(_place(text, directory, manifest.parent))
            facts.append(ClipFacts(name, {**fact.values, "path": place}, bad))
        if not facts:
            raise UserError(f"'{manifest}' lists no clip")
        paths = dict.fromkeys(Path(fact.get("path")) for fact in facts)
        files = [manifest, *_files_of(paths)]
        return cls(directory, files, description, base, facts)

    @cached_property
    def layout(self) -> SkeletonLayout:
        """The stated layout; of BVH files their own, by the first that can be read."""
        if self.description.layout is not None or not self._of_bvh:
            return super().layout
        reason = "there is none"
        for fact in self._found_facts:
            try:
                return bvh.layout_of(bvh.read_skeleton(Path(fact.get("path"))))
            except (ValueError, OSError) as error:
                reason = f"{fact.get('path')}: {error}"
        raise UserError(f"'{self.path}': no BVH file has a skeleton ({reason})")

    @property
    def _of_bvh(self) -> bool:
        return all(fact.get("path").lower().endswith(".bvh") for fact in self._found_facts)

    def _facts(self) -> Sequence[ClipFacts]:
        return self._found_facts

    @cached_property
    def items(self) -> Sequence[int]:
        """The numbers of the clips."""
        return range(len(self._found_facts))

    def name_of(self, item: int) -> str:
        """The file of a clip."""
        fact = self._found_facts[item]
        return Path(fact.get("path")).name or fact.name

    def check(self) -> None:
        """As :meth:`OwnSource.check`; BVH files do not say their unit."""
        if self._of_bvh and self.description.unit is None:
            raise UserError(f"'{self.path}': BVH files do not say their unit: --unit cm, mm or m")
        super().check()

    def read(self, item: int) -> Iterator[RawClip | SkippedFile]:
        """The one clip of a file, or of a stretch of it."""
        fact = self._found_facts[item]
        path = Path(fact.get("path"))
        self.catalogue.info(fact)
        if not fact.get("path"):
            raise ValueError("the manifest names no file")
        if path.suffix.lower() == ".bvh":
            values: NDArray[np.floating] = self._of_joints(bvh.read_clip(path))
            columns = Columns(("x", "y", "z"))
        else:
            values, columns = self._numbers_of(path)
        yield self.clip(fact, _cut(values, fact), columns, path.name)

    def _numbers_of(self, path: Path) -> tuple[NDArray[np.floating], Columns]:
        """(M, T, V, C) of a file, or of a folder of frames, and what its C numbers are."""
        joints, bodies = self.layout.num_joints, self.description.bodies
        names = self.possible_columns[0].names
        sizes = [len(columns.names) for columns in self.possible_columns]
        if path.is_dir():
            frames = read_frames(path, self.description, names, joints, sizes)
            return frames, self.columns_with(frames.shape[-1])
        values = read_file(path, self.description, names)
        axes = self.description.stated_axes or fitting(OF_ONE_CLIP, values.shape, joints, sizes)
        reason: ValueError | None = None
        for size in sizes:
            known = {"V": joints, "C": size, **({"M": bodies} if bodies else {})}
            try:
                return axes.arranged(values, known), self.columns_with(size)
            except ValueError as error:
                reason = reason or error
        raise ValueError(_explained(axes, values.shape, str(reason)))

    def _of_joints(self, clip: bvh.Clip) -> NDArray[np.float64]:
        """(1, T, V, 3) of the layout's joints, by their names in the file."""
        own = self.description.joints
        known = {bvh.plain_name(name): at for at, name in enumerate(clip.joints)}
        at = []
        for joint in self.layout.joints:
            name = bvh.plain_name(own.get(joint, joint))
            if name not in known:
                raise ValueError(
                    f"has no joint '{name}': {nearest(name, known)} (joints: in a "
                    "description says what it is called)"
                )
            at.append(known[name])
        return clip.positions[None][:, :, at]

    def notes(self, infos: Sequence[ClipInfo]) -> Iterator[Note]:
        """Files of the directory that do not match the pattern, and what is listed twice."""
        if self.description.manifest is None:
            yield from super().notes(infos)
            return
        seen: set[tuple[str, ...]] = set()
        again = []
        for fact in self._found_facts:
            what = tuple(fact.get(key) for key in ("path", "start", "end"))
            if what in seen:
                again.append(fact.name)
            seen.add(what)
        if again:
            lines = "1 line of the manifest repeats"
            if len(again) > 1:
                lines = f"{len(again):,} lines of the manifest repeat"
            text = f"{lines} an earlier one: '{again[0]}' is the same part of the same file"
            yield Note("names", text, tuple(again))


def _files_of(paths: Iterable[Path]) -> list[Path]:
    """The files that exist; of a folder the files of its frames."""
    out: list[Path] = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112  (which takes a name that cannot be)
            out += frame_files(path)
        elif os.path.isfile(path):  # noqa: PTH113
            out.append(path)
    return out


def _explained(axes: Axes, shape: Sequence[int], reason: str) -> str:
    if str(axes) == "(TMV)C" and len(shape) == 2:
        return f"has {shape[0]} lines of {shape[1]} numbers: {reason}"
    return reason


def _cut(values: NDArray[np.floating], fact: ClipFacts) -> NDArray[np.floating]:
    """The frames from ``start`` up to ``end`` - 1, counted from 0, where a manifest states them."""
    frames = values.shape[1]
    texts = fact.get("start") or "0", fact.get("end") or str(frames)
    start, end = map(whole_number, texts)
    if start is None or end is None or not start < end <= frames:
        shown = " to ".join(text[:20] for text in texts)
        raise ValueError(f"frames {shown} are not in a file of {frames} frames")
    return values[:, start:end]


def _place(text: str, base: Path, other: Path) -> Path:
    """The path in a manifest: relative to the data, or to the manifest."""
    if not text:
        return Path()
    path = base / text.replace("\\", "/")
    return path if base == other or os.path.exists(path) else other / text  # noqa: PTH110


def _clip_names(stated: Sequence[tuple[str, str]]) -> list[str]:
    """The names of clips: as stated, else as their files, with folders where files share a name.

    Args:
        stated: (name or nothing, path) of each.
    """
    short = [name or Path(path).stem for name, path in stated]
    whole = [name or str(Path(path).parent / Path(path).stem) for name, path in stated]
    return unique(short if len(set(short)) >= len(set(whole)) else whole)


def pattern_of(text: str) -> re.Pattern[str]:
    """The regular expression of a pattern such as ``a{label}_s{subject}_*.txt``.

    Raises:
        UserError: if a field is named twice.
    """
    out, at, names = "", 0, set()
    for match in _FIELD.finditer(text):
        out += re.escape(text[at : match.start()])
        name = match[1]
        if name in names:
            raise UserError(f"--files '{text}': '{name}' appears twice")
        if name is not None and not name.isidentifier():
            raise UserError(f"--files '{text}': '{name}' is not a name")
        if name:
            names.add(name)
        out += f"(?P<{name}>[^/]+?)" if name else "[^/]*"
        at = match.end()
    return re.compile(out + re.escape(text[at:]))


def _matching(directory: Path, text: str) -> tuple[list[Path], list[ClipFacts]]:
    """The files below ``directory`` whose names match, in natural order, and what they say."""
    folders = text.endswith("/")
    pattern = pattern_of(text.rstrip("/"))
    below = "/" in text.rstrip("/")
    found = []
    for folder, inside, names in os.walk(directory):
        for name in inside if folders else names:
            path = Path(folder, name)
            shown = path.relative_to(directory).as_posix() if below else name
            if match := pattern.fullmatch(shown):
                found.append((path, match.groupdict()))
    found.sort(key=lambda each: natural_order(each[0]))
    names = _clip_names([("", path.relative_to(directory).as_posix()) for path, _ in found])
    return [path for path, _ in found], [
        _fact(name, path, fields) for name, (path, fields) in zip(names, found, strict=True)
    ]


def _fact(name: str, path: Path, fields: Mapping[str, str]) -> ClipFacts:
    called = {key: word for key, words in SYNONYMS.items() for word in words if word in fields}
    fact = facts_from(name, fields, {key: word for key, word in called.items() if key != "name"})
    return ClipFacts(name, {**fact.values, "path": str(path)})


def _example(directory: Path) -> str:
    names = sorted(entry.name for entry in os.scandir(directory) if entry.is_file())
    return names[0] if names else ""


def is_manifest(path: Path, columns: Sequence[str]) -> bool:
    """Whether a table is one: it lists paths."""
    return path.suffix in TABLES and any(
        plain(name) in FilesDescription.takes["path"] for name in columns
    )
