import json
import pickle
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyskl_content import TAKES, annotation_of, ntu_content, ntu_name, other_content

from skelcon.data import (
    KINECT_V1,
    KINECT_V2,
    UNKNOWN,
    Normalisation,
    SkippedFile,
    detect,
    import_dataset,
    open_or_import,
)
from skelcon.data.importers import pyskl_pkl
from skelcon.data.importers.processes import isolated

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
UserErrorOf = Callable[..., str]


@pytest.fixture
def write_pickle(tmp_path: Path) -> Callable[..., Path]:
    def write_pickle(content: object, name: str = "ntu60_3danno.pkl", protocol: int = 4) -> Path:
        path = tmp_path / "given" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(content, protocol))
        return path

    return write_pickle


WritePickle = Callable[..., Path]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("given", ["file", "directory"])
def test_what_was_written_is_imported(
    write_pickle: WritePickle, tmp_path: Path, protocol: int, given: str
):
    content = ntu_content()
    path = write_pickle(content, protocol=protocol)
    (path.parent / "train_label.pkl").write_bytes(b"another layout's")
    done = []
    dataset, skipped = import_dataset(
        path if given == "file" else path.parent,
        tmp_path / "set",
        RAW,
        progress=lambda *counts: done.append(counts),
    )
    count = len(TAKES)
    assert skipped == []
    assert done[-count:] == [(at + 1, count) for at in range(count)]
    assert dataset.name == "ntu60"
    assert dataset.family == "pyskl-pkl"
    assert dataset.normalisation == RAW
    assert dataset.layout == KINECT_V2
    assert dataset.num_classes == 60
    assert dataset.class_names[4] == "drop"
    assert dataset.clip_names == tuple(ntu_name(*take) for take in TAKES)
    for at, column in enumerate(("setup", "camera", "subject")):
        assert dataset.columns[column].tolist() == [take[at] for take in TAKES]
    assert dataset.labels.tolist() == [take[-1] - 1 for take in TAKES]
    assert dataset.lengths.tolist() == [5 + at for at in range(count)]
    assert dataset.max_bodies == 2
    assert set(dataset.splits) == {"xsub", "xview"}
    assert dataset.splits["xsub"].tolist() == [int(t[2] not in (1, 4, 8)) for t in TAKES]
    assert dataset.splits["xview"].tolist() == [int(t[1] == 1) for t in TAKES]
    for at, annotation in enumerate(content["annotations"]):
        expected = annotation["keypoint"].astype(np.float32)
        np.testing.assert_array_equal(dataset.clip(at)[: len(expected)], expected)
        assert not dataset.clip(at)[len(expected) :].any()


def test_clips_of_ones_own(write_pickle: WritePickle, tmp_path: Path):
    content = other_content()
    dataset, skipped = import_dataset(write_pickle(content, "mine.pickle"), tmp_path / "set", RAW)
    assert skipped == []
    assert dataset.name == "mine"
    assert dataset.layout == KINECT_V1
    assert dataset.clip_names == tuple(f"take {at}" for at in range(20))
    assert dataset.num_classes == 4
    assert dataset.labels.tolist() == [at % 4 for at in range(20)]
    for column in ("setup", "camera", "subject"):
        assert set(dataset.columns[column]) == {UNKNOWN}
    assert {key: row.tolist() for key, row in dataset.splits.items()} == {
        "xsub": [0] * 12 + [1] * 8
    }
    np.testing.assert_array_equal(dataset.clip(3), content["annotations"][3]["keypoint"])


@pytest.mark.parametrize(
    ("change", "name", "protocols", "classes"),
    [
        ("an action of 120", "ntu120", {"xsub", "xsetup"}, 120),
        ("a setup of 120", "ntu120", {"xsub", "xsetup"}, 120),
        ("the splits of 120", "ntu120", {"xsub", "xsetup"}, 120),
        ("no split", "ntu60", {"xsub", "xview"}, 60),
        ("damaged splits", "ntu60", {"xsub", "xview"}, 60),
        ("splits of no clip", "ntu60", {"xsub", "xview"}, 60),
        ("suffixes", "ntu60", {"xsub", "xview"}, 60),
    ],
)
def test_which_ntu_it_is(
    write_pickle: WritePickle, tmp_path: Path, change: str, name: str, protocols: set, classes: int
):
    content = ntu_content()
    names = content["split"].pop("xview_val"), content["split"].pop("xview_train")
    if change == "an action of 120":
        content["annotations"].append(annotation_of("S001C001P001R001A061", 60))
    elif change == "a setup of 120":
        content["annotations"].append(annotation_of("S018C001P001R001A001", 0))
    elif change == "the splits of 120":
        content["split"] |= {"xset_val": names[0], "xset_train": names[1]}
    elif change == "no split":
        del content["split"]
    elif change == "damaged splits":
        content["split"] = {
            7: [],
            "xsub_train": None,
            "xview_val": [None, 3, ["x"]],
            "train": ["a"],
            "mine_train": ["a"],
            "xview_other": 3,
        }
    elif change == "splits of no clip":
        content["split"] = {"xsub_train": ["a"], "xsub_val": ["b"]}
    elif change == "suffixes":
        for annotation in content["annotations"]:
            annotation["frame_dir"] += ".skeleton"
    dataset, skipped = import_dataset(write_pickle(content), tmp_path / "set", RAW)
    assert skipped == []
    assert dataset.name == name
    assert dataset.num_classes == classes
    assert set(dataset.splits) == protocols
    assert dataset.clip_names[: len(TAKES)] == tuple(ntu_name(*take) for take in TAKES)
    if change != "the splits of 120":
        subjects = dataset.columns["subject"]
        tested = np.isin(subjects, [3, 6, 20])[: len(TAKES)]
        assert dataset.splits["xsub"][: len(TAKES)].tolist() == tested.tolist()
    else:
        assert dataset.splits["xsetup"].tolist() == [int(take[1] == 1) for take in TAKES]


def test_sides_that_do_not_divide(write_pickle: WritePickle, tmp_path: Path):
    content = other_content()
    names = [each["frame_dir"] for each in content["annotations"]]
    content["split"] = {
        "cs_train": names[:8],
        "cs_val": names[6:10],
        "xview_train": names[:5],
        "xview_val": names[5:10],
        "xview_test": names[10:],
    }
    dataset, _ = import_dataset(write_pickle(content), tmp_path / "set", RAW)
    # On both sides: tests, so that no test clip trains. On none: takes no part.
    assert dataset.splits["xsub"].tolist() == [0] * 6 + [1] * 4 + [-1] * 10
    # A validation side beside a test side is neither.
    assert dataset.splits["xview"].tolist() == [0] * 5 + [-1] * 5 + [1] * 10


NAME = ntu_name(9, 2, 9, 1, 9)


def bad_annotations() -> dict[str, tuple[str, str, Any]]:
    """What is wrong -> the name that it is listed by, what is said, and the annotation."""
    place = f"annotation {len(TAKES)}"
    good = annotation_of(NAME, 8)
    keypoint = good["keypoint"]
    spoilt = keypoint.astype(np.float32)
    spoilt[0, 1, 2, 0] = np.nan
    return {
        "none": (place, "None", None),
        "a list": (place, "list", [1]),
        "an empty one": (place, "frame_dir", {}),
        "no name": (place, "frame_dir", {**good, "frame_dir": None}),
        "a name of no letters": (place, "frame_dir", {**good, "frame_dir": ""}),
        "a name of two lines": (place, "frame_dir", {**good, "frame_dir": "a\nb"}),
        "a name beyond all names": (place, "frame_dir", {**good, "frame_dir": "a" * 10**5}),
        "no label": (NAME, "no label", {**good, "label": None}),
        "a label of text": (NAME, "no label", {**good, "label": "8"}),
        "a negative label": ("x", "no label", {**good, "label": -1, "frame_dir": "x"}),
        "a label beyond all": ("x", "no label", {**good, "label": 2**40, "frame_dir": "x"}),
        "the label of another action": (NAME, "7, and the name says 8", {**good, "label": 7}),
        "a label that has no class": ("x", "no class", {**good, "label": 60, "frame_dir": "x"}),
        "no keypoints": (NAME, "no keypoints", {**good, "keypoint": None}),
        "a list of keypoints": (NAME, "no keypoints", {**good, "keypoint": keypoint.tolist()}),
        "text for keypoints": (NAME, "no keypoints", {**good, "keypoint": np.array("x")}),
        "complex": (NAME, "no keypoints", {**good, "keypoint": keypoint + 1j}),
        "objects": (NAME, "no keypoints", {**good, "keypoint": keypoint.astype(object)}),
        "2D": (NAME, "(1, 6, 25, 2)", {**good, "keypoint": keypoint[..., :2]}),
        "17 joints": (NAME, "(1, 6, 17, 3)", {**good, "keypoint": keypoint[:, :, :17]}),
        "no body's axis": (NAME, "(6, 25, 3)", {**good, "keypoint": keypoint[0]}),
        "nobody": (NAME, "body", {**good, "keypoint": np.zeros_like(keypoint)}),
        "no bodies": (NAME, "body", {**good, "keypoint": keypoint[:0]}),
        "no frame": (NAME, "T >= 1", {**good, "keypoint": keypoint[:, :0], "total_frames": 0}),
        "frames that disagree": (NAME, "is 7, but there are 6 frames", {**good, "total_frames": 7}),
        "frames of text": (NAME, "is str, but there are 6", {**good, "total_frames": "6"}),
        "not a number": (NAME, "not finite", {**good, "keypoint": spoilt}),
        "beyond the sensor": (NAME, "beyond", {**good, "keypoint": keypoint + np.float16(3e4)}),
        "beyond single precision": (
            NAME,
            "finite",
            {**good, "keypoint": np.full(keypoint.shape, 1e300)},
        ),
        "a name for the second time": (
            ntu_name(*TAKES[0]),
            "a duplicate",
            annotation_of(ntu_name(*TAKES[0]), 59),
        ),
    }


@pytest.mark.parametrize("case", bad_annotations())
def test_a_bad_annotation_is_skipped_and_listed(
    write_pickle: WritePickle, tmp_path: Path, case: str
):
    name, named, annotation = bad_annotations()[case]
    content = ntu_content()
    content["annotations"] += [annotation, annotation_of("S008C001P008R001A008", 7)]
    dataset, skipped = import_dataset(write_pickle(content), tmp_path / "set", RAW)
    (bad,) = skipped
    assert bad.name == name
    assert named in bad.reason
    assert "\n" not in bad.reason
    assert dataset.clip_names == (*(ntu_name(*take) for take in TAKES), "S008C001P008R001A008")
    assert dataset.name == "ntu60"
    report = json.loads((dataset.path / "import-report.json").read_text())
    assert report["skipped"] == [{"file": name, "reason": bad.reason}]


@pytest.mark.parametrize("first", ["none", "no label", "2D", "17 joints", "not a number"])
def test_the_first_annotation_decides_nothing(
    write_pickle: WritePickle, tmp_path: Path, first: str
):
    content = ntu_content()
    content["annotations"].insert(0, bad_annotations()[first][2])
    dataset, skipped = import_dataset(write_pickle(content), tmp_path / "set", RAW)
    assert len(skipped) == 1
    assert len(dataset) == len(TAKES)
    assert dataset.layout == KINECT_V2


def unusable() -> dict[str, tuple[str, object]]:
    content = ntu_content()
    annotations = content["annotations"]

    def changed(cut: tuple) -> dict[str, Any]:
        return {
            "annotations": [{**each, "keypoint": each["keypoint"][cut]} for each in annotations]
        }

    return {
        "a list": ("not a pyskl pickle", annotations),
        "labels": ("not a pyskl pickle", (["a"], [1])),
        "no annotations": ("not a pyskl pickle", {"split": {}}),
        "annotations that are a dict": ("not a pyskl pickle", {"annotations": {}}),
        "an empty list": ("no annotation with keypoints", {"annotations": []}),
        "nothing but None": ("no annotation with keypoints", {"annotations": [None] * 3}),
        "2D": ("2D keypoints", changed(np.s_[..., :2])),
        "17 joints": ("17 joints", changed(np.s_[:, :, :17])),
        "4 coordinates": ("of 1 coordinates", changed(np.s_[..., :1])),
        "an array": ("not a pyskl pickle", np.zeros(3)),
        "a path": ("pathlib", {"annotations": annotations, "x": Path("a")}),
    }


@pytest.mark.parametrize("case", unusable())
def test_a_file_that_is_no_data_set(
    write_pickle: WritePickle, tmp_path: Path, user_error: UserErrorOf, case: str
):
    named, content = unusable()[case]
    path = write_pickle(content)
    source = detect(path)
    user_error(lambda: import_dataset(source, tmp_path / "set"), path, named)
    user_error(lambda: open_or_import(path), path, named)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("case", ["empty", "truncated", "text", "missing"])
def test_a_damaged_file(
    write_pickle: WritePickle, tmp_path: Path, user_error: UserErrorOf, case: str
):
    path = write_pickle(ntu_content())
    content = path.read_bytes()
    source = detect(path)
    if case == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "truncated": content[:-100], "text": b"x" * 99}[case])
    user_error(lambda: import_dataset(source, tmp_path / "set"), path)
    assert not (tmp_path / "set").exists()


def test_no_code_is_run(write_pickle: WritePickle, tmp_path: Path, user_error: UserErrorOf):
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = write_pickle({"split": {}, "annotations": [Bomb()]})
    user_error(lambda: open_or_import(path), path, "neither a numpy array nor a plain container")
    assert not (tmp_path / "ran").exists()


def test_several_files(write_pickle: WritePickle, tmp_path: Path, user_error: UserErrorOf):
    path = write_pickle(ntu_content())
    other = write_pickle(other_content(), "mine_3d.pkl")
    user_error(lambda: detect(path.parent), path.name, other.name, "give the path of one")
    assert detect(other).name == "mine_3d"
    assert detect(path).name == "ntu60"
    user_error(lambda: detect(path.parent.parent), "holds no clip")


@pytest.mark.parametrize("name", ["train_label.pkl", "some.npy"])
def test_other_files_are_not_these(write_pickle: WritePickle, user_error: UserErrorOf, name: str):
    path = write_pickle(ntu_content(), name)
    user_error(lambda: detect(path, "pyskl-pkl"), path)
    user_error(lambda: detect(path.parent, "pyskl-pkl"), path.parent)


def test_the_file_is_loaded_once(
    write_pickle: WritePickle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    loads = []
    read = pyskl_pkl.isolated

    def counted(function: Any, path: Path) -> Any:
        loads.append(path)
        return read(function, path)

    monkeypatch.setattr(pyskl_pkl, "isolated", counted)
    path = write_pickle(ntu_content())
    source = detect(path)
    assert loads == []
    dataset, _ = import_dataset(source, tmp_path / "set", RAW)
    assert source.name == "ntu60"
    assert loads == [path]
    again, _ = import_dataset(source, tmp_path / "again", RAW)
    assert again.fingerprint == dataset.fingerprint
    open_or_import(path)
    loads.clear()
    open_or_import(path)
    assert loads == []


def mutants(path: Path) -> Iterator[str]:
    """The outcome of importing each of 1,200 mutations of a file, in one process."""
    rng = random.Random(1)
    good = path.read_bytes()
    for _ in range(1200):
        mutated = bytearray(good)
        for _ in range(rng.choice((1, 2, 5))):
            at = rng.choice((rng.randrange(len(good)), rng.randrange(600)))
            mutated[at] = rng.choice((rng.randrange(256), mutated[at] ^ 1))
        path.write_bytes(mutated)
        try:
            _, *clips = pyskl_pkl._contents(path)
        except ValueError as error:
            yield "refused" if str(error).isprintable() else "not one line"
        except MemoryError:
            yield "too large"
        else:
            yield f"{sum(isinstance(clip, SkippedFile) for clip in clips)} skipped"


def test_mutated_files(write_pickle: WritePickle):
    content = ntu_content()
    content["annotations"] = content["annotations"][:4]
    outcomes = Counter(isolated(mutants, write_pickle(content), memory=200 << 20))
    assert "not one line" not in outcomes
    assert outcomes["refused"] > 50
    assert outcomes["0 skipped"] > 50
    assert outcomes["1 skipped"] > 10


def test_a_small_file_does_not_fill_the_disk(tmp_path: Path, user_error: UserErrorOf):
    one = annotation_of("one", 0, frames=2000)
    clips = [one | {"frame_dir": f"take {at}"} for at in range(20)]
    path = tmp_path / "ntu60_3danno.pkl"
    path.write_bytes(pickle.dumps({"split": {}, "annotations": clips}))
    user_error(lambda: import_dataset(path, tmp_path / "set"), path, "again and again")
    path.write_bytes(pickle.dumps({"split": {}, "annotations": clips[:3]}))
    dataset, _ = import_dataset(path, tmp_path / "set", RAW)
    assert len(dataset) == 3
