import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data import (
    KINECT_V2,
    UNKNOWN,
    Fold,
    Normalisation,
    SkeletonDataset,
    SkippedFile,
    Source,
    detect,
    import_dataset,
    open_or_import,
    split,
)
from skelcon.data.importers.pku_mmd import CLASS_NAMES, read_video
from skelcon.data.importers.pku_mmd_files import read_list
from skelcon.errors import UserError

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
UserErrorOf = Callable[..., str]
Row = tuple[int, int, int, int]

FRAMES = 30
LABELS: Mapping[str, Sequence[Row]] = {
    "0002-L": [(1, 0, 7, 1), (51, 7, 30, 2), (14, 12, 20, 1)],
    "0002-M": [(1, 1, 8, 1)],
    "0003-R": [(28, 3, 4, 2), (2, 5, 30, 2)],
    "0004-M": [(9, 2, 20, 1)],
}
LABELS_2: Mapping[str, Sequence[Row]] = {
    "A01N02-L": [(4, 0, 9, 2)],
    "A01N03-R": [(5, 2, 9, 2), (6, 9, 12, 1)],
    "A10N08-L": [(51, 1, 30, 2)],
}
CROSS_VIEW = "Training videos: \n0002-L, 0003-R, \nValidataion videos: \n0002-M, "
CROSS_SUBJECT = "Training videos: \r\n0003-R, 0003-M,\r\nValidataion videos: \r\n0002-M,0002-L"


def values_of(video: str) -> np.ndarray:
    """(T, 150), of six digits as the files have them; the second body comes late, or never."""
    rng = np.random.default_rng(list(video.encode()))
    values = rng.normal(0.3, 0.9, (FRAMES, 150)).round(6)
    values[: 10 if video.endswith("L") else FRAMES, 75:] = 0
    return values


def rows_of(values: np.ndarray, end: str = "\n") -> bytes:
    """``end`` may have blanks before the end of the line."""
    lines = [" ".join(f"{value:.6f}" for value in row) for row in values]
    return (end.join(lines) + end).encode()


def write_videos(
    folder: Path,
    labels: Mapping[str, Sequence[Row]],
    *,
    skeletons: str = "PKU_Skeleton_Renew",
    label: str = "Label/Train_Label_PKU_final",
    lists: Mapping[str, str] | None = None,
    end: str = "\n",
) -> Path:
    for place in (skeletons, label):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for video, rows in labels.items():
        (folder / skeletons / f"{video}.txt").write_bytes(rows_of(values_of(video), end))
        text = "".join(f"{a},{b},{c},{d}{end}" for a, b, c, d in rows)
        (folder / label / f"{video}.txt").write_bytes(text.encode())
    for name, text in (lists or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    lists = {"Split/cross-view.txt": CROSS_VIEW, "Split/cross-subject.txt": CROSS_SUBJECT}
    return write_videos(tmp_path / "pku", LABELS, lists=lists)


@pytest.fixture(scope="session")
def real_pku() -> Path:
    override = os.environ.get("SKELCON_TEST_DATA")
    root = Path(override) if override else Path(__file__).parents[3].parent / "shared" / "data"
    if not (root / "pku_mmd").is_dir():
        pytest.skip(f"no real data at '{root / 'pku_mmd'}' (set SKELCON_TEST_DATA to where it is)")
    return root / "pku_mmd"


def check_clips(dataset: SkeletonDataset, labels: Mapping[str, Sequence[Row]]) -> None:
    told = [(video, at, *row) for video, rows in labels.items() for at, row in enumerate(rows, 1)]
    assert dataset.clip_names == tuple(f"{video}-{at:03d}" for video, at, *_ in told)
    assert dataset.labels.tolist() == [number - 1 for _, _, number, *_ in told]
    for at, (video, _, _, start, end, _) in enumerate(told):
        expected = np.zeros((dataset.max_bodies, end - start, 25, 3), np.float32)
        frames = values_of(video)[start:end].astype(np.float32).reshape(-1, 2, 25, 3)
        expected[: frames.shape[1]] = frames.transpose(1, 0, 2, 3)
        np.testing.assert_array_equal(dataset.clip(at), expected)


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


BAD_ROWS = (
    "1,2,3",
    "1,2,3,4,5",
    "a,2,3,1",
    "1;2;3;4",
    "1,2.5,8,1",
    "1.5,2,8,1",
    "nan,2,8,1",
    "1,2,inf,1",
    "1,2,1e400,1",
    "0,2,8,1",
    "52,2,8,1",
    "-1,2,8,1",
    "1,8,8,1",
    "1,9,8,1",
    "1,-1,8,1",
    "1,2,31,1",
    "1,30,31,1",
    "1,2,99999999999999999999,1",
    "1_0,2,8,1",
    "1,2,,1",
    "1 2 8 1",
    "\x00\x01",
    "1,2,8,\u0663x",
    "9" * 5000 + ",1,2,1",
)


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_a_bad_row_of_labels_is_one_clip_less(source: Path, tmp_path: Path, bad: str):
    file = source / "Label/Train_Label_PKU_final/0003-R.txt"
    file.write_text(f"28,3,4,2\n\n{bad}\n2,5,30,2\n")
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW, max_bad=1)
    (only,) = skipped
    assert only.name == "0003-R-002"
    assert only.line == 3
    assert "Train_Label_PKU_final/0003-R.txt" in only.reason
    assert "\n" not in only.reason
    assert len(only.reason) < 160
    assert "0003-R-001" in dataset.clip_names
    assert "0003-R-003" in dataset.clip_names
    assert len(dataset) == 7


@pytest.mark.parametrize(
    "row", [" 28 , 3 , 4 , 2 ", "28.0,3.0,4.0,2", "28,3,4,-0.5", "\ufeff28,3,4,2"]
)
def test_rows_of_labels_as_others_write_them(source: Path, tmp_path: Path, row: str):
    (source / "Label/Train_Label_PKU_final/0003-R.txt").write_text(f"{row}\n\n2,5,30,2", "utf-8")
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW)
    assert skipped == []
    check_clips(dataset, LABELS)


def spoilt(rows: bytes, at: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = rows.split(b"\n")
    lines[at] = change(lines[at])
    return b"\n".join(lines)


BAD_VIDEOS: dict[str, tuple[int | None, Callable[[bytes], bytes]]] = {
    "empty": (None, lambda rows: b""),
    "blank": (None, lambda rows: b"\n \r\n"),
    "a number less": (4, lambda rows: spoilt(rows, 3, lambda row: row.rpartition(b" ")[0])),
    "a number more": (1, lambda rows: spoilt(rows, 0, lambda row: row + b" 1.0")),
    "a word": (30, lambda rows: spoilt(rows, 29, lambda row: b"x" + row[1:])),
    "a comma": (2, lambda rows: spoilt(rows, 1, lambda row: row.replace(b" ", b",", 1))),
    "a comment": (7, lambda rows: spoilt(rows, 6, lambda row: b"#" + row)),
    "a blank row": (6, lambda rows: spoilt(rows, 5, lambda row: b"")),
    "a blank row first": (1, lambda rows: b"\n" + rows),
    "cut": (30, lambda rows: rows[:-700]),
    "cut in two": (16, lambda rows: rows[: len(rows) // 2]),
    "other bytes": (2, lambda rows: spoilt(rows, 1, lambda row: row[:9] + b"\xff\x00" + row[11:])),
    "one long row": (1, lambda rows: b"1 " * 100_000),
    "a row of the labels": (1, lambda rows: b"1,2,3,4\n" + rows),
}


@pytest.mark.parametrize("case", BAD_VIDEOS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_damaged_video_is_skipped(source: Path, tmp_path: Path, case: str, end: str):
    line, change = BAD_VIDEOS[case]
    file = source / "PKU_Skeleton_Renew" / "0002-L.txt"  # the first, by which the folder is known
    file.write_bytes(change(rows_of(values_of("0002-L"), end)))
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW, max_bad=1)
    (only,) = skipped
    assert only.name == "0002-L.txt"
    assert only.line == line
    assert "\n" not in only.reason
    check_clips(dataset, {name: rows for name, rows in LABELS.items() if name != "0002-L"})


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "1e999", "-20000"])
def test_a_coordinate_that_is_none_is_one_clip_less(source: Path, tmp_path: Path, value: str):
    file = source / "PKU_Skeleton_Renew" / "0002-L.txt"
    rows = spoilt(file.read_bytes(), 3, lambda row: value.encode() + b" " + row.partition(b" ")[2])
    file.write_bytes(rows)
    dataset, skipped = import_dataset(source, tmp_path / "set", max_bad=1)
    assert [bad.name for bad in skipped] == ["0002-L-001"]
    assert len(dataset) == 6


def test_a_clip_of_nobody_is_skipped(source: Path, tmp_path: Path):
    values = values_of("0004-M")
    values[:20] = 0
    (source / "PKU_Skeleton_Renew" / "0004-M.txt").write_bytes(rows_of(values))
    _, skipped = import_dataset(source, tmp_path / "set", RAW, max_bad=1)
    assert [bad.name for bad in skipped] == ["0004-M-001"]
    assert "body" in skipped[0].reason


def replace(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "a directory":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link to nowhere":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "empty":
        path.write_bytes(b"\n")


@pytest.mark.parametrize("kind", ["missing", "empty", "a directory", "a pipe", "a link to nowhere"])
@pytest.mark.parametrize("folder", ["PKU_Skeleton_Renew", "Label/Train_Label_PKU_final"])
def test_a_video_of_which_a_file_is_none(source: Path, tmp_path: Path, folder: str, kind: str):
    replace(source / folder / "0002-L.txt", kind)
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW, max_bad=1)
    check_clips(dataset, {name: rows for name, rows in LABELS.items() if name != "0002-L"})
    if folder == "PKU_Skeleton_Renew" and kind == "missing":
        assert skipped == []  # labels of more videos than there are hurt nobody
        return
    assert [bad.name for bad in skipped] == ["0002-L.txt"]
    if folder != "PKU_Skeleton_Renew":
        assert "label" in skipped[0].reason


def test_labels_are_missing(source: Path, tmp_path: Path, user_error: UserErrorOf):
    (source / "Label").rename(tmp_path / "away")
    skeletons = source / "PKU_Skeleton_Renew"
    for path in (source, skeletons):
        user_error(lambda path=path: detect(path), skeletons, "labels", "class,start,end")
    user_error(lambda: detect(tmp_path / "away"), "away", "no skeletons")
    # Labels of other videos are no labels of these.
    write_videos(source / "Label", LABELS_2, skeletons="x", label="Train")
    user_error(lambda: detect(skeletons), "labels", "0002-L.txt")


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


BAD_LISTS = {
    "both trains and tests": "Training videos:\n0002-L, 0003-R\nValidation videos:\n0002-L",
    "above the first heading": "0002-L, 0003-R\n0002-L",
    "no video below a heading 'Validation": "Training videos:\n0002-L, 0003-R",
    "no video below a heading 'Training": "Validation videos:\n0002-L, 0003-R",
    "no video": "",
}


@pytest.mark.parametrize("what", BAD_LISTS)
def test_a_damaged_list_is_told_before_the_import(
    source: Path, tmp_path: Path, user_error: UserErrorOf, what: str
):
    (source / "Split/cross-subject.txt").write_text(BAD_LISTS[what])
    user_error(lambda: import_dataset(source, tmp_path / "set"), "cross-subject.txt", what)


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


numbers = st.one_of(
    st.floats(-1e4, 1e4, allow_nan=False).map(lambda value: f"{value:.6f}"),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["0", "-0.0", "1e5", ".5", "5.", "+1", "1e-400", "123456789012345678901234"]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(numbers, min_size=1, max_size=7), min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([" ", "  ", "\t"]),
    st.booleans(),
)
def test_numbers_are_read_as_python_reads_them(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[list[str]], end: str, gap: str, last: bool
):
    rows = [(kind * 150)[:150] for kind in kinds]
    file = tmp_path_factory.mktemp("video") / "0001-L.txt"
    file.write_bytes((end.join(gap.join(row) for row in rows) + end * last).encode())
    expected = np.array([[float(text) for text in row] for row in rows])
    expected = expected.reshape(-1, 2, 25, 3).transpose(1, 0, 2, 3)
    video = read_video(file)
    np.testing.assert_array_equal(video, expected)
    np.testing.assert_array_equal(np.signbit(video), np.signbit(expected))


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with one to three things done to it."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(out) + 1))
        match int(rng.integers(7)):
            case 0 if at < len(out):
                out[at] ^= int(rng.integers(1, 256))
            case 1:
                del out[at:]
            case 2:
                del out[at : at + int(rng.integers(1, 400))]
            case 3:
                out[at:at] = rng.bytes(int(rng.integers(1, 9)))
            case 4:
                words = (b",", b" ", b"\n", b"\r", b"-", b"e", b"nan", b"9" * 30, b"#", b"\x00")
                out[at:at] = words[int(rng.integers(len(words)))]
            case 5:
                lines = out.split(b"\n")
                del lines[int(rng.integers(len(lines)))]
                out = bytearray(b"\n".join(lines))
            case _:
                lines = out.split(b"\n")
                line = lines[int(rng.integers(len(lines)))]
                lines.insert(int(rng.integers(len(lines))), line[: int(rng.integers(200))])
                out = bytearray(b"\n".join(lines))
    return bytes(out)


def outcome(source: Source, item: Path) -> list[str]:
    """Names of the clips and of what was skipped; a `ValueError` if the whole video is bad."""
    try:
        found = list(source.read(item))
    except ValueError:
        return []
    for clip in found:
        if isinstance(clip, SkippedFile):
            assert clip.line is not None
            assert "\n" not in clip.reason
        else:
            assert clip.coordinates.shape[::2] == (2, 25)
            assert clip.coordinates.size
            assert 0 <= clip.info.label < 51
    return [clip.name if isinstance(clip, SkippedFile) else clip.info.name for clip in found]


@pytest.mark.parametrize("what", ["PKU_Skeleton_Renew", "Label/Train_Label_PKU_final"])
def test_damaged_files_never_raise_anything_else(source: Path, what: str):
    rng = np.random.default_rng(0)
    found = detect(source)
    (item,) = (item for item in found.items if item.name == "0002-L.txt")
    file = source / what / "0002-L.txt"
    whole = file.read_bytes()
    if what == "PKU_Skeleton_Renew":
        whole = b"".join(whole.splitlines(keepends=True)[:8])  # to be quick
    seen = {len(outcome(found, item))}
    for _ in range(500):
        file.write_bytes(damaged(whole, rng))
        seen.add(len(outcome(found, item)))
    assert {0, 3} <= seen  # some were hopeless, some were whole enough


def test_damaged_lists_are_user_errors_or_lists(tmp_path: Path):
    rng = np.random.default_rng(0)
    file = tmp_path / "cross-view.txt"
    kinds = set()
    for _ in range(500):
        file.write_bytes(damaged(CROSS_VIEW.encode(), rng))
        try:
            sides = read_list(file)
        except UserError:
            kinds.add("error")
            continue
        assert set(sides.values()) == {0, 1}
        kinds.add("list")
    assert kinds == {"error", "list"}


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
