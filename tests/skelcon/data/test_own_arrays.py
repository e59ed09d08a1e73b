"""Arrays of clips in any order of axes, padded in any way, with what is known of the clips."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from own_recordings import (
    ACTIONS,
    Made,
    digest,
    imported,
    made_clips,
    padded,
    write_layout,
    write_npz,
)

from skelcon.data.importers.own.axes import Axes, fitting

CLIPS = made_clips()
X = padded(CLIPS)


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}


@pytest.fixture
def plain(tmp_path: Path, own: dict[str, str]) -> str:
    dataset, _ = imported(write_npz(tmp_path / "plain.npz", CLIPS), tmp_path / "plain", own)
    return digest(dataset)


def test_axes_in_any_order_are_the_same_clips(tmp_path: Path, own: dict, plain: str):
    bodies = np.stack([X, np.zeros_like(X)], axis=1)  # N M T V C
    for order in itertools.islice(itertools.permutations("MTVC"), 0, None, 5):
        axes = "N" + "".join(order)
        x = bodies.transpose([0, *("NMTVC".index(letter) for letter in order)])
        npz = write_npz(tmp_path / "own.npz", CLIPS, x=x)
        dataset, _ = imported(npz, tmp_path / "out", {**own, "axes": axes})
        assert digest(dataset) == plain, axes
    flat = bodies.transpose(0, 2, 1, 3, 4).reshape(len(X), X.shape[1], -1)
    npz = write_npz(tmp_path / "own.npz", CLIPS, x=flat)
    dataset, _ = imported(npz, tmp_path / "out", own)  # which alone fits
    assert digest(dataset) == plain


def test_axes_that_may_be_others_are_asked_for():
    assert str(fitting(("NTVC", "NMTVC", "NCTVM"), (9, 3, 5, 4, 2), 4, [3])) == "NCTVM"
    with pytest.raises(ValueError, match="NMTVC or NCTVM"):
        fitting(("NTVC", "NMTVC", "NCTVM"), (9, 3, 5, 4, 3), 4, [3])
    with pytest.raises(ValueError, match="none of the axes"):
        fitting(("NTVC",), (9, 5, 7, 3), 4, [3])


@pytest.mark.parametrize(
    ("axes", "shape", "reason"),
    [
        ("NTVC", (2, 5, 7, 3), "7 is not 4 V"),
        ("NTVC", (2, 5, 4), "does not have the axes"),
        ("NT(MVC)", (2, 5, 13), "13 is not"),
    ],
)
def test_axes_that_do_not_fit_are_reported(axes: str, shape: tuple[int, ...], reason: str):
    with pytest.raises(ValueError, match=reason):
        Axes.parse(axes).sizes(shape, {"V": 4, "C": 3})


@pytest.mark.parametrize("padding", ["zeros", "nan", "lengths", "replay", "nan only"])
def test_padding_is_taken_off(tmp_path: Path, own: dict, plain: str, padding: str):
    x, others, options = X.copy(), {}, {}
    if padding.startswith("nan"):
        x = padded(CLIPS, np.nan)
        options = {"padding": "nan"} if "only" in padding else {}
    elif padding == "lengths":
        x = padded(CLIPS, 9.0)
        others = {"lengths": np.array([len(clip.values) for clip in CLIPS])}
    elif padding == "replay":
        for row, clip in zip(x, CLIPS, strict=True):
            row[:] = np.resize(clip.values, row.shape)
        options = {"padding": "replay"}
    npz = write_npz(tmp_path / "own.npz", CLIPS, x=x, **others)
    dataset, _ = imported(npz, tmp_path / "out", {**own, **options})
    assert digest(dataset) == plain
    assert dataset.lengths.tolist() == [len(clip.values) for clip in CLIPS]


def test_zeros_at_the_end_are_frames_where_nan_is_padding(tmp_path: Path, own: dict):
    x = np.concatenate([X, np.zeros_like(X[:, :2]), np.full_like(X[:, :1], np.nan)], axis=1)
    npz = write_npz(tmp_path / "own.npz", CLIPS, x=x)
    dataset, _ = imported(npz, tmp_path / "out", {**own, "padding": "nan"})
    assert set(dataset.lengths.tolist()) == {X.shape[1] + 2}


@pytest.mark.parametrize(
    "labels",
    [
        np.eye(3)[[ACTIONS.index(clip.label) for clip in CLIPS]],
        np.array([ACTIONS.index(clip.label) for clip in CLIPS], np.float32),
        np.array([[ACTIONS.index(clip.label)] for clip in CLIPS], np.uint32),
    ],
    ids=["one-hot", "float", "column"],
)
def test_labels_of_any_kind(tmp_path: Path, own: dict, labels: np.ndarray):
    npz = write_npz(tmp_path / "own.npz", CLIPS, y=labels)
    dataset, _ = imported(npz, tmp_path / "out", {**own, "classes": {0: "sit", 1: "b", 2: "c"}})
    assert dataset.labels.tolist() == [ACTIONS.index(clip.label) for clip in CLIPS]
    assert dataset.class_names == ("sit", "b", "c")


def test_an_array_for_each_side_is_a_split(tmp_path: Path, own: dict, plain: str):
    names = np.array([clip.name for clip in CLIPS])
    label = np.array([clip.label for clip in CLIPS])
    train = {"x_train": X[:8], "y_train": label[:8], "names_train": names[:8]}
    test = {"x_test": X[8:], "y_test": label[8:], "names_test": names[8:]}
    np.savez(tmp_path / "own.npz", **train, **test)
    dataset, _ = imported(tmp_path / "own.npz", tmp_path / "out", {"layout": own["layout"]})
    assert dataset.splits["split"].tolist() == [0] * 8 + [1] * 4
    assert digest(dataset) == plain


def test_an_npy_file_with_labels_beside_it(tmp_path: Path, own: dict, plain: str):
    np.save(tmp_path / "own.npy", X)
    np.save(tmp_path / "people.npy", [clip.subject for clip in CLIPS])
    (tmp_path / "labels.txt").write_text("".join(f"{clip.label}\n" for clip in CLIPS))
    keys = {"label": "labels.txt", "subject": "people.npy"}
    dataset, _ = imported(tmp_path / "own.npy", tmp_path / "out", {**own, "keys": keys})
    assert digest(dataset) == plain
    assert dataset.class_names == ACTIONS


def test_names_that_are_there_twice_are_numbered_and_reported(tmp_path: Path, own: dict):
    npz = write_npz(tmp_path / "own.npz", CLIPS, names=np.array(["a"] * len(CLIPS)))
    dataset, _ = imported(npz, tmp_path / "out", own)
    assert dataset.clip_names[:2] == ("a", "a-2")
    assert "these clips get numbers" in (tmp_path / "out" / "import-report.json").read_text()


def test_a_bad_clip_is_skipped_and_the_others_are_not(tmp_path: Path, own: dict):
    x, labels = X.copy(), np.array([clip.label for clip in CLIPS])
    x[1], x[2, 0, 0, 0], labels[3] = 0, np.inf, ""
    npz = write_npz(tmp_path / "own.npz", CLIPS, x=x, y=labels)
    dataset, skipped = imported(npz, tmp_path / "out", own, max_bad=0.5)
    assert {bad.name: bad.reason.split(",")[0] for bad in skipped} == {
        CLIPS[1].name: "no body is present in any frame",
        CLIPS[2].name: "a coordinate is not finite",
        CLIPS[3].name: "has no label",
    }
    assert dataset.clip_names == tuple(
        clip.name for at, clip in enumerate(CLIPS) if at not in (1, 2, 3)
    )


def test_a_truncated_file_keeps_what_is_whole(tmp_path: Path, own: dict):
    np.save(tmp_path / "own.npy", X)
    (tmp_path / "labels.txt").write_text("".join(f"{clip.label}\n" for clip in CLIPS))
    content = (tmp_path / "own.npy").read_bytes()
    (tmp_path / "own.npy").write_bytes(content[: -X[0].nbytes - 1])
    options = {**own, "keys": {"label": "labels.txt"}, "split": "random"}
    dataset, skipped = imported(tmp_path / "own.npy", tmp_path / "out", options, max_bad=0.5)
    assert len(dataset) == len(CLIPS) - 2
    assert [bad.name for bad in skipped] == ["clip-00010", "clip-00011"]


@pytest.mark.parametrize(
    ("others", "options", "named"),
    [
        ({"x": X[:, :, :3]}, {}, ("4 joints",)),
        ({"y": np.arange(5)}, {}, ("y", "5 entries", "12 clips")),
        ({"y": np.zeros((12, 3, 3))}, {}, ("y", "(12, 3, 3)")),
        ({"x": np.array(["a"])}, {}, ("x", "not real numbers")),
        ({"x": X[..., :2]}, {}, ("none of the axes",)),
        ({"x": np.concatenate([X, X[..., :1]], -1)}, {"axes": "NTVC"}, ("4 numbers", "--columns")),
        ({"setup": np.arange(12), "group": np.arange(12)}, {}, ("setup", "group")),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(
    tmp_path: Path,
    own: dict,
    user_error: Callable[..., str],
    others: dict,
    options: dict,
    named: tuple[str, ...],
):
    npz = write_npz(tmp_path / "own.npz", CLIPS, **others)
    user_error(lambda: imported(npz, tmp_path / "out", {**own, **options}), "own.npz", *named)


def test_objects_are_not_unpickled(tmp_path: Path, own: dict, user_error: Callable[..., str]):
    ragged = np.array([clip.values for clip in CLIPS], dtype=object)
    npz = write_npz(tmp_path / "own.npz", CLIPS, x=ragged)
    user_error(lambda: imported(npz, tmp_path / "out", own), "own.npz", "x", "object", "lengths")


def test_another_name_of_the_array(
    tmp_path: Path, own: dict, plain: str, user_error: Callable[..., str]
):
    clips: list[Made] = CLIPS
    facts = {
        "y": np.array([clip.label for clip in clips]),
        "subject": np.array([clip.subject for clip in clips]),
    }
    np.savez(tmp_path / "own.npz", skeletons=X, **facts)
    user_error(lambda: imported(tmp_path / "own.npz", tmp_path / "out", own), "--key x=")
    keys = {"x": "skeletons"}
    dataset, _ = imported(tmp_path / "own.npz", tmp_path / "out", {**own, "keys": keys})
    assert digest(dataset) == plain
