"""Finds the videos of PKU-MMD, their labels, and the lists of training videos, on a disk.

A video's skeletons and its labels have the same name (``0005-L.txt``; ``A10N08-L.txt`` in phase
II) in different folders. Names do not distinguish these reliably; the first row of a file does.
"""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from skelcon.data.splits import TEST, TRAIN
from skelcon.errors import UserError

NUMBERS = 150
"""In a row of a skeleton file: 2 bodies x 25 joints x (x, y, z)."""
CAMERAS = {"L": 1, "M": 2, "R": 3}
_LEVELS = 3
_MOST_FOLDERS = 5000
"""Folders that are looked into at most, so that a path far above the data costs seconds."""
_TRIED = 32
"""Files of a folder that are looked into at most: the first may be damaged."""
_FIRST_ROW = 8 << 10
_LONGEST_LIST = 1 << 20
_NAME = r"(?:([0-9]{4})|A([0-9]{2})N([0-9]{2}))-([LMR])"
_FILE = re.compile(_NAME + r"\.txt")
_VIDEO_FOLDER = re.compile(_NAME + ".*")
_LIST = re.compile(r"cross[-_](subject|view).*\.txt", re.IGNORECASE)
_LIST_WORD = re.compile(
    rf"(?P<side>train|val|test)|(?<![0-9A-Z])(?P<video>{_NAME})(?![0-9A-Z])", re.IGNORECASE
)
_LABELS_BESIDE = re.compile(r"(train_?)?label", re.IGNORECASE)
_LISTS_BESIDE = re.compile(r"split", re.IGNORECASE)


@dataclass(frozen=True)
class Video:
    """What the name of a video says.

    Attributes:
        phase: 1 or 2, of the data set.
        recording: what all three cameras saw (``A`` in phase II).
        subject: who acts, -1 in phase I, whose names do not say.
        camera: 1, 2 and 3 for left, middle and right.
    """

    phase: int
    recording: int
    subject: int
    camera: int

    @staticmethod
    def named(name: str) -> Video:
        """The video of a file or a clip; ``ValueError`` if it is named otherwise."""
        match = re.match(_NAME, name)
        if match is None:
            raise ValueError(f"'{name}' is not named as a video of PKU-MMD")
        camera = CAMERAS[match[4]]
        if match[1] is not None:
            return Video(1, int(match[1]), -1, camera)
        return Video(2, int(match[2]), int(match[3]), camera)


Sides = Mapping[str, int]
"""Video -> 0 trains, 1 tests."""


@dataclass(frozen=True)
class VideoFiles:
    """The files of one phase; ``labels`` by the name of the file, ``sides`` by protocol."""

    phase: int
    skeletons: tuple[Path, ...]
    labels: Mapping[str, Path]
    lists: tuple[Path, ...]
    sides: Mapping[str, Sides]


class _Folder(NamedTuple):
    path: Path
    videos: list[str]
    lists: list[str]
    folders: list[str]


def find_videos(path: Path) -> VideoFiles | None:
    """The videos at ``path`` and up to three levels below; None if there are none.

    Labels and lists may also be beside ``path``, if that is the folder of the skeletons.

    Raises:
        UserError: if there are labels or skeletons alone, videos of both phases, a duplicate
            video, or a damaged list.
    """
    folders = list(_below(path, _LEVELS))
    kinds = {folder.path: _kind(folder) for folder in folders}
    skeletons = [folder for folder in folders if kinds[folder.path] == "skeletons"]
    labels = [folder for folder in folders if kinds[folder.path] == "labels"]
    if not skeletons:
        if labels:
            raise UserError(
                f"'{path}' has labels of PKU-MMD ('{labels[0].path}') but no skeletons: "
                "give the path of a directory that has both"
            )
        return None
    phase = _only_phase(path, skeletons)
    videos = _by_name(skeletons, phase, "the skeletons")
    found = _by_name(labels, phase, "the labels")
    lists = [folder.path / name for folder in folders for name in folder.lists]
    if videos.keys().isdisjoint(found):
        beside = [folder for folder in _beside(path, _LABELS_BESIDE) if _kind(folder) == "labels"]
        found = _by_name(beside, phase, "the labels")
    if videos.keys().isdisjoint(found):
        raise UserError(
            f"'{skeletons[0].path}' has skeletons of PKU-MMD, but there are no labels of the same "
            f"names (such as {next(iter(videos))}, rows of class,start,end,confidence) in or "
            "beside it: put the labels' folder beside it"
        )
    if not lists:
        near = _beside(path, _LISTS_BESIDE, itself=True)
        lists = [folder.path / name for folder in near for name in folder.lists]
    used, sides = _read_lists(lists, phase)
    return VideoFiles(phase, tuple(videos.values()), found, used, sides)


def _below(path: Path, levels: int) -> Iterator[_Folder]:
    """The folder ``path`` and those below it, without duplicates."""
    seen: set[str] = set()
    for place, folders, files in os.walk(path, followlinks=True):
        names = folders + files
        real = os.path.realpath(place)
        deep = len(Path(place).relative_to(path).parts) >= levels
        if real in seen or len(seen) >= _MOST_FOLDERS:
            folders.clear()
            continue
        seen.add(real)
        # (In a folder of a video there are thousands of depth images.)
        wanted = (name for name in folders if name[0] != "." and not _VIDEO_FOLDER.fullmatch(name))
        folders[:] = () if deep else sorted(wanted)
        yield _Folder(Path(place), _matching(_FILE, names), _matching(_LIST, names), list(folders))


def _matching(pattern: re.Pattern[str], names: Iterable[str]) -> list[str]:
    return sorted(filter(pattern.fullmatch, names))


def _beside(path: Path, called: re.Pattern[str], *, itself: bool = False) -> list[_Folder]:
    """Folders whose names match ``called`` beside ``path`` or its parent, and the folders in them.

    With ``itself`` also the folder of ``path``, and its parent. Folders with other names are not
    looked into, as they may be other data sets.
    """
    for place in Path(os.path.normpath(path.absolute())).parents[:2]:
        here = next(_below(place, 1), None) if place != place.parent else None
        if here is None:
            continue
        found = [here] if itself and here.lists else []
        for name in here.folders:
            if called.match(name):
                found += _below(place / name, 1)
        if any(folder.videos or folder.lists for folder in found):
            return found
    return []


def _kind(folder: _Folder) -> str | None:
    """``skeletons``, ``labels``, or None: by the first rows of files, else by the folder's name.

    A kind needs two files more than the other has: one may be in the wrong place.
    """
    votes: Counter[str] = Counter()
    for name in folder.videos[:_TRIED]:
        row = _first_row(folder.path / name)
        for kind, values, count in (
            ("labels", row.split(b","), 4),
            ("skeletons", row.split(), NUMBERS),
        ):
            if len(values) == count and all(map(_is_number, values)):
                votes[kind] += 1
        if abs(votes["labels"] - votes["skeletons"]) == 2:
            break
    if votes["labels"] != votes["skeletons"]:
        return votes.most_common(1)[0][0]
    called = folder.path.name.lower()
    if folder.videos and "label" in called:
        return "labels"
    return "skeletons" if folder.videos and "skel" in called else None


def _first_row(path: Path) -> bytes:
    """The first row that is not blank, of the beginning of a file; empty if there is none."""
    try:
        if not path.is_file():  # a pipe would never end
            return b""
        with path.open("rb") as file:
            return file.read(_FIRST_ROW).removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")[0]
    except OSError:
        return b""


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _only_phase(path: Path, folders: Iterable[_Folder]) -> int:
    """The phase of all videos."""
    places: dict[int, Path] = {}
    for folder in folders:
        for name in folder.videos:
            places.setdefault(Video.named(name).phase, folder.path)
    if len(places) == 1:
        return next(iter(places))
    if places[1] == places[2]:
        raise UserError(
            f"'{places[1]}' has videos of both phases of PKU-MMD (0005-L, A10N08-L): "
            "move one of them to another directory"
        )
    raise UserError(
        f"'{path}' has both phases of PKU-MMD: give '{places[1]}' (I) or '{places[2]}' (II)"
    )


def _by_name(folders: Iterable[_Folder], phase: int, what: str) -> dict[str, Path]:
    """File's name -> file, in the order of the names."""
    found: dict[str, Path] = {}
    for folder in folders:
        for name in folder.videos:
            if Video.named(name).phase != phase:
                continue
            if name in found:
                raise UserError(
                    f"{what} of {name} are in '{found[name].parent}' and in '{folder.path}': "
                    "give the path of one of them, or remove one"
                )
            found[name] = folder.path / name
    return dict(sorted(found.items()))


def _read_lists(paths: Iterable[Path], phase: int) -> tuple[tuple[Path, ...], dict[str, Sides]]:
    """The lists of videos of this phase, and protocol -> video -> side."""
    used: dict[str, Path] = {}
    found: dict[str, Sides] = {}
    for path in paths:
        match = _LIST.fullmatch(path.name)
        assert match is not None
        protocol = "xsub" if match[1].lower() == "subject" else "xview"
        sides = read_list(path)
        if not any(Video.named(name).phase == phase for name in sides):
            continue  # of the other phase
        if found.setdefault(protocol, sides) != sides:
            raise UserError(
                f"'{used[protocol]}' and '{path}' disagree on who trains: remove one of them"
            )
        used.setdefault(protocol, path)
    return tuple(used.values()), found


def read_list(path: Path) -> Sides:
    """Video -> side, of a file of two lists: ``Training videos:``, ``Validataion videos:`` (so).

    Raises:
        UserError: if it cannot be read, a side is missing, or a video is on both.
    """
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST_LIST:
            raise UserError(f"'{path}' is not a list of videos")
        text = path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror})") from None
    sides: dict[str, int] = {}
    side: int | None = None
    for word in _LIST_WORD.finditer(text):
        if word["side"]:
            side = TRAIN if word["side"].lower() == "train" else TEST
            continue
        name = word["video"].upper()
        if side is None:
            raise UserError(f"'{path}': {name} is above the first heading 'Training videos:'")
        if sides.setdefault(name, side) != side:
            raise UserError(f"'{path}': {name} both trains and tests")
    for wanted, heading in ((TRAIN, "Training videos:"), (TEST, "Validation videos:")):
        if wanted not in sides.values():
            raise UserError(f"'{path}' names no video below a heading '{heading}'")
    return sides
