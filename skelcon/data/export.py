"""Export: a packed data set in the layouts that other trainers read.

The coordinates are written as they are, but for ``agcn-npy``, whose readers expect normalised ones:
there the paper's steps that were not taken at import are taken, and the coordinates as they are are
written beside them. With the :class:`~skelcon.data.record.Record` that every export holds an import
gives the same data set again. One clip at a time is in memory. Other trainers expect at least two
bodies and 300 frames: what is missing is padded as the layout does.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import SkeletonDataset
from skelcon.data.importers.naming import protocol_in
from skelcon.data.importers.padded_npy import AS_THEY_ARE, LAYOUT
from skelcon.data.normalise import Normalisation, normalise
from skelcon.data.progress import Progress
from skelcon.data.record import FILE, KEY, Record
from skelcon.data.splits import Part, choose_protocol, split
from skelcon.errors import UserError, nearest

FRAMES, BODIES = 300, 2
"""What other trainers expect of padded clips, at least."""

Row = NDArray[np.generic]
_PARTS: dict[str, Part] = {"train": "train", "val": "test"}
"""The names of the sides in other trainers, and ours."""


def export_dataset(
    dataset: SkeletonDataset,
    out: Path,
    format: str,
    protocol: str | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write ``dataset`` to ``out`` in a layout of other trainers, whole or not at all.

    ==========  ================================================================================
    ctrgcn-npz  one ``.npz`` (added to ``out`` if missing) of one protocol: x_train, x_test
                (N, T, M * V * 3) float32, padded with zeros, y_train, y_test one-hot; also
                names_*, num_frame_* and protocol. A side without clips is left out
    agcn-npy    a directory of one directory a protocol: {train,val}_data_joint.npy
                (N, 3, T, V, M) float32, padded by replaying the clip, _label.pkl, _num_frame.npy.
                Its readers expect normalised coordinates, and get them; those that the data set
                has are in _as_they_are.npy, M * T rows (V, 3) a clip, if these are others
    pyskl-pkl   one pickle of all clips, and all protocols: split, and annotations of float32
    ==========  ================================================================================

    Args:
        dataset: what to write. A clip that is in no exported protocol is written to a pickle
            only.
        out: the file, or the directory, to write. It must not be there yet.
        format: one of :data:`FORMATS`.
        protocol: the only protocol to write; all that there are if not set (of ``ctrgcn-npz``:
            the only one).
        progress: called with the numbers of clips written and of clips to write.

    Returns:
        The files that were written.

    Raises:
        UserError: if ``out`` exists or cannot be written, ``format`` or ``protocol`` is unknown,
            or the layout cannot hold the data set.
    """
    out = export_target(out, format)
    protocols = sorted(dataset.splits)
    if protocol is not None:
        protocols = [choose_protocol(dataset, [protocol])]
    if not protocols and format != "pyskl-pkl":
        raise UserError(f"data set '{dataset.name}' has no protocol, and {format} is made of one")
    if format == "ctrgcn-npz":
        _check_ctrgcn(dataset, out, protocols)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
            draft = Path(place) / "draft"
            _WRITERS[format](dataset, draft, protocols, progress or (lambda done, total: None))
            draft.rename(export_target(out, format))
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"cannot write '{out}': '{out.parent}' is not a directory") from None
    except OSError as error:
        raise UserError(f"cannot write '{out}': {error.strerror or error}") from None
    return sorted(path for path in out.rglob("*") if path.is_file()) if out.is_dir() else [out]


def export_target(out: Path, format: str) -> Path:
    """The path that an export writes; ``UserError`` if ``format`` is unknown or it is there."""
    if format not in _WRITERS:
        raise UserError(f"unknown export format '{format}': {nearest(format, FORMATS)}")
    if format == "ctrgcn-npz" and out.suffix != ".npz":
        out = out.with_name(f"{out.name}.npz")
    if os.path.lexists(out):
        raise UserError(f"'{out}' exists: export to another name, or remove it first")
    return out


def _check_ctrgcn(dataset: SkeletonDataset, out: Path, protocols: Sequence[str]) -> None:
    """Refuse what one such file cannot hold."""
    if len(protocols) > 1:
        raise UserError(
            f"ctrgcn-npz holds one protocol, and data set '{dataset.name}' has "
            f"{', '.join(protocols)}: say which (--protocol)"
        )
    if protocol_in(out.stem) not in (None, *protocols):
        raise UserError(
            f"'{out.name}' names {protocol_in(out.stem)}, and {protocols[0]} would be written: "
            "choose another name"
        )
    if dataset.max_bodies > BODIES:
        raise UserError(
            f"ctrgcn-npz holds {BODIES} bodies, and clips of data set '{dataset.name}' have "
            f"{dataset.max_bodies}: import it with fewer (--max-bodies)"
        )


def _write_ctrgcn(
    dataset: SkeletonDataset, draft: Path, protocols: Sequence[str], progress: Progress
) -> None:
    """A zip archive with uncompressed members, so that they can be memory-mapped."""
    (protocol,) = protocols
    frames, bodies = _padded_sizes(dataset)
    width = bodies * dataset.layout.num_joints * 3

    def padded(clips: Iterable[int]) -> Iterator[Row]:
        for index in clips:
            clip = dataset.clip(index)
            row = np.zeros((frames, bodies, *clip.shape[2:]), np.float32)
            row[: clip.shape[1], : len(clip)] = clip.transpose(1, 0, 2, 3)
            yield row

    parts: tuple[Part, ...] = ("train", "test")
    sides = {part: split(dataset, protocol, part) for part in parts}
    counted = _counting(sum(map(len, sides.values())), progress)
    with draft.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def member(name: str, values: Iterable[Row], dtype: Any, shape: tuple[int, ...]) -> None:
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                _write_npy(stream, values, np.dtype(dtype), shape)

        for part, clips in sides.items():
            count = len(clips)
            if not count:
                continue
            one_hot = np.eye(dataset.num_classes, dtype=np.float32)[dataset.labels[clips]]
            names = np.array([dataset.clip_names[index] for index in clips], np.str_)
            member(f"x_{part}", counted(padded(clips)), np.float32, (count, frames, width))
            member(f"y_{part}", one_hot, np.float32, one_hot.shape)
            member(f"names_{part}", names[:, None], names.dtype, names.shape)
            lengths = dataset.lengths[clips]
            member(f"num_frame_{part}", lengths[:, None], np.int64, lengths.shape)
        for key, word in (("protocol", protocol), ("layout", dataset.layout.name)):
            text = np.array([[word]], np.str_)
            member(key, text, text.dtype, (1,))
        record = np.frombuffer(_record(dataset, protocols).model_dump_json().encode(), np.uint8)
        member(KEY, [record], np.uint8, (1, len(record)))
        archive.close()
        _to_disk(file)


def _write_agcn(
    dataset: SkeletonDataset, draft: Path, protocols: Sequence[str], progress: Progress
) -> None:
    """A directory per protocol; a side without clips is left out."""
    frames, bodies = _padded_sizes(dataset)
    steps = Normalisation().without(dataset.normalisation)

    def replayed(clips: Iterable[int]) -> Iterator[Row]:
        for index in clips:
            clip = normalise(dataset.clip(index), dataset.layout, steps)
            row = np.zeros((3, frames, dataset.layout.num_joints, bodies), np.float32)
            again = np.arange(frames) % clip.shape[1]
            row[..., : len(clip)] = clip[:, again].transpose(3, 1, 2, 0)
            yield row

    shape = 3, frames, dataset.layout.num_joints, bodies
    record = _record(dataset, protocols)
    sides = {
        (each, part): split(dataset, each, ours)
        for each in protocols
        for part, ours in _PARTS.items()
    }
    counted = _counting(sum(map(len, sides.values())), progress)
    for (protocol, part), clips in sides.items():
        if not len(clips):
            continue
        place = draft / protocol
        place.mkdir(parents=True, exist_ok=True)
        (place / LAYOUT).write_text(f"{dataset.layout.name}\n", encoding="utf-8")
        own = record.of_protocol(protocol).model_dump_json()
        (place / FILE).write_text(own, encoding="utf-8")
        with (place / f"{part}_data_joint.npy").open("wb") as file:
            _write_npy(file, counted(replayed(clips)), np.dtype(np.float32), (len(clips), *shape))
            _to_disk(file)
        if any(wanted for _, wanted in steps):
            with (place / f"{part}{AS_THEY_ARE}").open("wb") as file:
                _write_as_they_are(file, dataset, clips)
                _to_disk(file)
        names = [dataset.clip_names[index] for index in clips]
        with (place / f"{part}_label.pkl").open("wb") as file:
            pickle.dump((names, dataset.labels[clips].tolist()), file, protocol=2)
            _to_disk(file)
        with (place / f"{part}_num_frame.npy").open("wb") as file:
            np.save(file, dataset.lengths[clips])
            _to_disk(file)


def _write_pyskl(
    dataset: SkeletonDataset, draft: Path, protocols: Sequence[str], progress: Progress
) -> None:
    """One dict; ``split`` lists clips by name, so that names must be unique."""
    if len(set(dataset.clip_names)) < len(dataset):
        name, _ = Counter(dataset.clip_names).most_common(1)[0]
        raise UserError(f"pyskl-pkl identifies clips by name, and several are called '{name}'")
    counted = _counting(len(dataset), progress)

    def annotations() -> Iterator[dict[str, Any]]:
        for index in counted(range(len(dataset))):
            present = np.flatnonzero(dataset.blocks["count"][index])
            keypoint = dataset.clip(index)[: present[-1] + 1]
            yield {
                "frame_dir": dataset.clip_names[index],
                "label": int(dataset.labels[index]),
                "keypoint": keypoint,
                "total_frames": keypoint.shape[1],
            }

    with draft.open("wb") as file:
        pickler = _Pickler(file, protocol=4)
        pickler.fast = True  # no memo: it would keep all clips in memory, and none is written twice
        record = Record.of(dataset, np.arange(len(dataset)), protocols)
        content = {
            "split": record.named_sides(),
            "layout": dataset.layout.name,
            KEY: record.model_dump_json(),
        }
        pickler.dump({**content, "annotations": _Streamed(annotations())})
        _to_disk(file)


def _record(dataset: SkeletonDataset, protocols: Sequence[str]) -> Record:
    """The record of the clips that take part in a protocol."""
    part = np.any([dataset.splits[protocol] >= 0 for protocol in protocols], axis=0)
    return Record.of(dataset, np.flatnonzero(part), protocols)


def _write_as_they_are(file: IO[bytes], dataset: SkeletonDataset, clips: NDArray[np.int64]) -> None:
    """All frames of each body of each clip, one after the other; absent bodies are zeros."""
    joints = dataset.layout.num_joints, 3
    rows = int(dataset.lengths[clips].sum()) * dataset.max_bodies
    values = (dataset.clip(index).reshape(-1, *joints) for index in clips)
    _write_npy(file, values, np.dtype(np.float32), (rows, *joints))


@dataclass
class _Streamed:
    """Pickled as a list, while its items are being made."""

    items: Iterator[object]


class _Pickler(pickle.Pickler):
    """Writes arrays so that any numpy reads them: numpy 2's own way names what numpy 1 lacks."""

    def reducer_override(self, value: Any) -> Any:
        """Arrays are ``numpy.ndarray(shape, dtype, buffer)``; what is streamed, a list."""
        if type(value) is np.ndarray:
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        if type(value) is _Streamed:
            return list, (), None, value.items
        return NotImplemented


def _padded_sizes(dataset: SkeletonDataset) -> tuple[int, int]:
    """Frames and bodies of each clip of a padded array."""
    return max(FRAMES, int(dataset.lengths.max())), max(BODIES, dataset.max_bodies)


def _counting(total: int, progress: Progress) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A wrapper of iterables that calls ``progress`` with how many of ``total`` were used."""
    done = 0

    def counted(items: Iterable[Any]) -> Iterator[Any]:
        nonlocal done
        for item in items:
            yield item
            done += 1
            progress(done, total)

    return counted


def _write_npy(
    file: IO[bytes], rows: Iterable[Row], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    """An ``.npy`` of ``shape``, row by row."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for row in rows:
        file.write(row.astype(dtype, copy=False).tobytes())


def _to_disk(file: IO[bytes]) -> None:
    """Sync, so that a renamed file is whole even after a power failure."""
    file.flush()
    os.fsync(file.fileno())


_WRITERS: dict[str, Callable[[SkeletonDataset, Path, Sequence[str], Progress], None]] = {
    "ctrgcn-npz": _write_ctrgcn,
    "agcn-npy": _write_agcn,
    "pyskl-pkl": _write_pyskl,
}
FORMATS = tuple(_WRITERS)
"""The layouts that can be written, by the names of their families."""
