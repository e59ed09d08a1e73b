import json
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from utd_files import TAKES, MatBytes, mat_name, values_of, write_takes

from skelcon.data import (
    CENTRED,
    KINECT_V1,
    UNKNOWN,
    DatasetWriter,
    Normalisation,
    SkippedFile,
    detect,
    import_dataset,
    normalise,
    open_or_import,
)

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
UserErrorOf = Callable[..., str]


@pytest.fixture
def source(tmp_path: Path, mat_bytes: MatBytes) -> Path:
    return write_takes(tmp_path / "utd", mat_bytes)


def test_what_was_written_is_imported(source: Path, tmp_path: Path):
    done = []
    dataset, skipped = import_dataset(
        source, tmp_path / "set", RAW, progress=lambda *counts: done.append(counts)
    )
    assert skipped == []
    assert done[-len(TAKES) :] == [(at + 1, len(TAKES)) for at in range(len(TAKES))]
    assert dataset.clip_names == tuple(f"a{a}_s{s}_t{t}" for a, s, t in TAKES)
    assert dataset.labels.tolist() == [action - 1 for action, _, _ in TAKES]
    assert dataset.columns["subject"].tolist() == [subject for _, subject, _ in TAKES]
    assert set(dataset.columns["camera"]) == set(dataset.columns["setup"]) == {UNKNOWN}
    assert dataset.lengths.tolist() == [4 + action for action, _, _ in TAKES]
    assert list(dataset.splits) == ["xsub"]
    assert dataset.splits["xsub"].tolist() == [int(s % 2 == 0) for _, s, _ in TAKES]
    assert dataset.max_bodies == 1
    assert dataset.num_classes == 27
    assert dataset.layout == KINECT_V1
    assert dataset.family == "utd-mhad"
    assert dataset.synthetic is False
    assert dataset.normalisation == RAW
    for at, take in enumerate(TAKES):
        expected = values_of(*take).transpose(2, 0, 1)[None].astype(np.float32)
        np.testing.assert_array_equal(dataset.clip(at), expected)
    report = json.loads((dataset.path / "import-report.json").read_text())
    counts = {"family": "utd-mhad", "files": 20, "clips": 20, "excluded": 0, "skipped": []}
    unused = ["Skeleton_joint_order.txt", "a1_s1_t1_inertial.mat"]
    note = {"about": "files", "text": "2 files of the folder not used", "names": unused}
    notes = [one for one in report.pop("notes") if one["about"] == "files"]
    assert notes == [note]  # (the others say that these numbers are not a body)
    assert report == counts


def test_coordinates_are_centred_by_default(source: Path, tmp_path: Path):
    dataset, _ = import_dataset(source, tmp_path / "set")
    assert dataset.normalisation == CENTRED
    for at, take in enumerate(TAKES):
        clip = values_of(*take).transpose(2, 0, 1)[None]
        expected = normalise(clip, KINECT_V1, CENTRED).astype(np.float32)
        np.testing.assert_array_equal(dataset.clip(at), expected)


@pytest.mark.parametrize("kind", ["f4", "i2", "u1"])
def test_other_kinds_of_real_numbers(tmp_path: Path, mat_bytes: MatBytes, kind: str):
    (tmp_path / "utd").mkdir()
    values = np.arange(20 * 3 * 4).reshape(20, 3, 4).astype(kind)
    (tmp_path / "utd" / mat_name(1, 1, 1)).write_bytes(mat_bytes(values))
    dataset, _ = import_dataset(tmp_path / "utd", tmp_path / "set", RAW)
    np.testing.assert_array_equal(dataset.clip(0)[0], values.transpose(2, 0, 1))


def bad_files(mat_bytes: MatBytes) -> dict[str, tuple[str, bytes]]:
    """What is wrong -> a name and the content of a file that must be skipped."""
    good = values_of(3, 3, 3)
    name = mat_name(3, 3, 3)
    cell = np.empty((20, 3, 4), object)
    cell[:] = 1.0
    unpacked = mat_bytes(good, packed=False)
    spoilt = {}
    for what in (np.nan, np.inf, -np.inf, 1e300, 1e38):
        spoilt[what] = good.copy()
        spoilt[what][4, 1, 2] = what
    spoilt[1e38] *= 1e30
    return {
        "empty": (name, b""),
        "header only": (name, unpacked[:128]),
        "half": (name, unpacked[: len(unpacked) // 2]),
        "half, packed": (name, mat_bytes(good)[:1500]),
        "the last byte is missing": (name, unpacked[:-1]),
        "text": (name, b"no .mat file at all\n" * 30),
        "zeros": (name, bytes(1000)),
        "of MATLAB 7.3": (name, unpacked[:124] + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(600)),
        "action 0": (mat_name(0, 1, 1), mat_bytes(good)),
        "action 28": (mat_name(28, 1, 1), mat_bytes(good)),
        "a subject beyond all numbers": (mat_name(3, 10**25, 1), mat_bytes(good)),
        "another variable": (name, mat_bytes(good, "d_iner")),
        "one frame without its axis": (name, mat_bytes(good[:, :, 0])),
        "25 joints": (name, mat_bytes(np.ones((25, 3, 5)))),
        "other order of axes": (name, mat_bytes(good.transpose(2, 0, 1))),
        "2 coordinates": (name, mat_bytes(good[:, :2])),
        "no frame": (name, mat_bytes(np.ones((20, 3, 0)))),
        "complex": (name, mat_bytes(good + 1j)),
        "text in the variable": (name, mat_bytes("text")),
        "a cell array": (name, mat_bytes(cell)),
        "a structure": (name, mat_bytes({"d_skel": good})),
        "sparse": (name, mat_bytes(scipy.sparse.csc_matrix(np.eye(20, 3)))),
        "nobody": (name, mat_bytes(np.zeros((20, 3, 4)))),
        **{f"a coordinate of {what}": (name, mat_bytes(v)) for what, v in spoilt.items()},
    }


BAD = list(bad_files(lambda *_, **__: b""))


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_skipped_and_listed(
    source: Path, tmp_path: Path, mat_bytes: MatBytes, case: str
):
    name, content = bad_files(mat_bytes)[case]
    (source / name).write_bytes(content)
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW)
    check_skipped(dataset.path, skipped, name)
    assert dataset.clip_names == tuple(f"a{a}_s{s}_t{t}" for a, s, t in TAKES)
    assert dataset.fingerprint == dataset.content_digest()
    for at, take in enumerate(TAKES):
        expected = values_of(*take).transpose(2, 0, 1).astype(np.float32)
        np.testing.assert_array_equal(dataset.clip(at)[0], expected)


@pytest.mark.parametrize("case", ["a coordinate of inf", "a coordinate of 1e+300"])
def test_a_number_out_of_range_is_skipped_when_normalising_too(
    source: Path, tmp_path: Path, mat_bytes: MatBytes, case: str
):
    name, content = bad_files(mat_bytes)[case]
    (source / name).write_bytes(content)
    dataset, skipped = import_dataset(source, tmp_path / "set")
    check_skipped(dataset.path, skipped, name)
    assert len(dataset) == len(TAKES)


@pytest.mark.parametrize("kind", ["a directory", "a link to nowhere"])
@pytest.mark.parametrize("cached", [False, True])
def test_what_is_no_file_is_skipped(source: Path, tmp_path: Path, kind: str, cached: bool):
    bad = source / mat_name(3, 3, 3)
    if kind == "a directory":
        bad.mkdir()
    else:
        bad.symlink_to(tmp_path / "nowhere")
    if cached:
        dataset, skipped = open_or_import(source)
    else:
        dataset, skipped = import_dataset(source, tmp_path / "set")
    check_skipped(dataset.path, skipped, bad.name)
    assert len(dataset) == len(TAKES)


def check_skipped(path: Path, skipped: list[SkippedFile], *names: str) -> None:
    assert [bad.name for bad in skipped] == list(names)
    for bad in skipped:
        assert bad.reason
        assert "\n" not in bad.reason
    report = json.loads((path / "import-report.json").read_text())
    assert report["skipped"] == [{"file": bad.name, "reason": bad.reason} for bad in skipped]
    assert report["files"] == report["clips"] + len(names)


def test_all_files_bad(tmp_path: Path, mat_bytes: MatBytes, cache: Path, user_error: UserErrorOf):
    source = tmp_path / "utd"
    source.mkdir()
    (source / mat_name(1, 1, 1)).write_bytes(b"")
    (source / mat_name(1, 1, 2)).write_bytes(mat_bytes(np.ones((20, 3))))
    for call in (lambda: import_dataset(source, tmp_path / "set"), lambda: open_or_import(source)):
        user_error(call, source, "2 of 2 clips", mat_name(1, 1, 1))
    left = sorted(path.name for path in tmp_path.iterdir() if path != cache)
    assert left == ["set.import-report.json", "utd"]
    (report,) = cache.iterdir()
    assert len(json.loads(report.read_text())["skipped"]) == 2


@pytest.mark.parametrize("kind", ["missing", "empty", "no clips", "a file", "a clip's file"])
def test_nothing_to_import(source: Path, tmp_path: Path, user_error: UserErrorOf, kind: str):
    path = tmp_path / "nothing"
    if kind in ("empty", "no clips"):
        path.mkdir()
    if kind == "no clips":
        (path / "a1_s1_t1_depth.mat").write_bytes(b"x")
        (path / "notes.txt").write_text("x")
    if kind == "a file":
        path.write_text("x")
    if kind == "a clip's file":
        path = source / mat_name(*TAKES[0])
    for call in (
        lambda: detect(path),
        lambda: import_dataset(path, tmp_path / "set"),
        lambda: open_or_import(path),
    ):
        text = user_error(call, path)
        assert "does not exist" in text if kind == "missing" else "UTD-MHAD" in text
    assert not (tmp_path / "set").exists()


def test_a_disk_that_is_full_is_no_fault_of_the_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DatasetWriter, "append", full)
    with pytest.raises(OSError, match="No space left"):
        import_dataset(source, tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("reading", [True, False])
def test_whether_the_data_or_its_cache_is_at_fault_is_reported(
    source: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    user_error: UserErrorOf,
    reading: bool,
):
    broken = (source if reading else cache) / "anything"

    def fails(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", str(broken))

    monkeypatch.setattr("skelcon.data.importers.run_import", fails)
    said = f"cannot read '{broken}'" if reading else "cannot write the cache"
    assert user_error(lambda: open_or_import(source), said, "Input/output error")


IMPORT_TWICE = """
import sys, warnings
from pathlib import Path
import numpy as np
from skelcon.data import Normalisation, import_dataset

raw = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
source, place = Path(sys.argv[1]), Path(sys.argv[2])
count = len(list(source.iterdir()))
for how, options in (("error", None), ("ignore", raw)):
    warnings.simplefilter(how)
    dataset, skipped = import_dataset(source, place / how, options, max_bad=1)
    assert len(dataset) + len(skipped) == count, (len(dataset), len(skipped), count)
    assert len(skipped) > count // 10, len(skipped)
    assert "a1_s1_t99" in dataset.clip_names
    assert np.isfinite(dataset.frames).all()
    assert dataset.fingerprint == dataset.content_digest()
    assert not [bad for bad in skipped if chr(10) in bad.reason or not bad.reason]
"""


def run_import(source: Path, place: Path) -> None:
    """In a process of its own: a reader that crashes must not take the tests with it."""
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", IMPORT_TWICE, str(source), str(place)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stderr[-3000:]}"


def test_damaged_bytes_never_end_an_import(tmp_path: Path, mat_bytes: MatBytes):
    rng = np.random.default_rng(0)
    source = tmp_path / "utd"
    source.mkdir()
    wholes = [mat_bytes(rng.normal(1, 0.3, (20, 3, 4)), packed=packed) for packed in (True, False)]
    (source / mat_name(1, 1, 99)).write_bytes(wholes[0])
    for at in range(432):
        content = bytearray(wholes[at % 2])
        for _ in range(rng.integers(1, 5)):
            # Half of it where the headers are.
            stop = 200 if rng.random() < 0.5 else len(content)
            content[rng.integers(124 if rng.random() < 0.9 else 0, stop)] ^= rng.integers(1, 256)
        what = rng.random()
        if what < 0.2:
            content = content[: rng.integers(len(content))]
        elif what < 0.3:
            place = rng.integers(len(content))
            content[place:place] = rng.bytes(int(rng.integers(1, 40)))
        name = mat_name(1 + at % 27, 1 + at // 27 % 8, 1 + at // 216)
        (source / name).write_bytes(content)
    # Each byte before the numbers in turn: kinds, sizes, the variable's name.
    for at, value in product(range(128, 200), (0, 1, 8, 15, 255)):
        content = bytearray(wholes[1])
        content[at] = value
        (source / mat_name(1 + value % 27, at, 3)).write_bytes(content)
    run_import(source, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_that_would_fill_the_memory_is_skipped(
    source: Path, tmp_path: Path, mat_bytes: MatBytes, packed: bool
):
    huge = np.zeros((20, 3, 40_000))
    (source / mat_name(1, 3, 1)).write_bytes(mat_bytes(huge, packed=packed))
    _, (bad,) = import_dataset(source, tmp_path / "set", RAW)
    assert bad.name == mat_name(1, 3, 1)
    assert "16 MiB" in bad.reason
