import contextlib
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import ClipInfo, SkeletonDataset
from skelcon.errors import UserError

Damage = Callable[[Path], object]
FILES = ("meta.json", "index.npz", "frames.npy")


@pytest.fixture
def packed(write: Callable[..., SkeletonDataset], tmp_path: Path) -> Path:
    infos = [ClipInfo(f"clip {at}", at % 3, at) for at in range(4)]
    clips = [np.random.default_rng(at).normal(size=(1, 9, 4, 3)) for at in range(4)]
    return write(tmp_path / "packed", infos, clips, {"xsub": np.array([0, 1, 0, 1])}).path


def cut(name: str, keep: float) -> Damage:
    def damage(path: Path) -> None:
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: int(len(content) * keep)])

    return damage


def replaced(name: str, content: bytes) -> Damage:
    return lambda path: (path / name).write_bytes(content)


def without(column: str) -> Damage:
    def damage(path: Path) -> None:
        with np.load(path / "index.npz") as index:
            kept = {name: index[name] for name in index.files if name != column}
        np.savez(path / "index.npz", **kept)

    return damage


def column(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(path: Path) -> None:
        with np.load(path / "index.npz") as index:
            arrays = {each: index[each] for each in index.files}
        np.savez(path / "index.npz", **(arrays | {name: change(arrays[name])}))

    return damage


def header(change: Callable[[dict], object]) -> Damage:
    def damage(path: Path) -> None:
        meta = json.loads((path / "meta.json").read_text())
        change(meta)
        (path / "meta.json").write_text(json.dumps(meta))

    return damage


def long_header(path: Path) -> None:
    """An .npy whose header claims 40 kB, more than numpy reads by default."""
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, 3), }".ljust(39999) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(48)
    (path / "frames.npy").write_bytes(content)


def of_other_numbers(path: Path) -> None:
    frames = np.load(path / "frames.npy")
    np.save(path / "frames.npy", frames.astype(np.float64))


def of_other_order(path: Path) -> None:
    frames = np.load(path / "frames.npy")
    np.save(path / "frames.npy", np.asfortranarray(frames))


def of_other_joints(path: Path) -> None:
    frames = np.load(path / "frames.npy")
    np.save(path / "frames.npy", frames[:, :3])


def behind_the_frames(value: bytes) -> Damage:
    """The row of zeros (48 bytes) is replaced."""

    def damage(path: Path) -> None:
        content = (path / "frames.npy").read_bytes()
        (path / "frames.npy").write_bytes(content[:-48] + value)

    return damage


def directory(path: Path) -> None:
    (path / "frames.npy").unlink()
    (path / "frames.npy").mkdir()


DAMAGES: dict[str, Damage] = {
    **{f"{name} cut to {keep}": cut(name, keep) for name in FILES for keep in (0, 0.02, 0.5, 0.98)},
    **{f"{name} is text": replaced(name, b"not what it was\n") for name in FILES},
    **{f"{name} is zeros": replaced(name, bytes(500)) for name in FILES},
    **{f"{name} is missing": lambda p, n=name: (p / n).unlink() for name in FILES},
    **{
        f"no column {name}": without(name)
        for name in ("label", "subject", "camera", "setup", "length", "offset", "start", "count")
    },
    "numbers that are not whole": column("offset", lambda values: values + 0.5),
    "a clip without a label": column("label", lambda values: values[:-1]),
    "a block without bodies": column("count", lambda values: values[:, 0]),
    "a side too many": column("split_xsub", lambda values: np.append(values, 0)),
    "a clip name too many": header(lambda meta: meta["clip_names"].append("more")),
    **{
        f"meta.json is {text}": replaced("meta.json", text)
        for text in (b"{}", b"[]", b"null", b"1", b'"text"', b"\xff\xfe", b'{"format": 1}')
    },
    **{
        f"meta.json has no {key}": header(lambda meta, key=key: meta.pop(key))
        for key in (
            "format",
            "layout",
            "class_names",
            "clip_names",
            "family",
            "normalisation",
            "fingerprint",
            "synthetic",
        )
    },
    "a layout of nothing": header(lambda meta: meta.update(layout={})),
    "a layout of null": header(lambda meta: meta.update(layout=None)),
    "a layout with two roots": header(lambda meta: meta["layout"]["bones"].pop()),
    "a layout with a short bone": header(lambda meta: meta["layout"].update(bones=[[1]])),
    "a layout with a short spine": header(lambda meta: meta["layout"].update(spine=[])),
    "an unknown option": header(lambda meta: meta["normalisation"].update(colour=True)),
    "an option of a wrong type": header(lambda meta: meta["normalisation"].update(centre="x")),
    "options of null": header(lambda meta: meta.update(normalisation=None)),
    "class names of null": header(lambda meta: meta.update(class_names=None)),
    "frames.npy is a zip": lambda p: shutil.copy(p / "index.npz", p / "frames.npy"),
    "index.npz is an array": lambda p: shutil.copy(p / "frames.npy", p / "index.npz"),
    "frames.npy has a long header": long_header,
    "frames.npy is a directory": directory,
    "frames.npy is float64": of_other_numbers,
    "frames.npy is in Fortran's order": of_other_order,
    "frames.npy has 3 joints": of_other_joints,
    "a short row behind the frames": behind_the_frames(bytes(47)),
    "a long row behind the frames": behind_the_frames(bytes(49)),
    "a row of ones behind the frames": behind_the_frames(b"\1" * 48),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_one_line_that_names_the_path(
    packed: Path, user_error: Callable[..., str], case: str
):
    DAMAGES[case](packed)
    user_error(lambda: SkeletonDataset.open(packed), packed)


def test_a_missing_column_is_named(packed: Path, user_error: Callable[..., str]):
    without("camera")(packed)
    user_error(lambda: SkeletonDataset.open(packed), packed, "camera")


@pytest.mark.parametrize("kind", ["missing", "empty directory", "file"])
def test_nothing_is_there(tmp_path: Path, user_error: Callable[..., str], kind: str):
    path = tmp_path / "nothing"
    if kind == "empty directory":
        path.mkdir()
    elif kind == "file":
        path.write_text("a file")
    user_error(lambda: SkeletonDataset.open(path), path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_version_is_reported(
    packed: Path, user_error: Callable[..., str], version: object
):
    header(lambda meta: meta.update(format=version))(packed)
    user_error(lambda: SkeletonDataset.open(packed), packed, f"format {version}", "import")


def test_another_format_version_may_have_other_columns_and_keys(
    packed: Path, user_error: Callable[..., str]
):
    without("camera")(packed)
    header(lambda meta: (meta.update(format=2), meta.pop("layout")))(packed)
    user_error(lambda: SkeletonDataset.open(packed), packed, "format 2")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", ["frames.npy", "index.npz", "label in index.npz"])
def test_no_pickle_is_ever_loaded(
    packed: Path, tmp_path: Path, user_error: Callable[..., str], name: str
):
    bomb = Bomb(tmp_path / "exploded")
    objects = np.empty(4, object)
    objects[:] = [bomb] * 4
    if name == "label in index.npz":
        with np.load(packed / "index.npz") as index:
            columns = {**{key: index[key] for key in index.files}, "label": objects}
        np.savez(packed / "index.npz", **columns)
    elif name == "index.npz":
        (packed / name).write_bytes(pickle.dumps(bomb))
    else:
        np.save(packed / name, objects, allow_pickle=True)
    user_error(lambda: SkeletonDataset.open(packed), packed)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_open_or_are_reported(packed: Path, user_error: Callable[..., str], name: str):
    """Whatever the damage to one file, it opens or is a `UserError` of one line."""
    content = (packed / name).read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(250):
        damaged = bytearray(content)
        # Where headers are: the beginning, and the end of a zip file.
        at = rng.integers(0, min(130, len(content)), int(rng.integers(1, 4)))
        if rng.random() < 0.5:
            at = len(content) - 1 - rng.integers(0, min(900, len(content)), len(at))
        for place in at:
            damaged[place] ^= int(rng.integers(1, 256))
        (packed / name).write_bytes(damaged)
        with contextlib.suppress(UserError):
            SkeletonDataset.open(packed)
            continue
        messages.append(user_error(lambda: SkeletonDataset.open(packed), packed))
    assert len(messages) > 20
