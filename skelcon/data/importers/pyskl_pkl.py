"""pyskl and mmaction2: one pickle of all clips, ``ntu60_3danno.pkl``, ``ntu60_3d.pkl`` and so on.

A dict of ``split`` (``xsub_train``, ``xsub_val``, ...: names of clips) and ``annotations``, a list
of dicts with ``frame_dir`` (the clip's name), ``label``, ``keypoint`` (M, T, V, C), in half or
single precision, and ``total_frames``. Files made by hand may hold None entries. In 2D
(``ntu60_hrnet.pkl``) keypoints are of COCO, C = 2, and ``keypoint_score`` (M, T, V) is their
confidence.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Container, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers import ntu_facts
from skelcon.data.importers.exported import as_it_was, record_in
from skelcon.data.importers.files import starts_with
from skelcon.data.importers.labels import LARGEST_CLASS
from skelcon.data.importers.naming import PKUMMD1, PKUMMD2, dataset_in, layout_of
from skelcon.data.importers.ntu_facts import ntu_info_or_none
from skelcon.data.importers.plain_pickle import load_plain
from skelcon.data.importers.processes import isolated
from skelcon.data.importers.pyskl_splits import Sides, notes_on, plain_name, row_of, sides_in
from skelcon.data.importers.source import Note, RawClip, SkippedFile, Source, single_file
from skelcon.data.layouts import LAYOUTS, SkeletonLayout
from skelcon.data.record import KEY, Record
from skelcon.errors import UserError

_MOST_REPEATS = 8
"""A pickle may repeat one array many times; a file of few bytes must not fill the disk."""
_IN_2D = LAYOUTS["coco-17"]
_MAGIC = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_OTHERS = (".npy", ".npz", ".mat", ".json", ".txt", ".csv", ".skeleton")


@dataclass(frozen=True)
class _Facts:
    """What a file says beside its clips; ``ntu`` is ``ntu60`` or ``ntu120`` if its names are.

    ``infos`` are the facts in names of NTU RGB+D; ``unknown`` are splits that are not a side of a
    protocol.
    """

    count: int
    layout: SkeletonLayout
    ntu: str | None
    class_names: tuple[str, ...]
    sides: Sides
    names: frozenset[str] = frozenset()
    infos: tuple[ClipInfo, ...] = ()
    unknown: tuple[str, ...] = ()
    record: Record | None = None
    fault: str | None = None


class PysklPkl(Source):
    """One pickle of all clips.

    The file is one item. A pickle cannot be read in part: another process holds as many bytes as
    the file has, and sends first the facts, then one clip at a time.
    """

    family = "pyskl-pkl"
    title = "pyskl pkl"

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        super().__init__(path, files)
        self._loaded: _Facts | None = None
        self._clips: Generator[Any] | None = None

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """The pickle ``path``, or the one in a directory that is named ``*_3danno.pkl`` or such.

        A file may have any suffix but another format's if it starts as pickles of protocol 2 and
        later do.
        """
        if path.is_file():
            known = path.suffix in (".pkl", ".pickle")
            known |= path.suffix not in _OTHERS and starts_with(path, _MAGIC)
            return cls(path, [path]) if known and not path.name.endswith("_label.pkl") else None
        if not path.is_dir():
            return None
        for endings in (("_3danno.pkl", "_3d.pkl"), ("_hrnet.pkl", "_2d.pkl")):
            found = [f for f in path.iterdir() if f.name.endswith(endings) and not f.is_dir()]
            if found:
                return cls(path, single_file(path, found))
        return None

    @property
    def name(self) -> str:
        """``ntu60`` or ``ntu120`` if the clips are named so, else what the file is called."""
        if self._facts.record is not None:
            return self._facts.record.name
        by_path = dataset_in(self.files[0])
        known = by_path if by_path in (PKUMMD1, PKUMMD2) else None
        return self._facts.ntu or known or self.files[0].stem

    @property
    def layout(self) -> SkeletonLayout:
        """By the number of joints that most clips have."""
        return self._facts.layout

    @property
    def class_names(self) -> Sequence[str]:
        """NTU's actions; without NTU's names as many classes as labels."""
        return self._facts.class_names

    @property
    def record(self) -> Record | None:
        """What skelcon's export wrote of the data, if it is about this file."""
        return self._facts.record

    def clips_in(self, item: Path) -> int:
        """The number of annotations. The file is loaded for it, as is needed to read it."""
        return self._facts.count

    def read(self, item: Path) -> Iterator[RawClip | SkippedFile]:
        """All clips, one at a time."""
        assert self._facts
        clips, self._clips = self._clips, None
        if clips is None:  # it has been read before
            clips = isolated(_contents, item)
            next(clips)
        with contextlib.closing(clips):
            yield from clips

    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """The file's own protocols; those that it lacks by the names, where these are NTU's.

        ``_train`` trains, ``_test`` tests, and ``_val`` does where there is no ``_test``. A clip
        on both sides tests; one on neither takes no part.
        """
        facts = self._facts
        if facts.record is not None:
            return facts.record.splits_of(infos)
        rows = ntu_facts.protocols(infos, facts.ntu) if facts.ntu else {}
        for protocol, sides in facts.sides.items():
            row = row_of(sides, [info.name for info in infos])
            if (row >= 0).any():
                rows[protocol] = row
        return rows

    def notes(self, infos: Sequence[ClipInfo]) -> Iterator[Note]:
        """Also what of the file's splits was not used, or is not what it seems."""
        yield from super().notes(infos)
        facts = self._facts
        if facts.ntu:
            left = (info for info in facts.infos if info.name not in self.exclude)
            yield from ntu_facts.beyond_note(left)
        yield from notes_on(facts.sides, facts.unknown, facts.names)

    @property
    def _facts(self) -> _Facts:
        """The facts, for which the file is loaded once; the clips wait to be read."""
        if self._loaded is None:
            path = self.files[0]
            clips: Generator[Any] = isolated(_contents, path)
            try:
                facts: _Facts = next(clips)
            except ValueError as error:
                raise UserError(f"'{path}': {error}") from None
            except OSError as error:
                raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from None
            self._clips = clips
            self._loaded = facts
        return self._loaded


def _contents(path: Path) -> Iterator[_Facts | RawClip | SkippedFile]:
    """The facts of a file, then its clips.

    Raises:
        ValueError: if it is another kind of file.
    """
    content = load_plain(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError("is not a pyskl pickle: a dict with 'split' and a list of 'annotations'")
    facts = _facts_of(content, path.stat().st_size)
    yield facts
    if facts.fault is not None:
        yield SkippedFile(f"{KEY} of {path.name}", facts.fault, clips=0)
    seen: set[str] = set()
    known = {} if facts.record is None else {n: at for at, n in enumerate(facts.record.clip_names)}
    for at, annotation in enumerate(content["annotations"]):
        found = _clip(annotation, at, facts.layout, seen, known)
        if facts.record is not None and isinstance(found, RawClip):
            found = as_it_was(found, facts.record, known.get(found.info.name))
        yield found


def _facts_of(content: dict[Any, Any], size: int) -> _Facts:
    """By what most clips are, so that a damaged one decides nothing; ``size`` is the file's."""
    dicts = [each for each in content["annotations"] if isinstance(each, dict)]
    record, fault = record_in(content)
    if record is not None:
        count = len(content["annotations"])
        return _Facts(count, record.skeleton, None, record.class_names, {}, record=record)
    layout = _layout(dicts, content.get("layout"), size)
    sides, unknown = sides_in(content.get("split"))
    names = [each["frame_dir"] for each in dicts if isinstance(each.get("frame_dir"), str)]
    known = [info for name in names if (info := ntu_info_or_none(name)) is not None]
    labels = [each.get("label") for each in dicts]
    good = [label for label in labels if type(label) is int and 0 <= label <= LARGEST_CLASS]
    ntu = None
    class_names = tuple(f"class {number}" for number in range(1, max(good, default=0) + 2))
    if len(known) * 2 > len(names):
        ntu = ntu_facts.NTU60 if "xview" in sides else ntu_facts.dataset_name(known)
        ntu = ntu_facts.NTU120 if "xsetup" in sides else ntu
        class_names = ntu_facts.class_names(ntu)
    return _Facts(
        len(content["annotations"]),
        layout,
        ntu,
        class_names,
        sides,
        frozenset(map(plain_name, names)),
        tuple(known) if ntu else (),
        unknown,
        None,
        fault,
    )


def _layout(annotations: list[dict[Any, Any]], stated: object, size: int) -> SkeletonLayout:
    """The layout of most clips; ``stated`` is its name, which exports of skelcon hold."""
    keypoints = [each.get("keypoint") for each in annotations]
    arrays = [each for each in keypoints if isinstance(each, np.ndarray)]
    shapes = Counter(each.shape[2:] for each in arrays if each.ndim == 4)
    if not shapes:
        raise ValueError("holds no annotation with keypoints (M, T, V, 3)")
    total = sum(each.nbytes for each in arrays)
    if total > _MOST_REPEATS * size:
        raise ValueError(f"repeats the same keypoints again and again, {total >> 20} MiB in all")
    joints, coordinates = shapes.most_common(1)[0][0]
    if coordinates == 2 and joints == _IN_2D.num_joints:
        return _IN_2D
    if coordinates == 2:
        raise ValueError(
            f"holds 2D keypoints of {joints} joints; known are {_IN_2D.name}, such as "
            "ntu60_hrnet.pkl, and 3D ones, such as ntu60_3danno.pkl"
        )
    layout = layout_of(joints, stated)
    if layout is None or coordinates != 3:
        raise ValueError(
            f"has {joints} joints of {coordinates} coordinates; known are 25 joints (Kinect v2) "
            "and 20 (Kinect v1) of 3"
        )
    return layout


def _clip(
    annotation: Any, at: int, layout: SkeletonLayout, seen: set[str], known: Container[str]
) -> RawClip | SkippedFile:
    """The clip of one annotation, the ``at``-th counted from 0.

    ``seen`` are the names so far, ``known`` those that a record has, whatever they are.
    """
    place = f"annotation {at}"
    if not isinstance(annotation, dict):
        return SkippedFile(place, f"is {type(annotation).__name__}, no annotation")
    name, label = annotation.get("frame_dir"), annotation.get("label")
    ours = isinstance(name, str) and name in known
    if not isinstance(name, str) or not (ours or (0 < len(name) < 256 and name.isprintable())):
        return SkippedFile(place, "has no frame_dir that can be the name of its clip")
    name = name if ours else plain_name(name)
    try:
        coordinates = _coordinates(annotation, layout)
        if type(label) is not int or not 0 <= label <= LARGEST_CLASS:
            raise ValueError("has no label that counts from 0")
        info = (None if ours else ntu_info_or_none(name)) or ClipInfo(name, label)
        if info.label != label:
            raise ValueError(f"label {label}, and the name says {info.label}")
        if name in seen:
            raise ValueError("its name is a duplicate")
    except ValueError as error:
        return SkippedFile(name, f"{place}: {error}")
    seen.add(name)
    return RawClip(replace(info, name=name), coordinates)


def _coordinates(annotation: dict[Any, Any], layout: SkeletonLayout) -> NDArray[np.float32]:
    """(M, T, V, 3) of an annotation; ``ValueError`` if it has none."""
    keypoint, frames = annotation.get("keypoint"), annotation.get("total_frames")
    if not isinstance(keypoint, np.ndarray) or keypoint.dtype.kind not in "fiu":
        raise ValueError("has no keypoints")
    if layout.dimensions == 2 and keypoint.shape[2:] == (layout.num_joints, 2):
        keypoint = _with_confidence(keypoint, annotation.get("keypoint_score"))
    if keypoint.ndim != 4 or keypoint.shape[2:] != (layout.num_joints, 3):
        raise ValueError(f"has keypoints {keypoint.shape}, not (M, T, {layout.num_joints}, 3)")
    if frames is not None and (type(frames) is not int or frames != keypoint.shape[1]):
        stated = frames if type(frames) is int else type(frames).__name__
        raise ValueError(f"total_frames is {stated}, but there are {keypoint.shape[1]} frames")
    with np.errstate(over="ignore"):  # what overflows is refused by all imports
        return np.array(keypoint, np.float32)


def _with_confidence(keypoint: NDArray[Any], score: object) -> NDArray[np.float32]:
    """Keypoints (M, T, V, 2) with their scores (M, T, V), or 1, behind; zeros for what is missing.

    What the estimator has not found is at (0, 0), or has no score.
    """
    if score is None:
        score = np.ones(keypoint.shape[:3])
    if not isinstance(score, np.ndarray) or score.dtype.kind not in "fiu":
        raise ValueError("has a keypoint_score that is not an array of numbers")
    if score.shape != keypoint.shape[:3]:
        raise ValueError(f"has keypoint_score {score.shape}, not {keypoint.shape[:3]}")
    with np.errstate(over="ignore"):  # what overflows is refused by all imports
        whole = np.concatenate([keypoint, score[..., None]], axis=-1).astype(np.float32)
    there = keypoint.any(axis=-1) & ~(score <= 0)
    return np.where(there[..., None], whole, np.float32(0))
