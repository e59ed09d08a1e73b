"""PKU-MMD as it is published: both phases, lists, and where folders may be."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pku_recordings import (
    CROSS_SUBJECT,
    CROSS_VIEW,
    LABELS,
    LABELS_2,
    RAW,
    check_clips,
    write_source,
    write_videos,
)

from skelcon.data import (
    KINECT_V2,
    UNKNOWN,
    Fold,
    detect,
    import_dataset,
    open_or_import,
    split,
)
from skelcon.data.importers.pku_mmd import CLASS_NAMES, read_video
from skelcon.data.importers.pku_mmd_files import read_list

UserErrorOf = Callable[..., str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "pku")


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_what_was_written_is_imported(tmp_path: Path, end: str):
    lists = {"Split/cross-view.txt": CROSS_VIEW, "Split/cross-subject.txt": CROSS_SUBJECT}
    source = write_videos(tmp_path / "pku", LABELS, lists=lists, end=end)
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW)
    assert skipped == []
    check_clips(dataset, LABELS)
    assert dataset.name == "pkummd1"
    assert dataset.family == "pku-mmd"
    assert dataset.layout == KINECT_V2
    assert dataset.class_names == CLASS_NAMES
    assert len(set(CLASS_NAMES)) == 51
    assert dataset.columns["camera"].tolist() == [1, 1, 1, 2, 3, 3, 2]
    assert dataset.columns["setup"].tolist() == [2, 2, 2, 2, 3, 3, 4]
    assert set(dataset.columns["subject"]) == {UNKNOWN}
    # A body that comes late stands where it comes; one that never comes is absent.
    counts = dataset.blocks["count"].tolist()
    assert counts == [[7, 0], [23, 20], [8, 8], [7, 0], [1, 0], [25, 0], [18, 0]]
    assert dataset.splits["xview"].tolist() == [0, 0, 0, 1, 0, 0, -1]
    assert dataset.splits["xsub"].tolist() == [1, 1, 1, 1, 0, 0, -1]
    report = json.loads((dataset.path / "import-report.json").read_text())
    assert report["files"] == 10


def test_phase_ii(tmp_path: Path):
    view = "Training videos:\nA01N02-L, A10N08-L\nValidataion videos:\nA01N03-R"
    subject = "Training videos:\nA10N08-L\nValidation videos:\nA01N02-L,A01N03-R"
    lists = {"v2/cross_view_v2.txt": view, "v2/cross_subject_v2.txt": subject}
    source = write_videos(
        tmp_path / "pku", LABELS_2, skeletons="v2/skeleton", label="v2/label", lists=lists
    )
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW)
    assert skipped == []
    assert dataset.name == "pkummd2"
    check_clips(dataset, LABELS_2)
    assert dataset.columns["subject"].tolist() == [2, 3, 3, 8]
    assert dataset.columns["setup"].tolist() == [1, 1, 1, 10]
    assert dataset.columns["camera"].tolist() == [1, 3, 3, 1]
    assert dataset.splits["xview"].tolist() == [0, 1, 1, 0]
    assert dataset.splits["xsub"].tolist() == [1, 1, 1, 0]


def test_without_lists_only_what_names_tell(tmp_path: Path):
    one = write_videos(tmp_path / "one", LABELS)
    dataset, _ = import_dataset(one, tmp_path / "set", RAW)
    assert {name: row.tolist() for name, row in dataset.splits.items()} == {
        "xview": [0, 0, 0, 1, 0, 0, 1]
    }
    two = write_videos(tmp_path / "two", LABELS_2)
    dataset, _ = import_dataset(two, tmp_path / "set", RAW)
    assert {name: row.tolist() for name, row in dataset.splits.items()} == {"xsub": [1, 1, 1, 0]}


def test_a_validation_side_is_made_of_recordings(tmp_path: Path):
    names = [f"{number:04d}-{camera}" for number in range(2, 9) for camera in "LMR"]
    lists = {
        "cross-subject.txt": f"Training videos: \n{', '.join(names[:-3])},\n"
        f"Validataion videos: \n{', '.join(names[-3:])},"
    }
    labels = {name: [(1, 0, 4, 1)] for name in names}
    source = write_videos(tmp_path / "pku", labels, lists=lists)
    dataset, _ = import_dataset(source, tmp_path / "set", RAW)
    fit, validation = (split(dataset, "xsub", p, Fold(2, 3)) for p in ("fit", "validation"))
    setups = dataset.columns["setup"]
    assert sorted([*fit, *validation]) == split(dataset, "xsub", "train").tolist()
    assert set(setups[validation]) == {4, 7}
    assert set(setups[fit]) == {2, 3, 5, 6}


@pytest.mark.parametrize(
    ("skeletons", "label", "given"),
    [
        ("Skeletons", "Label/Train_Label_PKU_final", "."),
        ("Data/PKU_Skeleton_Renew", "Label/Train_Label_PKU_final", "."),
        ("Data/PKU_Skeleton_Renew", "Label/Train_Label_PKU_final", "Data"),
        ("Data/PKU_Skeleton_Renew", "Label/Train_Label_PKU_final", "Data/PKU_Skeleton_Renew"),
        ("Data/Skeleton/PKU_Skeleton_Renew", "Label/Train_Label_PKU_final", "."),
        ("v1/skeleton", "v1/label", "v1/skeleton"),
        ("v1/skeleton", "v1/label", "v1"),
        ("v1/a", "v1/b", "v1"),
        (".", "Label", "."),
        ("Skeletons", "Train_Label_PKU_final", "Skeletons"),
    ],
)
def test_where_the_folders_may_be(tmp_path: Path, skeletons: str, label: str, given: str):
    root = tmp_path / "pku"
    write_videos(
        root, LABELS, skeletons=skeletons, label=label, lists={"Split/cross-view.txt": CROSS_VIEW}
    )
    (root / "Split" / "readme.txt").write_text("of the lists")
    (root / skeletons / "notes.txt").write_text("1,2,3,4")
    (root / "DEPTH" / "0002-L").mkdir(parents=True)
    (root / "again").symlink_to(root)
    dataset, skipped = import_dataset(root / given, tmp_path / "set", RAW)
    assert skipped == []
    check_clips(dataset, LABELS)
    if root in ((root / given).parent, root / given):
        assert dataset.splits["xview"].tolist() == [0, 0, 0, 1, 0, 0, -1]


@pytest.mark.parametrize(
    ("left_out", "count"),
    [({"0002-L"}, 3), ({"0002-L.txt", "0003-R-002"}, 4), ({"0002-L-002", "0004-M-001"}, 2)],
)
def test_videos_and_clips_can_be_left_out(
    source: Path, tmp_path: Path, left_out: set[str], count: int
):
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW, exclude=left_out)
    assert skipped == []
    assert len(dataset) == 7 - count
    stems = {name.removesuffix(".txt") for name in left_out}
    assert not [name for name in dataset.clip_names if name in stems or name[:6] in stems]
    report = json.loads((dataset.path / "import-report.json").read_text())
    assert report["excluded"] == count


def test_a_path_with_dots(source: Path, monkeypatch: pytest.MonkeyPatch):
    below = source / "PKU_Skeleton_Renew" / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert len(detect(Path("..")).files) == 10


@pytest.mark.parametrize("file", ["Label/Train_Label_PKU_final/0004-M.txt", "Split/cross-view.txt"])
def test_labels_and_lists_decide_the_content(source: Path, file: str):
    first, _ = open_or_import(source)
    again, _ = open_or_import(source)
    assert again.path == first.path
    text = (source / file).read_text()
    (source / file).write_text(text.replace("9,2,20,1", "8,2,20,1").replace("0003-R", "0004-M"))
    second, _ = open_or_import(source)
    assert second.path != first.path
    assert second.fingerprint != first.fingerprint


def test_another_data_set_beside_it_is_left_alone(tmp_path: Path, user_error: UserErrorOf):
    write_videos(tmp_path, LABELS, skeletons="mine/Skeletons", label="other/Label")
    user_error(lambda: detect(tmp_path / "mine"), "no labels")


def test_both_phases_are_two_data_sets(tmp_path: Path, user_error: UserErrorOf):
    write_videos(tmp_path / "pku", LABELS, skeletons="v1/skeleton", label="v1/label")
    write_videos(tmp_path / "pku", LABELS_2, skeletons="v2/skeleton", label="v2/label")
    text = user_error(lambda: detect(tmp_path / "pku"), "both phases")
    places = re.findall("'([^']*)'", text)[1:]
    assert [detect(Path(place)).name for place in places] == ["pkummd1", "pkummd2"]
    write_videos(tmp_path / "mix", {**LABELS, **LABELS_2})
    user_error(lambda: detect(tmp_path / "mix"), "both phases", "PKU_Skeleton_Renew")


def test_a_video_that_is_there_twice(source: Path, tmp_path: Path, user_error: UserErrorOf):
    write_videos(source, {"0003-R": [(1, 2, 3, 1)]}, skeletons="copy", label="Label/copy")
    (source / "Label/copy/0003-R.txt").unlink()
    user_error(lambda: detect(source), "0003-R.txt", "PKU_Skeleton_Renew", source / "copy")
    (source / "copy/0003-R.txt").rename(source / "copy/0009-R.txt")
    (source / "Label/copy/0003-R.txt").write_text("1,2,3,1")
    user_error(lambda: detect(source), "labels", "0003-R.txt", "Label/copy")
    (source / "Label/copy/0003-R.txt").rename(source / "Label/copy/0009-R.txt")
    dataset, _ = import_dataset(source, tmp_path / "set", RAW)
    assert len(dataset) == 8


def test_lists_that_differ_and_lists_of_the_other_phase(
    source: Path, tmp_path: Path, user_error: UserErrorOf
):
    other = "Training videos:\nA01N02-L\nValidataion videos:\nA01N03-R"
    (source / "Split/cross_view_v2.txt").write_text(other)
    (source / "cross_view.txt").write_text(CROSS_VIEW)
    dataset, _ = import_dataset(source, tmp_path / "set", RAW)
    assert dataset.splits["xview"].tolist() == [0, 0, 0, 1, 0, 0, -1]
    (source / "cross_view.txt").write_text(CROSS_SUBJECT)
    user_error(lambda: detect(source), "cross_view.txt", "Split/cross-view.txt")
    (source / "cross_view.txt").unlink()
    os.mkfifo(source / "cross_view.txt")
    user_error(lambda: detect(source), "cross_view.txt")


def test_the_real_video(real_pku: Path, tmp_path: Path, user_error: UserErrorOf):
    video = read_video(real_pku / "A10N08-L.txt")
    assert video.shape == (2, 1040, 25, 3)
    lines = (real_pku / "A10N08-L.txt").read_text().splitlines()
    expected = np.array([[float(text) for text in line.split()] for line in lines])
    np.testing.assert_array_equal(video.transpose(1, 0, 2, 3).reshape(1040, 150), expected)
    user_error(lambda: detect(real_pku), real_pku, "labels")
    folder = tmp_path / "Skeleton_v2"
    folder.mkdir()
    (folder / "A10N08-L.txt").symlink_to(real_pku / "A10N08-L.txt")
    (tmp_path / "Label_PKUMMD_v2").mkdir()
    (tmp_path / "Label_PKUMMD_v2" / "A10N08-L.txt").write_text("3,0,90,2\r\n44,900,1040,1\r\n")
    dataset, skipped = import_dataset(folder, tmp_path / "set", RAW)
    assert skipped == []
    assert dataset.name == "pkummd2"
    assert dataset.clip_names == ("A10N08-L-001", "A10N08-L-002")
    assert dataset.lengths.tolist() == [90, 140]
    np.testing.assert_array_equal(dataset.clip(1), video[:, 900:].astype(np.float32))


def test_the_real_lists(real_pku: Path):
    subject, view = (read_list(real_pku / f"cross-{name}.txt") for name in ("subject", "view"))
    counts = {0: 944, 1: 132}, {0: 717, 1: 359}
    for sides, expected in zip((subject, view), counts, strict=True):
        assert {side: list(sides.values()).count(side) for side in (0, 1)} == expected
    assert subject.keys() == view.keys()
    assert {name for name, side in view.items() if side} == {n for n in view if n.endswith("M")}
