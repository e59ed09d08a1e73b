"""Damage to padded arrays: a clip less, lengths that are not needed, or one line."""

import json
import os
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from padded_layouts import (
    AGCN,
    FAMILIES,
    NAMES,
    STGCN,
    Layout,
    clip_of,
    header,
    reasons,
)

from skelcon.data import (
    detect,
    import_dataset,
)
from skelcon.data.importers import RAW
from skelcon.errors import UserError

UserErrorOf = Callable[..., str]


@pytest.fixture(params=FAMILIES)
def layout(request: pytest.FixtureRequest) -> Layout:
    return Layout(request.param)


@pytest.mark.parametrize("fault", ["too few", "text", "truncated", "fractions", "nan", "a link"])
def test_a_bad_file_of_lengths_is_reported_and_not_needed(tmp_path: Path, fault: str):
    AGCN.write(tmp_path / "xsub", "train", NAMES[:20], num_frame=True)
    path = tmp_path / "xsub" / "train_num_frame.npy"
    whole = path.read_bytes()
    if fault == "too few":
        np.save(path, np.ones(19, int))
    elif fault == "text":
        path.write_bytes(b"1 2 3\n")
    elif fault == "truncated":
        path.write_bytes(whole[:-1])
    elif fault == "a link":
        path.unlink()
        path.symlink_to(tmp_path / "nowhere")
    else:
        np.save(path, np.full(20, np.nan if fault == "nan" else 1.5))
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW)
    assert list(reasons(skipped)) == ["xsub/train_num_frame.npy"]
    assert dataset.lengths.tolist() == [len(clip_of(name)[0]) for name in NAMES[:20]]


def test_a_truncated_array_gives_its_first_clips(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    layout.write(tmp_path / "xsub", "val", NAMES[20:30])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    clip = layout.size * 25 * 2 * 3 * 4
    whole = path.read_bytes()
    for cut, lost in ((1, 1), (clip, 1), (clip * 3 + 8, 4), (clip * 20 + 1, 20), (10**9, 20)):
        path.write_bytes(whole[:-cut] if cut < len(whole) else b"")
        dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
        assert list(reasons(skipped)) == NAMES[20 - lost : 20]
        if cut < clip * 20:
            assert all("truncated" in bad.reason for bad in skipped)
        assert dataset.clip_names == (*NAMES[: 20 - lost], *NAMES[20:30])
        assert dataset.splits["xsub"].tolist() == [0] * (20 - lost) + [1] * 10
        np.testing.assert_array_equal(dataset.clip(-1 % len(dataset)), layout.expected(NAMES[29]))
    with pytest.raises(UserError, match="bad, more than"):
        import_dataset(tmp_path, tmp_path / "again", RAW)


ABSURD = {
    "no bytes": b"",
    "text": b"no array at all\n" * 99,
    "another version": b"\x93NUMPY\x09\x00" + header((4, 3, 9, 25, 2))[8:],
    "objects": header((4, 3, 9, 25, 2), "|O"),
    "structures": header((4, 3, 9, 25, 2), [("x", "<f4"), ("y", "<f4")]),
    "text in it": header((4, 3, 9, 25, 2), "<U3"),
    "complex": header((4, 3, 9, 25, 2), "<c8"),
    "no dtype": header((4, 3, 9, 25, 2), "<f5"),
    "code": header((4, 3, 9, 25, 2), "__import__('os')"),
    "nested": b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000,
    "a huge clip": header((4, 3, 10**12, 25, 2)),
    "a huge number of bodies": header((4, 3, 9, 25, 10**30)),
    "negative": header((4, 3, -9, 25, 2)),
    "no frame": header((4, 3, 0, 25, 2)),
    "no body": header((4, 3, 9, 25, 0)),
    "4 axes": header((4, 3, 9, 25)),
    "2 coordinates": header((4, 2, 9, 25, 2)),
    "other joints": header((4, 3, 9, 17, 2)),
    "a fraction": header((4, 3, 9.0, 25, 2)),
    "a truth": header((4, 3, True, 25, 2)),
    "a header that ends": header((4, 3, 9, 25, 2))[:40],
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_headers(layout: Layout, tmp_path: Path, what: str, user_error: UserErrorOf):
    layout.write(tmp_path / "xsub", "train", NAMES[:8])
    layout.write(tmp_path / "xsub", "val", NAMES[8:12])
    path = tmp_path / "xsub" / f"val_{layout.array}.npy"
    path.write_bytes(ABSURD[what] + bytes(4000 if what != "no bytes" else 0))
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == NAMES[8:12]
    assert dataset.clip_names == tuple(NAMES[:8])
    layout.write(tmp_path / "xsub", "val", NAMES[:4])
    path.rename(tmp_path / "xsub" / f"train_{layout.array}.npy")
    for name in ("train_label.pkl", f"val_{layout.array}.npy"):
        (tmp_path / "xsub" / name).unlink(missing_ok=True)
    (tmp_path / "xsub" / "val_label.pkl").rename(tmp_path / "xsub" / "train_label.pkl")
    broken = tmp_path / "xsub" / f"train_{layout.array}.npy"
    broken.write_bytes(ABSURD[what])
    user_error(lambda: import_dataset(tmp_path, tmp_path / "no", RAW, max_bad=1), broken.name)


@pytest.mark.parametrize("count", [7, 9, 10**12])
def test_labels_that_are_not_as_many_as_clips(
    layout: Layout, tmp_path: Path, count: int, user_error: UserErrorOf
):
    layout.write(tmp_path / "xsub", "train", NAMES[:8])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    path.write_bytes(header((count, 3, layout.size, 25, 2)) + path.read_bytes()[128:])
    user_error(
        lambda: import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1),
        8,
        count,
        path.name,
        "train_label.pkl",
    )


BAD_LABELS = {
    "no pickle": b"labels",
    "no bytes": b"",
    "of three": pickle.dumps(([1], [2], [3])),
    "a dict": pickle.dumps({"a": 1}),
    "uneven": pickle.dumps((["a", "b"], [1])),
    "a function": pickle.dumps(os.getcwd),
}


@pytest.mark.parametrize("what", BAD_LABELS)
def test_labels_that_cannot_be_read(
    layout: Layout, tmp_path: Path, what: str, user_error: UserErrorOf
):
    layout.write(tmp_path / "xsub", "train", NAMES[:8])
    path = tmp_path / "xsub" / "train_label.pkl"
    path.write_bytes(BAD_LABELS[what])
    user_error(lambda: import_dataset(tmp_path, tmp_path / "set", RAW), "train_label.pkl")
    path.unlink()
    user_error(lambda: detect(tmp_path), f"train_{layout.array}.npy", "train_label.pkl")


def test_a_clip_with_a_bad_label_is_skipped(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    labels: list[object] = [int(name[-3:]) - 1 for name in NAMES[:20]]
    bad = {0: -1, 3: 60, 5: 10**30, 7: float("nan"), 9: None, 11: "1", 13: 2.5, 15: True, 17: 16}
    for at, value in bad.items():
        labels[at] = value
    labels[1], labels[2] = float(labels[1]), np.int64(labels[2])  # type: ignore[arg-type]
    with (tmp_path / "xsub" / "train_label.pkl").open("wb") as file:
        pickle.dump((NAMES[:20], labels), file)
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == [NAMES[at] for at in bad]
    assert dataset.clip_names == tuple(NAMES[at] for at in range(20) if at not in bad)


def test_a_bad_clip_among_good_ones(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    values = np.load(path)
    values[2, 1, 3, 4, 0] = np.nan
    values[4, 1, 3, 4, 0] = np.inf
    values[6] = 0
    values[8, 0, 0, 0, 0] = 1e30
    np.save(path, values)
    dataset, skipped = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert list(reasons(skipped)) == [NAMES[at] for at in (2, 4, 6, 8)]
    assert len(dataset) == 16


def test_a_signalling_nan_is_refused_and_not_warned_of(layout: Layout, tmp_path: Path):
    layout.write(tmp_path / "xsub", "train", NAMES[:20])
    path = tmp_path / "xsub" / f"train_{layout.array}.npy"
    values = np.load(path)
    values[2].view(np.uint32)[...] = 0x7F800001
    np.save(path, values)
    _, (bad,) = import_dataset(tmp_path, tmp_path / "set", RAW, max_bad=1)
    assert bad.name == NAMES[2]
    assert "not finite" in bad.reason


def test_names_that_stand_more_than_once(tmp_path: Path):
    names = [*NAMES[:6], NAMES[2]]
    STGCN.write(tmp_path / "xview", "train", names)
    STGCN.write(tmp_path / "xview", "val", [NAMES[8], NAMES[2], NAMES[9]])
    STGCN.write(tmp_path / "xsub", "train", [NAMES[2], NAMES[8], NAMES[2], *NAMES[:2]])
    STGCN.write(tmp_path / "xsub", "val", [NAMES[2], *NAMES[3:6], NAMES[9]])
    dataset, _ = import_dataset(tmp_path, tmp_path / "set", RAW)
    expected = [NAMES[2], NAMES[8], NAMES[2], *NAMES[:2], NAMES[2], *NAMES[3:6], NAMES[9]]
    assert dataset.clip_names == tuple(expected)
    assert dataset.splits["xsub"].tolist() == [0] * 5 + [1] * 5
    assert dataset.splits["xview"].tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0, 1]


def small(folder: Path, rng: np.random.Generator) -> None:
    """A whole data set of one directory, of tiny clips."""
    folder.mkdir()
    values = rng.normal(size=(5, 3, 6, 20, 1)).astype(np.float32)
    values[:, :, 4:] = values[:, :, :2]
    np.save(folder / "train_data_joint.npy", values)
    np.save(folder / "train_num_frame.npy", np.full(5, 4))
    with (folder / "train_label.pkl").open("wb") as file:
        pickle.dump((list("abcde"), [0, 1, 2, 3, 0]), file)


def test_mutations(tmp_path: Path):
    """Whatever bytes do: clips, skipped clips, or a line for the user."""
    rng = np.random.default_rng(5)
    good = tmp_path / "good"
    small(good, rng)
    contents = {path.name: path.read_bytes() for path in good.iterdir()}
    outcomes = {"clips": 0, "skipped": 0, "user": 0}
    place = tmp_path / "xsub"
    shutil.copytree(good, place)
    for _ in range(150):
        name = sorted(contents)[rng.integers(3)]
        content = bytearray(contents[name])
        for _ in range(rng.integers(1, 4)):
            stop = 128 if rng.random() < 0.6 else len(content)
            content[rng.integers(min(stop, len(content)))] = rng.integers(256)
        if rng.random() < 0.2:
            content = content[: rng.integers(len(content) + 1)]
        if rng.random() < 0.2 and name.endswith(".npy"):
            number = str(10 ** int(rng.integers(0, 19)) * int(rng.integers(-2, 9))).encode()
            digits = [at for at in range(60, 127) if content[at : at + 1].isdigit()]
            if digits:
                at = digits[rng.integers(len(digits))]
                content = content[:at] + number + content[at + 1 :]
        (place / name).write_bytes(content)
        tracemalloc.start()
        try:
            source = detect(tmp_path / "xsub")
            found = [clip for item in source.items for clip in source.read(item)]
            outcomes["skipped"] += sum(hasattr(clip, "reason") for clip in found)
            outcomes["clips"] += sum(hasattr(clip, "info") for clip in found)
            assert all("\n" not in bad.reason for bad in found if hasattr(bad, "reason"))
            assert len(found) <= 6
            source.splits([clip.info for clip in found if hasattr(clip, "info")])
        except UserError as error:
            outcomes["user"] += len(str(error).splitlines()) == 1
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 4 << 20
        (place / name).write_bytes(contents[name])
    assert min(outcomes.values()) > 15, outcomes


def test_mutations_of_one_side_never_lose_the_other(tmp_path: Path):
    rng = np.random.default_rng(6)
    small(tmp_path / "xsub", rng)
    place = tmp_path / "xsub"
    for name in ("data_joint.npy", "num_frame.npy", "label.pkl"):
        shutil.copy(place / f"train_{name}", place / f"val_{name}")
    whole = (place / "train_data_joint.npy").read_bytes()
    messages: list[str] = []
    for at in range(24):
        content = bytearray(whole)
        for _ in range(3):
            content[rng.integers(128 if at % 2 else len(content))] = rng.integers(256)
        (place / "train_data_joint.npy").write_bytes(content)
        try:
            dataset, skipped = import_dataset(place, tmp_path / "set", max_bad=1)
        except UserError as error:
            messages.append(str(error))
            continue
        assert len(dataset) + len(skipped) == 10
        assert (dataset.splits["xsub"] == 1).sum() == 5
        report = json.loads((dataset.path / "import-report.json").read_text())
        assert len(report["skipped"]) == len(skipped)
    assert all("labels for them" in line for line in messages)  # the header says another number
