"""`ctrgcn-npz`, as its makers write it with `numpy.savez`."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelcon.data import CENTRED, KINECT_V1, KINECT_V2, detect, import_dataset
from skelcon.data.importers import RAW
from skelcon.errors import UserError

UserErrorOf = Callable[..., str]
LENGTHS = (300, 1, 40, 77, 299, 12)
SIDES = {"train": (0, 1, 2, 3), "test": (4, 5)}


def body_of(at: int, joints: int = 25, bodies: int = 2) -> np.ndarray:
    """(T, M, V, C); the second body of every other clip is absent."""
    rng = np.random.default_rng(at)
    values = rng.normal(size=(LENGTHS[at], bodies, joints, 3)).astype(np.float32)
    values[:, 1:] *= at % 2
    return values


def arrays(width: int = 150, classes: int = 60) -> dict[str, np.ndarray]:
    joints, bodies = (25 if width % 75 == 0 else 20), (2 if width > 75 else 1)
    out: dict[str, np.ndarray] = {}
    for side, clips in SIDES.items():
        x = np.zeros((len(clips), 300, width), np.float32)
        y = np.zeros((len(clips), classes))
        for row, at in enumerate(clips):
            x[row, : LENGTHS[at]] = body_of(at, joints, bodies).reshape(LENGTHS[at], width)
            y[row, 7 * at] = 1
        out |= {f"x_{side}": x, f"y_{side}": y}
    return out


def expected(at: int, joints: int = 25, bodies: int = 2) -> np.ndarray:
    return body_of(at, joints, bodies).transpose(1, 0, 2, 3)


@pytest.fixture(params=["stored", "compressed"])
def save(request: pytest.FixtureRequest) -> Callable[..., Path]:
    def save(path: Path, values: dict[str, Any]) -> Path:
        writer = np.savez if request.param == "stored" else np.savez_compressed
        writer(path, **values)
        return path

    return save


Save = Callable[..., Path]


def reasons(skipped: list) -> dict[str, str]:
    for bad in skipped:
        assert bad.reason
        assert "\n" not in bad.reason
    return {bad.name: bad.reason for bad in skipped}


@pytest.mark.parametrize("labels", ["one-hot", "booleans", "indices", "a column", "floats"])
@pytest.mark.parametrize("given", ["file", "directory"])
def test_what_was_written_is_imported(save: Save, tmp_path: Path, labels: str, given: str):
    values = arrays()
    for side in SIDES:
        if labels == "booleans":
            values[f"y_{side}"] = values[f"y_{side}"].astype(bool)
        elif labels != "one-hot":
            y = values[f"y_{side}"].argmax(axis=1)
            values[f"y_{side}"] = y[:, None] if labels == "a column" else y
        if labels == "floats":
            values[f"y_{side}"] = values[f"y_{side}"].astype(np.float32)
    (tmp_path / "in").mkdir()
    path = save(tmp_path / "in" / "NTU60_CV.npz", values)
    if given == "directory":
        (tmp_path / "in" / "notes.txt").write_text("x")
        np.savez(tmp_path / "in" / "statistics.npz", mean=np.ones(3))
        path = path.parent
    assert detect(path).family == "ctrgcn-npz"
    dataset, skipped = import_dataset(path, tmp_path / "set", RAW)
    assert skipped == []
    assert dataset.clip_names == (
        "train-00000",
        "train-00001",
        "train-00002",
        "train-00003",
        "test-00000",
        "test-00001",
    )
    for at in range(6):
        np.testing.assert_array_equal(dataset.clip(at), expected(at))
    assert dataset.lengths.tolist() == list(LENGTHS)
    assert dataset.labels.tolist() == [7 * at for at in range(6)]
    assert {name: row.tolist() for name, row in dataset.splits.items()} == {
        "xview": [0, 0, 0, 0, 1, 1]
    }
    assert (dataset.name, dataset.num_classes) == ("ntu60", 60)
    assert dataset.class_names[0] == "drink water"
    assert dataset.layout == KINECT_V2
    assert dataset.normalisation == RAW
    assert dataset.family == "ctrgcn-npz"


@pytest.mark.parametrize(
    ("width", "joints", "bodies"), [(150, 25, 2), (120, 20, 2), (75, 25, 1), (60, 20, 1)]
)
def test_widths(save: Save, tmp_path: Path, width: int, joints: int, bodies: int):
    path = save(tmp_path / "mine.npz", arrays(width))
    dataset, _ = import_dataset(path, tmp_path / "set", RAW)
    assert dataset.layout == (KINECT_V2 if joints == 25 else KINECT_V1)
    for at in range(6):
        np.testing.assert_array_equal(dataset.clip(at), expected(at, joints, bodies))
    assert (dataset.name, dataset.num_classes) == ("mine", 60)
    assert dataset.class_names[59] == "class 60"
    assert import_dataset(path, tmp_path / "other")[0].normalisation == CENTRED


@pytest.mark.parametrize("shape", [(4, 300, 99), (4, 300), (4, 0, 150), (4, 300, 2, 25, 3)])
def test_shapes_that_are_none(save: Save, tmp_path: Path, shape: tuple, user_error: UserErrorOf):
    values = {"x_train": np.ones(shape, np.float32), "y_train": np.zeros(4, int)}
    path = save(tmp_path / "NTU60_CS.npz", values)
    user_error(lambda: import_dataset(path, tmp_path / "set"), path, "x_train")


@pytest.mark.parametrize(
    ("file", "protocol", "name", "classes"),
    [
        ("NTU60_CS", "xsub", "ntu60", 60),
        ("NTU60_XSub", "xsub", "ntu60", 60),
        ("NTU60_XView", "xview", "ntu60", 60),
        ("NTU120_CSub", "xsub", "ntu120", 120),
        ("NTU120_CSet", "xsetup", "ntu120", 120),
        ("NTU120_XSet", "xsetup", "ntu120", 120),
        ("NTU_CV", "xview", "ntu60", 60),
        ("NTU_CS", "xsub", "ntu120", 120),
        ("PKUv1_XSub", "xsub", "pkummd1", 51),
        ("PKUv2_XView", "xview", "pkummd2", 51),
        ("mydata", "xsub", "mydata", 9),
    ],
)
def test_the_file_name_decides(tmp_path: Path, file: str, protocol: str, name: str, classes: int):
    path = tmp_path / f"{file}.npz"
    np.savez(path, **arrays(classes=max(classes, 51)))
    dataset, _ = import_dataset(path, tmp_path / "set", RAW)
    assert list(dataset.splits) == [protocol]
    assert dataset.name == name
    assert dataset.num_classes == max(classes, 51)


def test_faults_of_one_hot_labels(save: Save, tmp_path: Path):
    values = arrays()
    values["y_train"][0] = 0
    values["y_train"][1, 3] = 1
    values["y_train"][2] *= 0.5
    values["y_test"][0, 7] = np.nan
    path = save(tmp_path / "NTU60_CS.npz", values)
    dataset, skipped = import_dataset(path, tmp_path / "set", RAW, max_bad=1)
    found = reasons(skipped)
    assert list(found) == ["train-00000", "train-00001", "train-00002", "test-00000"]
    assert "marks 0 classes" in found["train-00000"]
    assert "marks 2 classes" in found["train-00001"]
    assert dataset.clip_names == ("train-00003", "test-00001")
    assert dataset.splits["xsub"].tolist() == [0, 1]


def test_labels_beyond_all_classes(save: Save, tmp_path: Path):
    values = arrays()
    values["y_train"], values["y_test"] = np.array([0, 60, -1, 59]), np.array([0, 10**12])
    path = save(tmp_path / "NTU60_CS.npz", values)
    dataset, skipped = import_dataset(path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == ["train-00001", "train-00002", "test-00001"]
    assert dataset.labels.tolist() == [0, 59, 0]


def test_names_and_lengths_are_used_where_they_are(save: Save, tmp_path: Path):
    values = arrays()
    names = [f"S001C00{1 + at % 3}P00{1 + at}R001A{1 + 7 * at:03d}" for at in range(6)]
    values["names_train"], values["names_test"] = np.array(names[:4]), np.array(names[4:])
    values["num_frame_train"] = np.array([200, 1, 50, 0])
    path = save(tmp_path / "NTU60_CS.npz", values)
    dataset, skipped = import_dataset(path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == [names[3]]
    assert dataset.clip_names == (*names[:3], *names[4:])
    assert dataset.lengths.tolist() == [200, 1, 50, *LENGTHS[4:]]
    assert dataset.columns["subject"].tolist() == [1, 2, 3, 5, 6]
    assert dataset.splits["xsub"].tolist() == [0, 0, 0, 1, 1]
    assert dataset.splits["xview"].tolist() == [1, 0, 0, 0, 0]
    values["names_train"] = np.array(names[:3])
    values["num_frame_train"] = np.array(["x"] * 4)
    path = save(tmp_path / "NTU60_CS.npz", values)
    dataset, skipped = import_dataset(path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == [
        "names_train of NTU60_CS.npz",
        "num_frame_train of NTU60_CS.npz",
    ]
    assert dataset.clip_names == (*(f"train-0000{at}" for at in range(4)), *names[4:])
    assert dataset.lengths.tolist() == list(LENGTHS)


@pytest.mark.parametrize("side", SIDES)
def test_one_side_alone(save: Save, tmp_path: Path, side: str):
    values = {key: value for key, value in arrays().items() if key.endswith(side)}
    dataset, _ = import_dataset(save(tmp_path / "PKUv1_CS.npz", values), tmp_path / "set", RAW)
    assert dataset.splits["xsub"].tolist() == [int(side == "test")] * len(SIDES[side])
    assert dataset.name == "pkummd1"


def test_what_is_no_data_set(tmp_path: Path, user_error: UserErrorOf):
    for name in ("NTU60_CS.npz", "NTU60_CV.npz"):
        np.savez(tmp_path / name, **arrays())
    user_error(lambda: detect(tmp_path), "NTU60_CS.npz, NTU60_CV.npz", "give the path of one")
    (tmp_path / "NTU60_CV.npz").unlink()
    whole = (tmp_path / "NTU60_CS.npz").read_bytes()
    path = tmp_path / "NTU60_CS.npz"
    for content in (b"", b"text", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(content)
        for given in (path, tmp_path):
            user_error(lambda: import_dataset(given, tmp_path / "set"), path, "cannot be read")  # noqa: B023
    np.savez(path, mean=np.ones(3))
    user_error(lambda: import_dataset(path, tmp_path / "set"), path, "x_train")
    values = arrays()
    values["y_train"] = values["y_train"][:3]
    np.savez(path, **values)
    user_error(
        lambda: import_dataset(path, tmp_path / "set"), "holds 4 clips", "3 labels", "y_train"
    )
    values["y_train"] = np.array(["a"] * 4)
    np.savez(path, **values)
    user_error(lambda: import_dataset(path, tmp_path / "set"), "y_train", "<U1")
    values["y_train"] = np.array([{}] * 4)
    np.savez(path, **values)
    user_error(lambda: import_dataset(path, tmp_path / "set"), "y_train", "object")


def test_damage_within_a_compressed_array_leaves_the_clips_before_it(tmp_path: Path):
    path = tmp_path / "NTU60_CS.npz"
    rng = np.random.default_rng(0)
    values = {
        "x_train": rng.normal(size=(40, 300, 150)).astype(np.float32),
        "y_train": np.arange(40) % 60,
        "x_test": arrays()["x_test"],
        "y_test": np.array([0, 1]),
    }
    np.savez_compressed(path, **values)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("x_train.npy")
    content = bytearray(path.read_bytes())
    middle = info.header_offset + info.compress_size // 2
    content[middle : middle + 5000] = rng.bytes(5000)
    path.write_bytes(content)
    dataset, skipped = import_dataset(path, tmp_path / "set", RAW, max_bad=1)
    assert "test-00001" in dataset.clip_names
    kept = [name for name in dataset.clip_names if name.startswith("train")]
    assert 10 < len(kept) < 30
    assert list(reasons(skipped)) == [f"train-{at:05d}" for at in range(len(kept), 40)]
    assert "damaged" in skipped[0].reason
    for at in range(len(kept) - 2):
        stored = values["x_train"][at].reshape(300, 2, 25, 3).transpose(1, 0, 2, 3)
        np.testing.assert_array_equal(dataset.clip(at), stored)


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "fortran"])
def test_other_kinds_of_arrays(save: Save, tmp_path: Path, dtype: str):
    values = arrays()
    for key in ("x_train", "x_test"):
        values[key] = (
            np.asfortranarray(values[key]) if dtype == "fortran" else values[key].astype(dtype)
        )
    dataset, skipped = import_dataset(
        save(tmp_path / "NTU60_CS.npz", values), tmp_path / "set", RAW
    )
    assert skipped == []
    for at in range(6):
        clip = expected(at).astype("f2" if dtype == "f2" else "f4").astype(np.float32)
        np.testing.assert_array_equal(dataset.clip(at), clip)


def test_a_large_archive_takes_the_memory_of_a_clip(tmp_path: Path):
    """200 MB of zeros between two clips, 200 kB on disk."""
    path = tmp_path / "NTU60_CS.npz"
    count = 1100
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (count, 300, 150)}
    )
    clip = arrays()["x_train"][2].tobytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x_train.npy", "w", force_zip64=True) as file:
            file.write(header.getvalue() + clip)
            for _ in range(count - 2):
                file.write(bytes(len(clip)))
            file.write(clip)
        with archive.open("y_train.npy", "w") as file:
            np.lib.format.write_array(file, np.zeros(count, int))
    tracemalloc.start()
    try:
        source = detect(path)
        read = [clip for item in source.items for clip in source.read(item)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    assert len(read) == count
    for at in (0, -1):
        np.testing.assert_array_equal(read[at].coordinates, expected(2))
    assert {bad.reason for bad in read[1:-1]} == {"no body is present in any frame"}


def test_absurd_headers_in_an_archive(tmp_path: Path, user_error: UserErrorOf):
    path = tmp_path / "NTU60_CS.npz"
    for shape in (
        (10**15, 300, 150),
        (4, 10**12, 150),
        (4, -1, 150),
        (-4, 300, 150),
        (0, 300, 150),
    ):
        for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}) + "\n"
            content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
            with zipfile.ZipFile(path, "w", kind) as archive:
                archive.writestr("x_train.npy", content + bytes(100))
                with archive.open("y_train.npy", "w") as file:
                    np.lib.format.write_array(file, np.zeros(4, int))
            user_error(lambda: import_dataset(path, tmp_path / "set"), "x_train")


def test_mutations(tmp_path: Path):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(5, 4, 60)).astype(np.float32)
    y = np.eye(5)
    path = tmp_path / "NTU60_CS.npz"
    outcomes = {"clips": 0, "skipped": 0, "user": 0}
    wholes = []
    for writer in (np.savez, np.savez_compressed):
        writer(
            path,
            x_train=x,
            y_train=y,
            x_test=x[:2],
            y_test=y[:2],
            names_train=np.array(list("abcde")),
            num_frame_train=np.full(5, 3),
        )
        wholes.append(path.read_bytes())
    for at in range(200):
        content = bytearray(wholes[at % 2])
        starts = [at for at in range(len(content)) if content[at : at + 2] == b"PK"]
        for _ in range(rng.integers(1, 4)):
            place = rng.integers(len(content))
            if rng.random() < 0.5:  # in the archive's directory, and in the members' headers
                near = starts[rng.integers(len(starts))] + int(rng.integers(190))
                place = min(near, len(content) - 1)
            content[place] = rng.integers(256)
        if rng.random() < 0.1:
            content = content[: rng.integers(len(content) + 1)]
        path.write_bytes(content)
        tracemalloc.start()
        try:
            source = detect(path)
            found = [clip for item in source.items for clip in source.read(item)]
            outcomes["skipped"] += sum(hasattr(clip, "reason") for clip in found)
            outcomes["clips"] += sum(hasattr(clip, "info") for clip in found)
            assert all("\n" not in bad.reason for bad in found if hasattr(bad, "reason"))
            source.splits([clip.info for clip in found if hasattr(clip, "info")])
        except UserError as error:
            outcomes["user"] += len(str(error).splitlines()) == 1
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 4 << 20
    assert min(outcomes.values()) > 15, outcomes


def test_an_import_of_several_processes_is_the_same(tmp_path: Path):
    np.savez_compressed(tmp_path / "NTU60_CS.npz", **arrays())
    one, _ = import_dataset(tmp_path, tmp_path / "one", workers=1)
    two, _ = import_dataset(tmp_path, tmp_path / "two", workers=2)
    assert one.fingerprint == two.fingerprint


def test_more_labels_than_any_data_set_has(tmp_path: Path, user_error: UserErrorOf):
    path = tmp_path / "NTU60_CS.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, shape in (("x_train", (1 << 26, 1, 60)), ("y_train", (1 << 26,))):
            header = io.BytesIO()
            header_of = {"descr": "|i1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, header_of)
            archive.writestr(f"{key}.npy", header.getvalue() + bytes(1 << 20))
    user_error(lambda: import_dataset(path, tmp_path / "set"), path, "no data set has as many")
