"""`agcn-npy`, `stgcn-npy` and `frame50-npy`, as their makers write them."""

import json
import os
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import (
    CENTRED,
    KINECT_V1,
    KINECT_V2,
    UNKNOWN,
    Normalisation,
    detect,
    import_dataset,
)
from skelcon.data.importers import RAW
from skelcon.errors import UserError

UserErrorOf = Callable[..., str]
TRAINING_SUBJECTS = {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
NAMES = [
    f"S{1 + at % 3:03d}C{1 + at % 3:03d}P{1 + at % 5:03d}R{1 + at // 30:03d}A{1 + at % 60:03d}"
    for at in range(60)
]


def clip_of(name: str, joints: int = 25, bodies: int = 2) -> list[np.ndarray]:
    """The frames of each body (T, V, 3) float32; bodies of one clip differ in length."""
    rng = np.random.default_rng(list(name.encode()))
    frames = int(rng.integers(5, 12))
    out = [rng.normal(size=(frames, joints, 3)).astype(np.float32)]
    for _ in range(bodies - 1):
        shorter = int(rng.integers(0, frames))
        out.append(rng.normal(size=(shorter, joints, 3)).astype(np.float32))
    return out


def padded(bodies: list[np.ndarray], size: int, how: str) -> np.ndarray:
    """(C, T, V, M): each body replayed to the end, or zeros after it."""
    out = np.zeros((len(bodies), size, *bodies[0].shape[1:]), np.float32)
    for at, body in enumerate(bodies):
        if len(body) and how == "replay":
            out[at] = np.concatenate([body] * (size // len(body) + 1))[:size]
        else:
            out[at, : len(body)] = body
    return out.transpose(3, 1, 2, 0)


def trains(name: str, protocol: str) -> bool:
    if protocol == "xsub":
        return int(name[9:12]) in TRAINING_SUBJECTS
    return name[4:8] != "C001"


class Layout:
    """Writes one family's files."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.array = {"agcn-npy": "data_joint", "stgcn-npy": "data", "frame50-npy": "position"}[
            family
        ]
        self.size = 50 if family == "frame50-npy" else 300

    def stored(self, name: str, joints: int = 25) -> np.ndarray:
        if self.family == "frame50-npy":
            rng = np.random.default_rng(list(name.encode()))
            return rng.normal(size=(3, 50, joints, 2)).astype(np.float32)
        how = "replay" if self.family == "agcn-npy" else "zeros"
        return padded(clip_of(name, joints), self.size, how)

    def expected(self, name: str) -> np.ndarray:
        """(M, T, V, 3): what must come back."""
        whole = self.stored(name).transpose(3, 1, 2, 0)
        return whole if self.family == "frame50-npy" else whole[:, : len(clip_of(name)[0])]

    def write(
        self,
        folder: Path,
        part: str,
        names: list[str],
        *,
        suffix: str = ".skeleton",
        num_frame: bool = False,
        dtype: str = "f4",
        joints: int = 25,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        values = np.zeros((len(names), 3, self.size, joints, 2), dtype)
        for at, name in enumerate(names):
            values[at] = self.stored(name, joints)
        np.save(folder / f"{part}_{self.array}.npy", values)
        labels = [int(name[-3:]) - 1 for name in names]
        with (folder / f"{part}_label.pkl").open("wb") as file:
            pickle.dump(([name + suffix for name in names], labels), file)
        if num_frame:
            lengths = np.array([len(clip_of(name)[0]) for name in names])
            np.save(folder / f"{part}_num_frame.npy", lengths)

    def protocol(self, root: Path, protocol: str, **options: object) -> Path:
        for part, side in (("train", True), ("val", False)):
            chosen = [name for name in NAMES if trains(name, protocol) is side]
            if protocol == "xsub":  # another order in every directory
                chosen = chosen[::-1]
            self.write(root / protocol, part, chosen, **options)  # type: ignore[arg-type]
        return root / protocol


FAMILIES = ("agcn-npy", "stgcn-npy", "frame50-npy")
AGCN, STGCN, FRAME50 = map(Layout, FAMILIES)


@pytest.fixture(params=FAMILIES)
def layout(request: pytest.FixtureRequest) -> Layout:
    return Layout(request.param)


def reasons(skipped: list) -> dict[str, str]:
    for bad in skipped:
        assert bad.reason
        assert "\n" not in bad.reason
    return {bad.name: bad.reason for bad in skipped}


def test_both_protocols_are_joined_by_the_clips_names(layout: Layout, tmp_path: Path):
    root = tmp_path / "NTU-RGB-D-60-AGCN"
    layout.protocol(root, "xview")
    layout.protocol(root, "xsub", suffix="")
    assert detect(root).family == layout.family
    dataset, skipped = import_dataset(root, tmp_path / "set", RAW)
    assert skipped == []
    assert sorted(dataset.clip_names) == sorted(NAMES)
    for at, name in enumerate(dataset.clip_names):
        np.testing.assert_array_equal(dataset.clip(at), layout.expected(name), err_msg=name)
        assert dataset.labels[at] == int(name[-3:]) - 1
        told = [dataset.columns[column][at] for column in ("setup", "camera", "subject")]
        assert told == [int(name[1:4]), int(name[5:8]), int(name[9:12])]
        for protocol in ("xsub", "xview"):
            assert dataset.splits[protocol][at] == int(not trains(name, protocol))
    assert sorted(dataset.splits) == ["xsub", "xview"]
    assert dataset.name == "ntu60"
    assert dataset.num_classes == 60
    assert dataset.class_names[59] == "walking apart from each other"
    assert dataset.family == layout.family
    assert dataset.layout == KINECT_V2
    assert dataset.frames.dtype == np.float32


@pytest.mark.parametrize("given", ["the directory", "an array"])
def test_one_protocol_tells_the_other_by_names(layout: Layout, tmp_path: Path, given: str):
    path = layout.protocol(tmp_path, "xview")
    if given == "an array":
        path = path / f"train_{layout.array}.npy"
    dataset, _ = import_dataset(path, tmp_path / "set", RAW)
    assert sorted(dataset.splits) == ["xsub", "xview"]
    for at, name in enumerate(dataset.clip_names):
        for protocol in ("xsub", "xview"):
            assert dataset.splits[protocol][at] == int(not trains(name, protocol))


def test_the_directorys_own_split_wins(layout: Layout, tmp_path: Path):
    folder = tmp_path / "ntu" / "xview"
    layout.write(folder, "train", NAMES[:10])
    layout.write(folder, "val", NAMES[10:20])
    dataset, _ = import_dataset(folder, tmp_path / "set", RAW)
    assert dataset.splits["xview"].tolist() == [0] * 10 + [1] * 10
    assert dataset.splits["xsub"].tolist() == [int(not trains(n, "xsub")) for n in NAMES[:20]]


def test_a_directory_that_tells_no_protocol(tmp_path: Path):
    STGCN.protocol(tmp_path, "xview").rename(tmp_path / "clips")
    dataset, _ = import_dataset(tmp_path / "clips", tmp_path / "set", RAW)
    for protocol in ("xsub", "xview"):
        told = [int(not trains(name, protocol)) for name in dataset.clip_names]
        assert dataset.splits[protocol].tolist() == told
    STGCN.write(tmp_path / "mine", "train", ["one A001", "two A003"], suffix="")
    STGCN.write(tmp_path / "mine", "val", ["six A003"], suffix="")
    dataset, _ = import_dataset(tmp_path / "mine", tmp_path / "other", RAW)
    assert {name: row.tolist() for name, row in dataset.splits.items()} == {"xsub": [0, 0, 1]}
    assert (dataset.name, dataset.class_names) == ("mine", ("class 1", "class 2", "class 3"))
    assert set(dataset.columns["subject"]) == {UNKNOWN}


def test_normalisation_is_not_done_twice(tmp_path: Path):
    for layout in (AGCN, STGCN):
        layout.write(tmp_path / layout.family, "train", NAMES[:5])
        raw, _ = import_dataset(tmp_path / layout.family, tmp_path / "raw", RAW)
        done, _ = import_dataset(tmp_path / layout.family, tmp_path / "done", Normalisation())
        assert done.normalisation == Normalisation()
        assert np.array_equal(raw.frames, done.frames) == (layout is AGCN)
        assert raw.normalisation == (Normalisation() if layout is AGCN else RAW)
        default, _ = import_dataset(tmp_path / layout.family, tmp_path / "default")
        assert default.normalisation == (Normalisation() if layout is AGCN else CENTRED)


def test_frames_that_are_centred_are_not_centred_again(tmp_path: Path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 3, 50, 25, 2)).astype(np.float32)
    (tmp_path / "xsub").mkdir()
    with (tmp_path / "xsub" / "train_label.pkl").open("wb") as file:
        pickle.dump((list("abcd"), [0, 1, 2, 0]), file)
    for what in ("raw", "centred"):
        if what == "centred":
            values -= values[:, :, :, 20:21]
        np.save(tmp_path / "xsub" / "train_position.npy", values)
        dataset, _ = import_dataset(tmp_path / "xsub", tmp_path / what, Normalisation())
        assert dataset.normalisation == Normalisation()
        clip = dataset.clip(0)
        centre = 20 if what == "centred" else 1
        assert not clip[0, :, centre].any()
        assert clip[0, :, 21 - centre].all()
        far = np.linalg.norm(clip[0, :, 3] - clip[0, :, 20], axis=-1)
        told = np.linalg.norm(values[0, :, :, 3, 0] - values[0, :, :, 20, 0], axis=0)
        np.testing.assert_allclose(far, told, rtol=1e-5)


def test_lengths_that_a_file_tells_win(tmp_path: Path):
    AGCN.write(tmp_path / "xsub", "train", NAMES[:20])
    lengths = np.arange(1, 21)
    lengths[3], lengths[5], lengths[8] = 0, 10**6, -1
    np.save(tmp_path / "xsub" / "train_num_frame.npy", lengths)
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=0.1)
    assert sorted(reasons(skipped)) == sorted([NAMES[3], NAMES[8]])
    expected = [300 if n == 10**6 else n for n in lengths.tolist() if n > 0]
    assert dataset.lengths.tolist() == expected
    whole = AGCN.stored(NAMES[0]).transpose(3, 1, 2, 0)
    np.testing.assert_array_equal(dataset.clip(0), whole[:, :1])


@pytest.mark.parametrize("fault", ["too few", "text", "truncated", "fractions", "nan", "a link"])
def test_a_bad_file_of_lengths_is_told_and_not_needed(tmp_path: Path, fault: str):
    AGCN.write(tmp_path / "xsub", "train", NAMES[:20], num_frame=True)
    path = tmp_path / "xsub" / "train_num_frame.npy"
    whole = path.read_bytes()
    if fault == "too few":
        np.save(path, np.ones(19, int))
    elif fault == "text":
        path.write_bytes(b"1 2 3\n")
    elif fault == "truncated":
        path.write_bytes(whole[:-1])
    elif fault == "a link":
        path.unlink()
        path.symlink_to(tmp_path / "nowhere")
    else:
        np.save(path, np.full(20, np.nan if fault == "nan" else 1.5))
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert list(reasons(skipped)) == ["xsub/train_num_frame.npy"]
    assert dataset.lengths.tolist() == [len(clip_of(name)[0]) for name in NAMES[:20]]


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "<i2", "fortran", "version 2"])
def test_other_kinds_of_arrays(layout: Layout, tmp_path: Path, dtype: str):
    kind = "f4" if dtype in ("fortran", "version 2") else dtype
    layout.write(tmp_path / "xsub", "train", NAMES[:3], dtype=kind)
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    values = np.load(path)
    if dtype == "<i2":
        values = (values * 100).astype("<i2")
        np.save(path, values)
    if dtype == "fortran":
        np.save(path, np.asfortranarray(values))
    if dtype == "version 2":
        with path.open("wb") as file:
            np.lib.format.write_array(file, values, version=(2, 0))
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert skipped == []
    for at in range(3):
        clip = dataset.clip(at)
        whole = values[at].transpose(3, 1, 2, 0).astype(np.float32)
        np.testing.assert_array_equal(clip, whole[:, : clip.shape[1]])
        if dtype != "<i2":
            assert clip.shape[1] == layout.expected(NAMES[at]).shape[1]


def test_a_truncated_array_gives_its_first_clips(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    layout.write(tmp_path / "xsub", "val", NAMES[20:30])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    clip = layout.size * 25 * 2 * 3 * 4
    whole = path.read_bytes()
    for cut, lost in ((1, 1), (clip, 1), (clip * 3 + 8, 4), (clip * 20 + 1, 20), (10**9, 20)):
        path.write_bytes(whole[:-cut] if cut < len(whole) else b"")
        dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
        assert list(reasons(skipped)) == NAMES[20 - lost : 20]
        if cut < clip * 20:
            assert all("truncated" in bad.reason for bad in skipped)
        assert dataset.clip_names == (*NAMES[: 20 - lost], *NAMES[20:30])
        assert dataset.splits["xsub"].tolist() == [0] * (20 - lost) + [1] * 10
        np.testing.assert_array_equal(dataset.clip(-1 % len(dataset)), layout.expected(NAMES[29]))
    with pytest.raises(UserError, match="bad, more than"):
        import_dataset(tmp_path, tmp_path / "again", RAW)


def header(shape: object, descr: object = "<f4", fortran: object = False) -> bytes:
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


ABSURD = {
    "no bytes": b"",
    "text": b"no array at all\n" * 99,
    "another version": b"\x93NUMPY\x09\x00" + header((4, 3, 9, 25, 2))[8:],
    "objects": header((4, 3, 9, 25, 2), "|O"),
    "structures": header((4, 3, 9, 25, 2), [("x", "<f4"), ("y", "<f4")]),
    "text in it": header((4, 3, 9, 25, 2), "<U3"),
    "complex": header((4, 3, 9, 25, 2), "<c8"),
    "no dtype": header((4, 3, 9, 25, 2), "<f5"),
    "code": header((4, 3, 9, 25, 2), "__import__('os')"),
    "nested": b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000,
    "a huge clip": header((4, 3, 10**12, 25, 2)),
    "a huge number of bodies": header((4, 3, 9, 25, 10**30)),
    "negative": header((4, 3, -9, 25, 2)),
    "no frame": header((4, 3, 0, 25, 2)),
    "no body": header((4, 3, 9, 25, 0)),
    "4 axes": header((4, 3, 9, 25)),
    "2 coordinates": header((4, 2, 9, 25, 2)),
    "other joints": header((4, 3, 9, 17, 2)),
    "a fraction": header((4, 3, 9.0, 25, 2)),
    "a truth": header((4, 3, True, 25, 2)),
    "a header that ends": header((4, 3, 9, 25, 2))[:40],
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_headers(layout: Layout, tmp_path: Path, what: str, user_error: UserErrorOf):
    layout.write(tmp_path / "xsub", "train", NAMES[:8])
    layout.write(tmp_path / "xsub", "val", NAMES[8:12])
    path = tmp_path / "xsub" / f"val_{layout.array}.npy"
    path.write_bytes(ABSURD[what] + bytes(4000 if what != "no bytes" else 0))
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == NAMES[8:12]
    assert dataset.clip_names == tuple(NAMES[:8])
    layout.write(tmp_path / "xsub", "val", NAMES[:4])
    path.rename(tmp_path / "xsub" / f"train_{layout.array}.npy")
    for name in ("train_label.pkl", f"val_{layout.array}.npy"):
        (tmp_path / "xsub" / name).unlink(missing_ok=True)
    (tmp_path / "xsub" / "val_label.pkl").rename(tmp_path / "xsub" / "train_label.pkl")
    broken = tmp_path / "xsub" / f"train_{layout.array}.npy"
    broken.write_bytes(ABSURD[what])
    user_error(lambda: import_dataset(tmp_path, tmp_path / "no", RAW, max_bad=1), broken.name)


@pytest.mark.parametrize("count", [7, 9, 10**12])
def test_labels_that_are_not_as_many_as_clips(
    layout: Layout, tmp_path: Path, count: int, user_error: UserErrorOf
):
    layout.write(tmp_path / "xsub", "train", NAMES[:8])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    path.write_bytes(header((count, 3, layout.size, 25, 2)) + path.read_bytes()[128:])
    user_error(
        lambda: import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1),
        8,
        count,
        path.name,
        "train_label.pkl",
    )


BAD_LABELS = {
    "no pickle": b"labels",
    "no bytes": b"",
    "of three": pickle.dumps(([1], [2], [3])),
    "a dict": pickle.dumps({"a": 1}),
    "uneven": pickle.dumps((["a", "b"], [1])),
    "a function": pickle.dumps(os.getcwd),
}


@pytest.mark.parametrize("what", BAD_LABELS)
def test_labels_that_cannot_be_read(
    layout: Layout, tmp_path: Path, what: str, user_error: UserErrorOf
):
    layout.write(tmp_path / "xsub", "train", NAMES[:8])
    path = tmp_path / "xsub" / "train_label.pkl"
    path.write_bytes(BAD_LABELS[what])
    user_error(lambda: import_dataset(tmp_path, tmp_path / "set", RAW), "train_label.pkl")
    path.unlink()
    user_error(lambda: detect(tmp_path), f"train_{layout.array}.npy", "train_label.pkl")


def test_a_clip_with_a_bad_label_is_skipped(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    labels: list[object] = [int(name[-3:]) - 1 for name in NAMES[:20]]
    bad = {0: -1, 3: 60, 5: 10**30, 7: float("nan"), 9: None, 11: "1", 13: 2.5, 15: True, 17: 16}
    for at, value in bad.items():
        labels[at] = value
    labels[1], labels[2] = float(labels[1]), np.int64(labels[2])  # type: ignore[arg-type]
    with (tmp_path / "xsub" / "train_label.pkl").open("wb") as file:
        pickle.dump((NAMES[:20], labels), file)
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == [NAMES[at] for at in bad]
    assert dataset.clip_names == tuple(NAMES[at] for at in range(20) if at not in bad)


def test_a_bad_clip_among_good_ones(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    values = np.load(path)
    values[2, 1, 3, 4, 0] = np.nan
    values[4, 1, 3, 4, 0] = np.inf
    values[6] = 0
    values[8, 0, 0, 0, 0] = 1e30
    np.save(path, values)
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == [NAMES[at] for at in (2, 4, 6, 8)]
    assert len(dataset) == 16


def test_a_signalling_nan_is_refused_and_not_warned_of(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    values = np.load(path)
    values[2].view(np.uint32)[...] = 0x7F800001
    np.save(path, values)
    _, (bad,) = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert bad.name == NAMES[2]
    assert "not finite" in bad.reason


def test_names_that_stand_more_than_once(tmp_path: Path):
    names = [*NAMES[:6], NAMES[2]]
    STGCN.write(tmp_path / "xview", "train", names)
    STGCN.write(tmp_path / "xview", "val", [NAMES[8], NAMES[2], NAMES[9]])
    STGCN.write(tmp_path / "xsub", "train", [NAMES[2], NAMES[8], NAMES[2], *NAMES[:2]])
    STGCN.write(tmp_path / "xsub", "val", [NAMES[2], *NAMES[3:6], NAMES[9]])
    dataset, _ = import_dataset(tmp_path, tmp_path / "set", RAW)
    told = [NAMES[2], NAMES[8], NAMES[2], *NAMES[:2], NAMES[2], *NAMES[3:6], NAMES[9]]
    assert dataset.clip_names == tuple(told)
    assert dataset.splits["xsub"].tolist() == [0] * 5 + [1] * 5
    assert dataset.splits["xview"].tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_clips_that_only_one_protocol_has_are_not_lost(tmp_path: Path):
    STGCN.write(tmp_path / "xsub", "train", NAMES[:4])
    STGCN.write(tmp_path / "xsub", "val", NAMES[4:6])
    STGCN.write(tmp_path / "xview", "train", [NAMES[9], *NAMES[2:6]])
    STGCN.write(tmp_path / "xview", "val", [NAMES[0], NAMES[8]])
    dataset, _ = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert dataset.clip_names == (*NAMES[:6], NAMES[9], NAMES[8])
    assert dataset.splits["xsub"].tolist() == [0] * 4 + [1] * 2 + [-1] * 2
    assert dataset.splits["xview"].tolist() == [1, -1, 0, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(dataset.clip(7), STGCN.expected(NAMES[8]))


def test_labels_without_names(tmp_path: Path, user_error: UserErrorOf):
    root = tmp_path / "pku_part1_frame50"
    for part, names in (("train", NAMES[:6]), ("val", NAMES[6:9])):
        for protocol in ("xview", "xsub"):
            FRAME50.write(root / protocol, part, names)
            (root / protocol / f"{part}_label.pkl").unlink()
            labels = np.array([[int(name[-3:]) - 1] for name in names])
            np.save(root / protocol / f"{part}_label.npy", labels)
    user_error(lambda: detect(root), root, "xsub", "xview", "names", "give the path of one")
    dataset, _ = import_dataset(root / "xview", tmp_path / "set", RAW)
    assert dataset.clip_names[:2] == ("train-00000", "train-00001")
    assert dataset.clip_names[-1] == "val-00002"
    assert dataset.labels.tolist() == list(range(9))
    assert {name: row.tolist() for name, row in dataset.splits.items()} == {
        "xview": [0] * 6 + [1] * 3
    }
    assert (dataset.name, dataset.num_classes) == ("pkummd1", 51)
    assert dataset.class_names[0] == "class 1"
    whole = (root / "xview" / "val_label.npy").read_bytes()
    (root / "xview" / "val_label.npy").write_bytes(whole[:-8])
    dataset, skipped = import_dataset(root / "xview", tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == ["val-00002"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("NTU-RGB-D/xsub", "ntu60"),
        ("ntu120_frame50/xsetup", "ntu120"),
        ("pku_part1_frame50/xsub", "pkummd1"),
        ("pku_part2/xview", "pkummd2"),
        ("ntu60/PKUv2/xsub", "pkummd2"),
        ("PKU-MMD-I/x-sub", "pkummd1"),
        ("mine/xsub", "mine"),
        ("NTU-RGB-D-120-AGCN/xset", "ntu120"),
        ("my set", "my set"),
    ],
)
def test_the_path_tells_the_data_set(tmp_path: Path, path: str, name: str):
    STGCN.write(tmp_path / path, "train", ["one A001", "two A003"], suffix="")
    assert detect(tmp_path / path).name == name


def test_ntu120_by_names(tmp_path: Path):
    names = ["S001C001P001R001A001", "S018C002P041R001A061", "S032C003P106R002A120"]
    AGCN.write(tmp_path / "xsetup", "val", names)
    dataset, _ = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert (dataset.name, dataset.num_classes) == ("ntu120", 120)
    assert sorted(dataset.splits) == ["xsetup", "xsub"]
    assert dataset.splits["xsetup"].tolist() == [1, 1, 1]


def test_20_joints_and_17(tmp_path: Path, user_error: UserErrorOf):
    STGCN.write(tmp_path / "xsub", "train", NAMES[:3], joints=20)
    dataset, _ = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert dataset.layout == KINECT_V1
    STGCN.write(tmp_path / "xsub", "train", NAMES[:3], joints=17)
    user_error(lambda: import_dataset(tmp_path, tmp_path / "no"), "17 joints", "20 or 25")


def test_families_do_not_claim_each_others_files(tmp_path: Path, user_error: UserErrorOf):
    for layout in (AGCN, STGCN, FRAME50):
        layout.write(tmp_path / "both" / "xsub", "train", NAMES[:3])
        alone = tmp_path / layout.family
        shutil.copytree(tmp_path / "both", alone)
        for other in {AGCN, STGCN, FRAME50} - {layout}:
            (alone / "xsub" / f"train_{other.array}.npy").unlink(missing_ok=True)
        assert detect(alone).family == layout.family
    user_error(lambda: detect(tmp_path / "both"), *FAMILIES, "--format")
    assert detect(tmp_path / "both", "stgcn-npy").family == "stgcn-npy"


def test_labels_without_clips(layout: Layout, tmp_path: Path, user_error: UserErrorOf):
    folder = layout.protocol(tmp_path, "xsub")
    missing = folder / f"val_{layout.array}.npy"
    missing.unlink()
    user_error(lambda: detect(tmp_path), "val_label.pkl", missing.name)
    (folder / "val_label.pkl").unlink()
    dataset, _ = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert set(dataset.splits["xsub"]) == {0}


def test_directories_that_are_not_one_for_each_protocol(tmp_path: Path, user_error: UserErrorOf):
    STGCN.write(tmp_path / "xsub", "train", NAMES[:3])
    STGCN.write(tmp_path / "cross_subject", "train", NAMES[:3])
    user_error(lambda: detect(tmp_path), "cross_subject, xsub", "give the path of one")
    (tmp_path / "cross_subject").rename(tmp_path / "other")
    user_error(lambda: detect(tmp_path), "other, xsub")


def test_a_file_of_gigabytes_is_read_by_its_first_clips_alone(tmp_path: Path):
    names = [f"clip {at}" for at in range(12_000)]
    (tmp_path / "xsub").mkdir()
    path = tmp_path / "xsub" / "train_data_joint.npy"
    start = header((len(names), 3, 300, 25, 2))
    first = np.stack([AGCN.stored(name) for name in names[:3]])
    path.write_bytes(start + first.tobytes())
    with path.open("r+b") as file:
        file.truncate(len(start) + first[:1].nbytes * len(names))
    assert path.stat().st_size > 2 * 10**9
    with (tmp_path / "xsub" / "train_label.pkl").open("wb") as file:
        pickle.dump((names, [0] * len(names)), file)
    tracemalloc.start()
    try:
        source = detect(tmp_path)
        found = tracemalloc.get_traced_memory()[1]
        clips = list(source.read(source.items[0]))
        last = list(source.read(source.items[-1]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found < 1 << 20
    assert peak < 32 << 20
    assert len(clips) == 64
    for clip, name in zip(clips, names[:3], strict=False):
        np.testing.assert_array_equal(clip.coordinates, AGCN.expected(name))
    assert {bad.reason for bad in [*clips[3:], *last]} == {"nobody is present in any frame"}


def test_finding_opens_no_file(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layout.protocol(tmp_path, "xsub")
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    assert detect(tmp_path).family == layout.family


def small(folder: Path, rng: np.random.Generator) -> None:
    """A whole data set of one directory, of tiny clips."""
    folder.mkdir()
    values = rng.normal(size=(5, 3, 6, 20, 1)).astype(np.float32)
    values[:, :, 4:] = values[:, :, :2]
    np.save(folder / "train_data_joint.npy", values)
    np.save(folder / "train_num_frame.npy", np.full(5, 4))
    with (folder / "train_label.pkl").open("wb") as file:
        pickle.dump((list("abcde"), [0, 1, 2, 3, 0]), file)


def test_mutations(tmp_path: Path):
    """Whatever bytes do: clips, skipped clips, or a line for the user."""
    rng = np.random.default_rng(5)
    good = tmp_path / "good"
    small(good, rng)
    contents = {path.name: path.read_bytes() for path in good.iterdir()}
    outcomes = {"clips": 0, "skipped": 0, "user": 0}
    place = tmp_path / "xsub"
    shutil.copytree(good, place)
    for _ in range(150):
        name = sorted(contents)[rng.integers(3)]
        content = bytearray(contents[name])
        for _ in range(rng.integers(1, 4)):
            stop = 128 if rng.random() < 0.6 else len(content)
            content[rng.integers(min(stop, len(content)))] = rng.integers(256)
        if rng.random() < 0.2:
            content = content[: rng.integers(len(content) + 1)]
        if rng.random() < 0.2 and name.endswith(".npy"):
            number = str(10 ** int(rng.integers(0, 19)) * int(rng.integers(-2, 9))).encode()
            digits = [at for at in range(60, 127) if content[at : at + 1].isdigit()]
            if digits:
                at = digits[rng.integers(len(digits))]
                content = content[:at] + number + content[at + 1 :]
        (place / name).write_bytes(content)
        tracemalloc.start()
        try:
            source = detect(tmp_path / "xsub")
            found = [clip for item in source.items for clip in source.read(item)]
            outcomes["skipped"] += sum(hasattr(clip, "reason") for clip in found)
            outcomes["clips"] += sum(hasattr(clip, "info") for clip in found)
            assert all("\n" not in bad.reason for bad in found if hasattr(bad, "reason"))
            assert len(found) <= 6
            source.splits([clip.info for clip in found if hasattr(clip, "info")])
        except UserError as error:
            outcomes["user"] += len(str(error).splitlines()) == 1
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 4 << 20
        (place / name).write_bytes(contents[name])
    assert min(outcomes.values()) > 15, outcomes


def test_mutations_of_one_side_never_lose_the_other(tmp_path: Path):
    rng = np.random.default_rng(6)
    small(tmp_path / "xsub", rng)
    place = tmp_path / "xsub"
    for name in ("data_joint.npy", "num_frame.npy", "label.pkl"):
        shutil.copy(place / f"train_{name}", place / f"val_{name}")
    whole = (place / "train_data_joint.npy").read_bytes()
    told: list[str] = []
    for at in range(24):
        content = bytearray(whole)
        for _ in range(3):
            content[rng.integers(128 if at % 2 else len(content))] = rng.integers(256)
        (place / "train_data_joint.npy").write_bytes(content)
        try:
            dataset, skipped = import_dataset(place, tmp_path / "set", max_bad=1)
        except UserError as error:
            told.append(str(error))
            continue
        assert len(dataset) + len(skipped) == 10
        assert (dataset.splits["xsub"] == 1).sum() == 5
        report = json.loads((dataset.path / "import-report.json").read_text())
        assert len(report["skipped"]) == len(skipped)
    assert all("labels for them" in line for line in told)  # the header told another number
