"""Damage to files of PKU-MMD: a clip or a video less, or one line."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pku_recordings import (
    CROSS_VIEW,
    LABELS,
    LABELS_2,
    RAW,
    check_clips,
    rows_of,
    values_of,
    write_source,
    write_videos,
)

from skelcon.data import (
    SkippedFile,
    Source,
    detect,
    import_dataset,
)
from skelcon.data.importers.pku_mmd import read_video
from skelcon.data.importers.pku_mmd_files import read_list
from skelcon.errors import UserError

UserErrorOf = Callable[..., str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "pku")


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


def test_a_clip_without_a_body_is_skipped(source: Path, tmp_path: Path):
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
        assert skipped == []  # labels of videos that are not there do no harm
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


BAD_LISTS = {
    "both trains and tests": "Training videos:\n0002-L, 0003-R\nValidation videos:\n0002-L",
    "above the first heading": "0002-L, 0003-R\n0002-L",
    "no video below a heading 'Validation": "Training videos:\n0002-L, 0003-R",
    "no video below a heading 'Training": "Validation videos:\n0002-L, 0003-R",
    "no video": "",
}


@pytest.mark.parametrize("what", BAD_LISTS)
def test_a_damaged_list_is_reported_before_the_import(
    source: Path, tmp_path: Path, user_error: UserErrorOf, what: str
):
    (source / "Split/cross-subject.txt").write_text(BAD_LISTS[what])
    user_error(lambda: import_dataset(source, tmp_path / "set"), "cross-subject.txt", what)


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
