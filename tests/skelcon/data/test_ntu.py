import math
import os
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ntu_text import as_written, bodies_of, plainly_read, skeleton_text

from skelcon.data import (
    CENTRED,
    KINECT_V2,
    Normalisation,
    SkippedFile,
    detect,
    import_dataset,
    normalise,
)
from skelcon.data.importers.ntu import read_skeleton
from skelcon.data.importers.numbers import NumberError, read_numbers
from skelcon.data.importers.source import BadLineError

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
NAMES = tuple(
    f"S{s:03d}C{c:03d}P001R001A{a:03d}"
    for s, c, a in ((1, 1, 1), (1, 2, 1), (2, 3, 60), (17, 1, 7))
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "nturgb+d_skeletons"
    folder.mkdir()
    for at, name in enumerate(NAMES):
        text = skeleton_text(bodies_of(name, 5 + at, 1 + at % 2))
        (folder / f"{name}.skeleton").write_bytes(text.encode())
    (folder / "notes.txt").write_text("x")
    (folder / f"._{NAMES[0]}.skeleton").write_bytes(b"of another file system")
    return folder


def test_what_was_written_is_imported(source: Path, tmp_path: Path):
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW)
    assert skipped == []
    assert dataset.clip_names == tuple(sorted(NAMES))
    assert dataset.labels.tolist() == [0, 0, 59, 6]
    assert dataset.columns["subject"].tolist() == [1, 1, 1, 1]
    assert dataset.columns["camera"].tolist() == [1, 2, 3, 1]
    assert dataset.columns["setup"].tolist() == [1, 1, 2, 17]
    assert (dataset.name, dataset.family, dataset.num_classes) == ("ntu60", "ntu", 60)
    assert dataset.layout == KINECT_V2
    assert {name: row.tolist() for name, row in dataset.splits.items()} == {
        "xsub": [0, 0, 0, 0],
        "xview": [1, 0, 0, 1],
    }
    for at, name in enumerate(dataset.clip_names):
        expected = as_written(bodies_of(name, 5 + at, 1 + at % 2)).astype(np.float32)
        np.testing.assert_array_equal(dataset.clip(at)[: len(expected)], expected)
        assert not dataset.clip(at)[len(expected) :].any()


def test_coordinates_are_centred_by_default(source: Path, tmp_path: Path):
    dataset, _ = import_dataset(source, tmp_path / "set")
    clip = as_written(bodies_of(NAMES[3], 8, 2))
    expected = normalise(clip, KINECT_V2, CENTRED).astype(np.float32)
    np.testing.assert_array_equal(dataset.clip(3), expected)


def test_the_larger_data_set(source: Path, tmp_path: Path):
    name = "S018C001P045R002A120"
    further = source.with_name("nturgb+d_skeletons120")
    further.mkdir()
    (further / f"{name}.skeleton").write_text(skeleton_text(bodies_of(name)))
    dataset, _ = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert dataset.clip_names == (*sorted(NAMES), name)
    assert (dataset.name, dataset.num_classes) == ("ntu120", 120)
    assert dataset.splits["xsetup"].tolist() == [1, 1, 0, 1, 0]
    assert dataset.splits["xsub"].tolist() == [0] * 5


def test_a_clip_that_is_there_twice(source: Path, tmp_path: Path, user_error: Callable[..., str]):
    copy = source.with_name("copy")
    copy.mkdir()
    (copy / f"{NAMES[1]}.skeleton").write_text("")
    user_error(lambda: detect(tmp_path), NAMES[1], source, copy)
    assert len(detect(source).files) == len(NAMES)


@pytest.mark.parametrize("kind", ["empty", "others only", "a file"])
def test_nothing_to_import(tmp_path: Path, user_error: Callable[..., str], kind: str):
    path = tmp_path / "nothing"
    path.mkdir()
    if kind != "empty":
        (path / "walk.skeleton").write_text("1\n0\n")
    if kind == "a file":
        path /= "walk.skeleton"
    user_error(lambda: detect(path), path, "NTU RGB+D")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n \n\r\n\n",
        lambda text: text.rstrip("\n"),
        lambda text: text.replace(" ", "   "),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\n", " \n  "),
        lambda text: text.replace("\n", "\r\n", 40),
        lambda text: text.replace("\n", "\n", 40).replace("\n25\n", "\n 25  \r\n"),
        lambda text: text.replace("1036.233", "-1.#IND").replace("519.1677", "nan"),
    ],
    ids=[
        "crlf",
        "blank lines at the end",
        "no last line end",
        "spaces",
        "tabs",
        "spaces around",
        "line ends of both kinds",
        "spaces around counts",
        "what is not read is not a number",
    ],
)
def test_what_another_hand_has_done_to_the_text(change: Callable[[str], str]):
    frames = bodies_of("x", 4, 2)
    data = change(skeleton_text(frames)).encode()
    assert read_skeleton(data)[0].tobytes() == as_written(frames).tobytes()


def test_bodies_come_and_go():
    one, two = bodies_of("one", 8, 1), bodies_of("two", 8, 6)
    frames = [[], one[1], [], two[3], one[4], two[5][:3], [], two[7]]
    got, _ = read_skeleton(skeleton_text(frames).encode())
    assert got.shape == (6, 8, 25, 3)
    assert got.tobytes() == as_written(frames).tobytes()
    assert not got[:, [0, 2, 6]].any()


def test_the_bodies_that_move_most_are_kept_and_the_first_is_the_main_one(tmp_path: Path):
    frames = [[bodies[at] for at in (2, 0, 1)] for bodies in bodies_of("x", 12, 3)]
    (tmp_path / "ntu").mkdir()
    (tmp_path / "ntu" / f"{NAMES[0]}.skeleton").write_text(skeleton_text(frames))
    dataset, _ = import_dataset(tmp_path / "ntu", tmp_path / "set", RAW)
    expected = as_written(frames)[[1, 2]].astype(np.float32)
    np.testing.assert_array_equal(dataset.clip(0), expected)


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.floats(-10, 10).map(repr),
            st.floats(width=32, allow_nan=False).map(lambda value: f"{value:.9g}"),
            st.floats(-10, 10).map(lambda value: f"{value:.14f}"),
            st.from_regex(r"[-+]?[0-9]{1,3}(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,2})?", fullmatch=True),
            st.sampled_from(
                [
                    "-0.0",
                    "-0",
                    "0.",
                    ".5",
                    "9.99999999999999",
                    "9.999999999999999",
                    "nan",
                    "-inf",
                    "1_0.5",
                ]
            ),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_numbers_are_what_python_reads(values: list[str]):
    text = " ".join(values).encode()
    gaps = np.array([-1, *(at for at, byte in enumerate(text) if byte == 32), len(text)])
    got = read_numbers(text, gaps[:-1] + 1, gaps[1:])
    assert got.tobytes() == np.array([float(value) for value in values]).tobytes()


@pytest.mark.parametrize("at", [0, 5000, 9999])
@pytest.mark.parametrize(
    "bad", ["0.5x", "x", "1.2.3", "0.12:4567", "0./2", "1.é", "9" * 101, "--1"]
)
def test_what_is_no_number_is_reported(bad: str, at: int):
    tokens = [b"0.25"] * 10_000
    tokens[at] = bad.encode()
    stops = np.cumsum([len(token) + 1 for token in tokens]) - 1
    starts = np.array([0, *(stops[:-1] + 1)])
    with pytest.raises(NumberError) as error:
        read_numbers(b" ".join(tokens), starts, stops)
    assert error.value.index == at
    assert len(str(error.value)) < 200


GOOD = skeleton_text(bodies_of("good", 3, 1))
LINES = GOOD.splitlines(keepends=True)
BAD: dict[str, tuple[str | bytes, int | None]] = {
    "empty": ("", None),
    "blank": (" \r\n\n", None),
    "no frame": ("0\n", None),
    "no body": ("3\n0\n0\n0\n", None),
    "a frame is missing": ("".join(LINES[:-28]), 57),
    "the last line is missing": ("".join(LINES[:-1]), 58),
    "cut in the last line": (GOOD[:-4], 85),
    "cut in a place": ("".join(LINES[:31]) + "0.1 0.", 30),
    "frames as 1e9": ("1e9\n" + "".join(LINES[1:]), 1),
    "frames as -1": ("-1\n" + "".join(LINES[1:]), 1),
    "frames as 3.5": ("3.5\n" + "".join(LINES[1:]), 1),
    "frames beyond all": ("9" * 5000 + "\n" + "".join(LINES[1:]), 1),
    "a billion frames": ("999999999\n" + "".join(LINES[1:]), 85),
    "one frame more": ("2\n" + "".join(LINES[1:]), 58),
    "no count at all": ("skeleton\n" + GOOD, 1),
    "a billion bodies": (LINES[0] + "999999999\n" + "".join(LINES[2:]), 2),
    "24 joints": (GOOD.replace("\n25\n", "\n24\n", 1), 4),
    "a billion joints": (GOOD.replace("\n25\n", "\n999999999\n", 1), 4),
    "no count of joints": (GOOD.replace("\n25\n", "\nx\n", 1), 4),
    "a number less": (GOOD.replace(" 519.1677", "", 1), 5),
    "a number more": (GOOD.replace(" 519.1677", " 1 2", 1), 5),
    "a blank line": ("".join(LINES[:7]) + "\n" + "".join(LINES[7:]), 8),
    "no number": (
        "".join(LINES[:9]) + "0.1 o.2 " + LINES[9].split(" ", 2)[2] + "".join(LINES[10:]),
        10,
    ),
    "nan": ("".join(LINES[:9]) + "0.1 nan " + LINES[9].split(" ", 2)[2] + "".join(LINES[10:]), 10),
    "far": (
        "".join(LINES[:9]) + "0.1 1e300 " + LINES[9].split(" ", 2)[2] + "".join(LINES[10:]),
        10,
    ),
    "zero bytes": (GOOD.encode() + bytes(512), 86),
    "no text": (GOOD[:200].encode() + b"\xff" + GOOD[201:].encode(), GOOD.count("\n", 0, 200) + 1),
    "utf-16": (GOOD.encode("utf-16"), 1),
    "hardly a body": ("120000\n" + "0\n" * 119_999 + "".join(LINES[1:29]), None),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bad_file_says_what_and_where(case: str, end: str):
    content, line = BAD[case]
    data = content.encode() if isinstance(content, str) else content
    if isinstance(content, str):
        data = data.replace(b"\n", end.encode())
    with pytest.raises(ValueError, match=r"^.+$") as error:
        read_skeleton(data)
    assert getattr(error.value, "line", None) == line
    assert len(str(error.value)) < 150


@pytest.mark.parametrize(
    "case", [case for case in BAD if "billion" in case or "beyond" in case or "hardly" in case]
)
def test_an_absurd_count_takes_no_memory(case: str):
    data = BAD[case][0].encode()  # type: ignore[union-attr]
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^.+$"):
        read_skeleton(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000 + 20 * len(data)


def test_bad_files_are_listed_and_lose_no_good_one(source: Path, tmp_path: Path):
    bad = {}
    for at, (content, line) in enumerate(BAD.values()):
        if len(content) < 100_000:
            name = f"S003C001P002R001A{at + 1:03d}.skeleton"
            bad[name] = line
            data = content.encode() if isinstance(content, str) else content
            (source / name).write_bytes(data)
    for name in ("S001C001P001R001A121.skeleton", "S001C009P001R001A001.skeleton", "x.skeleton"):
        bad[name] = None
        (source / name).write_text(GOOD)
    (source / "S001C003P003R001A001.skeleton").mkdir()
    (source / "S001C003P003R001A002.skeleton").symlink_to(tmp_path / "nowhere")
    os.mkfifo(source / "S001C003P003R001A003.skeleton")
    bad |= {f"S001C003P003R001A{at:03d}.skeleton": None for at in (1, 2, 3)}
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW, max_bad=1)
    assert dataset.clip_names == tuple(sorted(NAMES))
    assert dataset.name == "ntu60"
    assert {each.name: each.line for each in skipped} == bad
    assert len(skipped) == len(bad)
    assert all(each.reason and "\n" not in each.reason for each in skipped)


def test_mutations_end_in_a_clip_or_a_reason():
    rng = np.random.default_rng(0)
    whole = skeleton_text(bodies_of("x", 3, 2)).encode()
    crlf = whole.replace(b"\n", b"\r\n")
    clips, reasons = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in range(800):
            try:
                clip, _ = read_skeleton(mutated(rng, (whole, crlf)[at % 2]))
            except ValueError as error:
                reasons.append(str(error))
                continue
            assert clip.shape[2:] == (25, 3)
            assert math.prod(clip.shape) <= 4 * 100 * 75
            assert np.isfinite(clip).all()
            clips += 1
    assert min(clips, len(reasons)) > 80
    assert all(reason and "\n" not in reason for reason in reasons)


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    kind = rng.integers(8)
    lines = data.split(b"\n")
    line = int(rng.integers(len(lines)))
    if kind == 0:
        return data[: rng.integers(len(data))]
    if kind == 1:
        del lines[line]
    elif kind == 2:
        lines.insert(line, lines[int(rng.integers(len(lines)))])
    elif kind == 3:
        counts = [at for at, text in enumerate(lines) if text.strip().isdigit()]
        change = (b"0", b"1", b"3", b"26", b"-2", b"1e3", b"2.0", b"99999999999", b"", b"2 2")
        lines[counts[rng.integers(len(counts))]] = change[rng.integers(len(change))]
    elif kind == 4:
        tokens = lines[line].split(b" ")
        change = (
            b"",
            b"nan",
            b"1e400",
            b"1e-7",
            b"0x1",
            b"-",
            b"12.5",
            b"\xff",
            b"1,5",
            b"7" * 300,
        )
        tokens[rng.integers(len(tokens))] = change[rng.integers(len(change))]
        lines[line] = b" ".join(tokens)
    else:
        content = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            byte = b"0123456789.-e \n\r\t"[rng.integers(17)] if kind < 7 else rng.integers(256)
            content[rng.integers(len(content))] = byte
        return bytes(content)
    return b"\n".join(lines)


def test_what_is_read_of_a_mutation_is_what_a_plain_reader_reads():
    """Where both of them take a file they agree to the bit."""
    rng = np.random.default_rng(1)
    whole = skeleton_text(bodies_of("x", 2, 2)).encode()
    agreed = 0
    for _ in range(500):
        data = mutated(rng, whole)
        try:
            got, _ = read_skeleton(data)
            expected = plainly_read(data.decode())
        except (ValueError, StopIteration):
            continue
        assert got.tobytes() == expected.tobytes()
        agreed += 1
    assert agreed > 50


def test_a_line_is_in_the_report(source: Path, tmp_path: Path):
    bad = SkippedFile("S003C001P001R001A001.skeleton", "24 joints, not 25", 4)
    (source / bad.name).write_text(BAD["24 joints"][0])  # type: ignore[arg-type]
    _, skipped = import_dataset(source, tmp_path / "set", RAW, max_bad=1)
    assert skipped == [bad]


def test_the_line_of_an_error_is_kept_where_spaces_are_tidied():
    with pytest.raises(BadLineError) as error:
        read_skeleton(BAD["no number"][0].replace(" ", "  ").encode())  # type: ignore[union-attr]
    assert error.value.line == 10
