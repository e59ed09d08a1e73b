"""`agcn-npy`, `stgcn-npy` and `frame50-npy`, as their makers write them."""

import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from padded_layouts import AGCN, FAMILIES, FRAME50, NAMES, STGCN, Layout, header, reasons, trains

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

UserErrorOf = Callable[..., str]


@pytest.fixture(params=FAMILIES)
def layout(request: pytest.FixtureRequest) -> Layout:
    return Layout(request.param)


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
        expected = [dataset.columns[column][at] for column in ("setup", "camera", "subject")]
        assert expected == [int(name[1:4]), int(name[5:8]), int(name[9:12])]
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
def test_one_protocol_follows_from_the_other_by_names(layout: Layout, tmp_path: Path, given: str):
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


def test_a_directory_that_names_no_protocol(tmp_path: Path):
    STGCN.protocol(tmp_path, "xview").rename(tmp_path / "clips")
    dataset, _ = import_dataset(tmp_path / "clips", tmp_path / "set", RAW)
    for protocol in ("xsub", "xview"):
        expected = [int(not trains(name, protocol)) for name in dataset.clip_names]
        assert dataset.splits[protocol].tolist() == expected
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
        expected = np.linalg.norm(values[0, :, :, 3, 0] - values[0, :, :, 20, 0], axis=0)
        np.testing.assert_allclose(far, expected, rtol=1e-5)


def test_lengths_in_a_file_win(tmp_path: Path):
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
def test_the_path_names_the_data_set(tmp_path: Path, path: str, name: str):
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
    assert {bad.reason for bad in [*clips[3:], *last]} == {"no body is present in any frame"}


def test_finding_opens_no_file(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layout.protocol(tmp_path, "xsub")
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    assert detect(tmp_path).family == layout.family
