"""Whatever else stands where files are expected, for importers of all layouts."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import SkippedFile, detect, import_dataset
from skelcon.data.importers import RAW
from skelcon.data.importers.files import check_file, folders_in

UserErrorOf = Callable[..., str]
MatBytes = Callable[..., bytes]
PARTS = ("train", "val")
ARRAYS = {"agcn-npy": "data_joint", "stgcn-npy": "data", "frame50-npy": "position"}


def write_arrays(folder: Path, family: str) -> None:
    folder.mkdir(parents=True)
    for part in PARTS:
        values = np.random.default_rng(0).normal(size=(2, 3, 50, 25, 2)).astype(np.float32)
        np.save(folder / f"{part}_{ARRAYS[family]}.npy", values)
        names = [f"{part}-{at}" for at in range(2)]
        (folder / f"{part}_label.pkl").write_bytes(pickle.dumps((names, [0, 1])))


def write_nucla(folder: Path) -> None:
    folder.mkdir(parents=True)
    for view in (1, 3):
        content = {"skeletons": np.ones((2, 20, 3)).tolist(), "label": 1}
        (folder / f"a01_s01_e01_v0{view}.json").write_text(json.dumps(content))


def write_ntu(folder: Path) -> None:
    folder.mkdir(parents=True)
    joints = "\n".join([" ".join(["0.5"] * 12)] * 25)
    text = f"1\n1\n{' '.join(['0'] * 10)}\n25\n{joints}\n"
    for camera in (1, 2):
        (folder / f"S001C00{camera}P001R001A001.skeleton").write_text(text)


def test_a_pipe_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nothing")
    for name in ("pipe", "broken", "missing", "."):
        with pytest.raises(ValueError, match="is not a file"):
            check_file(tmp_path / name)


def test_a_link_to_itself_is_no_folder(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "file").touch()
    assert folders_in(tmp_path) == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize("family", ["ntu", "nucla-json", *ARRAYS])
def test_a_link_to_itself_beside_the_data(tmp_path: Path, family: str):
    root = tmp_path / "data"
    root.mkdir()
    if family in ARRAYS:
        write_arrays(root / "xsub", family)
    else:
        (write_ntu if family == "ntu" else write_nucla)(root / "clips")
    (root / "self").symlink_to("self")
    assert detect(root).family == family
    dataset, skipped = import_dataset(root, tmp_path / "out", RAW)
    assert len(dataset) in (2, 4)
    assert skipped == []


@pytest.mark.parametrize("name", ["train_data_joint.npy", "train_num_frame.npy"])
def test_a_pipe_among_padded_arrays(tmp_path: Path, name: str):
    folder = tmp_path / "xsub"
    write_arrays(folder, "agcn-npy")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    dataset, skipped = import_dataset(folder, tmp_path / "out", RAW, max_bad=0.5)
    assert len(dataset) == (2 if "data" in name else 4)
    assert all("is not a file" in bad.reason for bad in skipped)
    assert skipped


@pytest.mark.parametrize("name", ["NTU60_CS.npz", "ntu60_3danno.pkl", "train_label.pkl"])
def test_a_pipe_that_all_depends_on(tmp_path: Path, name: str, user_error: UserErrorOf):
    folder = tmp_path / "xsub"
    if "label" in name:
        write_arrays(folder, "agcn-npy")
        (folder / name).unlink()
    else:
        folder.mkdir()
    os.mkfifo(folder / name)
    user_error(lambda: import_dataset(folder, tmp_path / "out", RAW), name, "is not a file")


def test_a_pipe_among_mat_files(tmp_path: Path, mat_bytes: MatBytes):
    folder = tmp_path / "utd"
    folder.mkdir()
    (folder / "a1_s1_t1_skeleton.mat").write_bytes(mat_bytes(np.ones((20, 3, 4))))
    os.mkfifo(folder / "a1_s2_t1_skeleton.mat")
    dataset, skipped = import_dataset(folder, tmp_path / "out", RAW, max_bad=0.5)
    assert len(dataset) == 1
    assert skipped == [SkippedFile("a1_s2_t1_skeleton.mat", "is not a file")]


def test_names_that_are_no_text(tmp_path: Path):
    folder = tmp_path / os.fsdecode(b"\xff") / os.fsdecode(b"\xfe")
    write_ntu(folder)
    (folder / os.fsdecode(b"\xfd.skeleton")).touch()
    dataset, skipped = import_dataset(folder.parent, tmp_path / "out", RAW, max_bad=0.5)
    assert len(dataset) == 2
    assert [bad.name for bad in skipped] == [os.fsdecode(b"\xfd.skeleton")]


def test_a_path_that_cannot_be_looked_at(tmp_path: Path, user_error: UserErrorOf):
    user_error(lambda: detect(tmp_path / ("a" * 300)), "cannot be read", "too long")
