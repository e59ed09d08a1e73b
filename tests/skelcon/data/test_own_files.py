"""Files of one clip each: patterns of names, manifests, and formats of numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from own_recordings import digest, imported, made_clips, write_files, write_layout, write_manifest

from skelcon.data.importers import RAW
from skelcon.data.importers.own.files import pattern_of

CLIPS = made_clips()
FILES = "{label}_p{subject}"


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}


@pytest.fixture
def plain(tmp_path: Path, own: dict[str, str]) -> str:
    folder = write_files(tmp_path / "plain", CLIPS)
    options = {**own, "files": f"{FILES}.txt", "rows": "joint"}
    return digest(imported(folder, tmp_path / "out", options)[0])


def write_each(folder: Path, suffix: str, write: Callable[[Path, np.ndarray], object]) -> Path:
    folder.mkdir()
    for clip in CLIPS:
        write(folder / f"{clip.name}{suffix}", clip.values)
    return folder


def text(head: str, row: str, *, by_frame: bool = False) -> Callable[[Path, np.ndarray], object]:
    def write(path: Path, values: np.ndarray) -> None:
        rows = values.reshape(len(values), -1) if by_frame else values.reshape(-1, 3)
        lines = [row.join(f"{x:.3f}" for x in each) for each in rows]
        path.write_bytes((head + "\n".join(lines)).encode())

    return write


def landmarks(path: Path, values: np.ndarray) -> None:
    frames = [
        {"at": 0, "joints": [dict(zip("xyz", joint.tolist(), strict=True)) for joint in frame]}
        for frame in values
    ]
    path.write_text(json.dumps({"video": {"frames": frames}}))


def with_texts(path: Path, values: np.ndarray) -> None:
    others = {"who": "somebody", "how": {"camera": 3}, "list": np.array([1, "a"], object)}
    scipy.io.savemat(path, {**others, "d": values, "rate": 30.0}, do_compression=True)


@pytest.mark.parametrize(
    ("suffix", "write", "options"),
    [
        (".txt", text("", " ", by_frame=True), {"rows": "frame"}),
        (".txt", text("", "\t"), {}),  # what alone fits
        (".csv", text("\ufeffx,y,z\n", ","), {"skip_rows": 1, "rows": "joint"}),
        (".csv", text("# made\r\n", ";"), {"rows": "joint"}),
        (".npy", np.save, {}),
        (".npy", lambda p, x: np.save(p, x.transpose(2, 1, 0)), {"axes": "CVT"}),
        (".npz", lambda p, x: np.savez(p, a=x, b=1), {"variable": "a"}),
        (".mat", lambda p, x: scipy.io.savemat(p, {"d": x.transpose(1, 2, 0)}), {"axes": "VCT"}),
        (".mat", with_texts, {"variable": "d"}),
        (".json", lambda p, x: p.write_text(json.dumps(x.tolist())), {}),
        (".json", landmarks, {"path": "video.frames.*.joints"}),
    ],
    ids=[
        "frames",
        "tabs",
        "csv",
        "semicolons",
        "npy",
        "npy-axes",
        "npz",
        "mat",
        "texts",
        "json",
        "objects",
    ],
)
def test_formats_of_numbers(
    tmp_path: Path,
    own: dict,
    plain: str,
    suffix: str,
    write: Callable[[Path, np.ndarray], object],
    options: dict,
):
    folder = write_each(tmp_path / "clips", suffix, write)
    options = {**own, "files": FILES + suffix, **options}
    dataset, skipped = imported(folder, tmp_path / "out", options)
    assert skipped == []
    assert digest(dataset) == plain


def test_a_decimal_comma_and_empty_values(tmp_path: Path, own: dict):
    folder = write_each(
        tmp_path / "clips",
        ".csv",
        lambda path, x: path.write_text(
            "\n".join(";".join(f"{v:.3f}" for v in row) for row in x.reshape(-1, 3))
            .replace(".", ",")
            .replace(";", ";;", 0)
        ),
    )
    first = folder / f"{CLIPS[0].name}.csv"
    lines = first.read_text().split("\n")
    lines[1] = ";;"
    first.write_text("\n".join(lines))
    options = {**own, "files": f"{FILES}.csv", "rows": "joint"}
    dataset, skipped = imported(folder, tmp_path / "out", options)
    assert skipped == []
    assert (dataset.clip(0)[0, 0, 1] == 0).all()
    wanted = np.float32(CLIPS[1].values[:, 1] - CLIPS[1].values[:, 0])
    np.testing.assert_allclose(dataset.clip(1)[0, :, 1], wanted, atol=1e-6)


def test_a_manifest_cuts_and_describes(tmp_path: Path, own: dict):
    write_files(tmp_path / "clips", CLIPS)
    lines = ["file;what;who;part;start;end"]
    lines += [f"clips/{clip.name}.txt;{clip.label};{clip.subject};train;1;3" for clip in CLIPS[:6]]
    lines += [f"clips/{clip.name}.txt;{clip.label};{clip.subject};test;;" for clip in CLIPS[6:]]
    lines += ["clips/lost.txt;sit;1;test;;", f"clips/{CLIPS[0].name}.txt;sit;1;test;2;99", "clips"]
    (tmp_path / "all.csv").write_text("\n".join(lines))
    keys = {"label": "what", "subject": "who", "split": "part"}
    options = {"layout": own["layout"], "rows": "joint", "keys": keys}
    dataset, skipped = imported(tmp_path / "all.csv", tmp_path / "out", options, max_bad=0.5)
    assert dataset.splits["split"].tolist() == [0] * 6 + [1] * 6
    assert dataset.lengths.tolist() == [2] * 6 + [len(clip.values) for clip in CLIPS[6:]]
    assert [bad.reason for bad in skipped] == [
        "is not a file",
        f"frames 2 to 99 are not in a file of {len(CLIPS[0].values)} frames",
        "line 16 of 'all.csv': 1 values in a table of 6 columns",
    ]


def test_a_split_by_a_column_or_a_list(tmp_path: Path, own: dict):
    write_files(tmp_path / "clips", CLIPS)
    manifest = write_manifest(tmp_path / "all.csv", CLIPS, "clips")
    (tmp_path / "train.txt").write_text("".join(f"{clip.name}.txt\n" for clip in CLIPS[:5]))
    splits = ("xsub=column:side", f"listed=list:{tmp_path / 'train.txt'}", "column:subject=1,3")
    options = {"layout": own["layout"], "rows": "joint", "split": splits}
    dataset, _ = imported(manifest, tmp_path / "out", options)
    assert dataset.splits["xsub"].tolist() == [int(clip.subject > 2) for clip in CLIPS]
    assert dataset.splits["listed"].tolist() == [0] * 5 + [1] * 7
    assert dataset.splits["column"].tolist() == [int(clip.subject not in (1, 3)) for clip in CLIPS]


def test_a_random_split_is_the_same_each_time_and_takes_of_each_class(tmp_path: Path, own: dict):
    folder = write_files(tmp_path / "clips", CLIPS)
    options = {**own, "files": f"{FILES}.txt", "rows": "joint", "split": "random:0.75"}
    rows = [imported(folder, tmp_path / "out", options)[0].splits["random"] for _ in range(2)]
    assert rows[0].tolist() == rows[1].tolist()
    assert (rows[0].reshape(3, 4) == 0).sum(axis=1).tolist() == [3, 3, 3]


def test_folders_may_name_the_label(tmp_path: Path, own: dict, plain: str):
    for clip in CLIPS:
        write_files(tmp_path / "clips" / clip.label / f"person {clip.subject:02d}", [clip])
    options = {**own, "files": "{label}/person {subject}/*.txt", "rows": "joint"}
    dataset, _ = imported(tmp_path / "clips", tmp_path / "out", options)
    assert digest(dataset) == plain
    assert dataset.class_names == ("sit", "stand", "wave")


def test_a_folder_with_a_file_for_each_frame(tmp_path: Path):
    draws = np.random.default_rng(0)
    made = {}
    for label, subject in (("wave", 1), ("wave", 2), ("sit", 1), ("sit", 2)):
        folder = tmp_path / "clips" / f"{label}_{subject}"
        folder.mkdir(parents=True)
        made[folder.name] = people = draws.uniform(1, 9, (12, 2, 17, 3)).round(3)
        for at, bodies in enumerate(people):
            bodies = bodies[: 2 if at % 2 else 1] if at else bodies[:0]  # noqa: PLW2901
            listed = [{"pose_keypoints_2d": body.ravel().tolist()} for body in bodies]
            (folder / f"{at}_keypoints.json").write_text(json.dumps({"people": listed}))
    options = {"layout": "coco-17", "files": "{label}_{subject}/", "split": "subject:odd"}
    options["path"] = "people.*.pose_keypoints_2d"
    dataset, skipped = imported(tmp_path / "clips", tmp_path / "out", options, normalisation=RAW)
    assert skipped == []
    assert dataset.lengths.tolist() == [12] * 4
    clip, people = dataset.clip(3), made["wave_2"]
    np.testing.assert_array_equal(clip[0, 1:], np.float32(people[1:, 0]))
    np.testing.assert_array_equal(clip[1, 1::2], np.float32(people[1::2, 1]))
    assert not clip[:, 0].any()
    assert not clip[1, 2::2].any()
    (tmp_path / "clips" / "wave_2" / "3_keypoints.json").write_text('{"people": 3}')
    _, (bad,) = imported(tmp_path / "clips", tmp_path / "out", options, max_bad=0.5)
    assert (bad.name, bad.reason) == ("wave_2", "3_keypoints.json: has no list at 'people'")


@pytest.mark.parametrize(
    ("pattern", "name", "fields"),
    [
        ("a{label}_s{subject}.txt", "a01_s2.txt", {"label": "01", "subject": "2"}),
        ("{label}*.txt", "wave-3.txt", {"label": "w"}),
        ("{x}/{label}.txt", "a/b/c.txt", None),
        ("a.b", "axb", None),
    ],
)
def test_patterns(pattern: str, name: str, fields: dict | None):
    match = pattern_of(pattern).fullmatch(name)
    assert (match and match.groupdict()) == fields


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        ("", "is empty", None),
        ("1 2 3\n1 2\n", "a line of 2 numbers, not 3", 2),
        ("1 2 3\n\n1 2 x\n", "'x' is not a number", 3),
        ("x y z\n1 2 3\n", "'x' is not a number (--skip-rows, if it is a head)", 1),
        ("1 2 3\n" * 5, "has 5 lines of 3 numbers", None),
        ("1 2 3 4\n" * 4, "has 4 lines of 4 numbers", None),
        ("0 0 0\n" * 4, "no body is present in any frame", None),
        ("1 2 1e9\n" * 4, "a coordinate is not finite, or beyond", None),
    ],
)
def test_a_bad_file_is_skipped_with_its_line(
    tmp_path: Path, own: dict, content: str, reason: str, line: int | None
):
    folder = write_files(tmp_path / "clips", CLIPS)
    (folder / f"{CLIPS[0].name}.txt").write_text(content)
    options = {**own, "files": f"{FILES}.txt", "rows": "joint"}
    dataset, (bad,) = imported(folder, tmp_path / "out", options, max_bad=0.5)
    assert len(dataset) == len(CLIPS) - 1
    assert bad.name == f"{CLIPS[0].name}.txt"
    assert bad.reason.startswith(reason)
    assert bad.line == line


def test_a_mat_file_of_version_7_3_says_how_to_save_it(tmp_path: Path, own: dict):
    folder = write_each(tmp_path / "clips", ".mat", lambda p, x: scipy.io.savemat(p, {"d": x}))
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
    content = header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(2000)
    (folder / f"{CLIPS[0].name}.mat").write_bytes(content)
    options = {**own, "files": f"{FILES}.mat"}
    _, (bad,) = imported(folder, tmp_path / "out", options, max_bad=0.5)
    assert bad.name == f"{CLIPS[0].name}.mat"
    assert "7.3 is HDF5: save it with -v7" in bad.reason


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"files": "*.json"}, ("*.json", f"{CLIPS[0].name}.txt")),
        ({"files": "{label}_{label}.txt"}, ("'label'", "twice")),
        ({"manifest": "all.csv"}, ("all.csv",)),
        ({"files": "*.txt", "manifest": "all.csv"}, ("one of the two",)),
        ({"files": f"{FILES}.txt", "rows": "joint", "axes": "TVC"}, ("rows", "axes")),
        ({"files": "*.txt"}, ("label",)),
        ({}, ("--files",)),
    ],
)
def test_mistakes_of_files_are_one_line(
    tmp_path: Path, own: dict, user_error: Callable[..., str], options: dict, named: tuple
):
    folder = write_files(tmp_path / "clips", CLIPS)
    user_error(lambda: imported(folder, tmp_path / "out", {**own, **options}), *named)
