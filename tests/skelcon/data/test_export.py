import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from exported_clips import COUNT, SIDES, moving, own_clips, written
from typer.testing import CliRunner

from skelcon.cli.data_export import export
from skelcon.data import (
    KINECT_V1,
    KINECT_V2,
    ClipInfo,
    Normalisation,
    SkeletonDataset,
    detect,
    import_dataset,
    normalise,
)
from skelcon.data.export import FORMATS, export_dataset
from skelcon.errors import UserError

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
UserErrorOf = Callable[..., str]
Write = Callable[..., SkeletonDataset]


@pytest.fixture
def made(write: Write, tmp_path: Path) -> Callable[[str], SkeletonDataset]:
    return lambda kind: written(write, tmp_path / f"{kind}-made", kind)


Made = Callable[[str], SkeletonDataset]


def clip_of(dataset: SkeletonDataset, name: str) -> np.ndarray:
    """A clip without the absent bodies behind its last one."""
    clip = dataset.clip(dataset.clip_names.index(name))
    return clip[: np.flatnonzero(clip.any(axis=(1, 2, 3)))[-1] + 1]


CASES = [
    ("ctrgcn-npz", "ntu", "xsub"),
    ("ctrgcn-npz", "ntu", "CV"),
    ("ctrgcn-npz", "own", None),
    ("agcn-npy", "ntu", None),
    ("agcn-npy", "ntu", "xview"),
    ("agcn-npy", "own", None),
    ("pyskl-pkl", "ntu", None),
    ("pyskl-pkl", "ntu", "xview"),
    ("pyskl-pkl", "own", None),
    ("ctrgcn-npz", "sdk", None),
    ("agcn-npy", "sdk", None),
    ("pyskl-pkl", "sdk", None),
]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("format", "kind", "protocol"), CASES)
def test_what_is_exported_is_imported_again(
    made: Made, tmp_path: Path, format: str, kind: str, protocol: str | None, named: bool
):
    dataset = made(kind)
    suffix = {"ctrgcn-npz": ".npz", "agcn-npy": "", "pyskl-pkl": ".pkl"}[format]
    written = export_dataset(dataset, tmp_path / f"out{suffix}", format, protocol)
    assert all(file.is_file() for file in written)
    out = tmp_path / f"out{suffix}"
    back, skipped = import_dataset(detect(out, format if named else None), tmp_path / "back", RAW)
    assert skipped == []
    assert back.family == dataset.family
    assert back.layout == dataset.layout
    assert back.normalisation == RAW
    assert back.num_classes == dataset.num_classes
    wanted = {"CV": ["xview"], None: list(SIDES[kind])}.get(protocol, [protocol])
    assert set(wanted) == set(back.splits)
    sides = {name: SIDES[kind][name] for name in wanted}
    if format == "pyskl-pkl":
        expected = list(dataset.clip_names)
    else:
        part = np.any([row >= 0 for row in sides.values()], axis=0)
        expected = [dataset.clip_names[at] for at in np.flatnonzero(part)]
    assert list(back.clip_names) == expected
    for at, name in enumerate(back.clip_names):
        index = dataset.clip_names.index(name)
        assert back.labels[at] == dataset.labels[index]
        assert back.lengths[at] == dataset.lengths[index]
        np.testing.assert_array_equal(clip_of(back, name), clip_of(dataset, name))
        for protocol_name, row in sides.items():
            assert back.splits[protocol_name][at] == row[index]
        for column in ("subject", "camera", "setup"):
            assert back.columns[column][at] == dataset.columns[column][index]


def test_arrays_of_ctrgcn(made: Made, tmp_path: Path):
    dataset = made("ntu")
    (out,) = export_dataset(dataset, tmp_path / "new" / "NTU60_CV", "ctrgcn-npz", "xview")
    assert out == tmp_path / "new" / "NTU60_CV.npz"
    with np.load(out) as arrays:
        for part, side in (("train", 0), ("test", 1)):
            clips = np.flatnonzero(SIDES["ntu"]["xview"] == side)
            x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
            assert x.dtype == np.float32
            assert x.shape == (len(clips), 320, 150)
            assert y.shape == (len(clips), 60)
            assert y.dtype.kind == "f"
            assert (y.sum(axis=1) == 1).all()
            assert np.where(y > 0)[1].tolist() == dataset.labels[clips].tolist()
            assert arrays[f"names_{part}"].tolist() == [dataset.clip_names[at] for at in clips]
            assert arrays[f"num_frame_{part}"].tolist() == dataset.lengths[clips].tolist()
            for row, at in zip(x.reshape(len(clips), 320, 2, 25, 3), clips, strict=True):
                length = dataset.lengths[at]
                np.testing.assert_array_equal(row[:length].transpose(1, 0, 2, 3), dataset.clip(at))
                assert not row[length:].any()


def test_arrays_of_agcn(made: Made, tmp_path: Path):
    dataset = made("ntu")
    written = export_dataset(dataset, tmp_path / "out", "agcn-npy")
    expected = [
        tmp_path / "out" / protocol / f"{part}_{what}"
        for protocol in ("xsub", "xview")
        for part in ("train", "val")
        for what in ("as_they_are.npy", "data_joint.npy", "label.pkl", "num_frame.npy")
    ]
    expected += [
        tmp_path / "out" / protocol / file
        for protocol in ("xsub", "xview")
        for file in ("layout.txt", "skelcon.json")
    ]
    assert written == sorted(expected)
    for protocol, row in SIDES["ntu"].items():
        for part, side in (("train", 0), ("val", 1)):
            clips = np.flatnonzero(row == side)
            start = tmp_path / "out" / protocol / part
            data = np.load(f"{start}_data_joint.npy", mmap_mode="r")
            assert data.dtype == np.float32
            assert data.shape == (len(clips), 3, 320, 25, 2)
            names, labels = pickle.loads(Path(f"{start}_label.pkl").read_bytes())
            assert names == [dataset.clip_names[at] for at in clips]
            assert labels == dataset.labels[clips].tolist()
            assert {type(label) for label in labels} == {int}
            lengths = np.load(f"{start}_num_frame.npy")
            assert lengths.tolist() == dataset.lengths[clips].tolist()
            for stored, at in zip(data, clips, strict=True):
                clip = normalise(dataset.clip(at), KINECT_V2, Normalisation()).astype(np.float32)
                for frame in range(320):
                    expected_frame = clip[:, frame % clip.shape[1]].transpose(2, 1, 0)
                    np.testing.assert_array_equal(stored[:, frame], expected_frame)


def test_pickle_of_pyskl(made: Made, tmp_path: Path):
    dataset = made("ntu")
    (out,) = export_dataset(dataset, tmp_path / "ntu60_3d.pkl", "pyskl-pkl")
    content = pickle.loads(out.read_bytes())
    assert set(content) == {"split", "annotations", "layout", "skelcon"}
    names = np.array(dataset.clip_names)
    assert content["split"] == {
        f"{protocol}_{part}": names[SIDES["ntu"][protocol] == side].tolist()
        for protocol in ("xsub", "xview")
        for part, side in (("train", 0), ("val", 1))
    }
    assert type(content["annotations"]) is list
    for at, annotation in enumerate(content["annotations"]):
        keypoint = annotation.pop("keypoint")
        assert keypoint.dtype == np.float32
        assert keypoint.flags.writeable
        np.testing.assert_array_equal(keypoint, clip_of(dataset, names[at]))
        assert annotation == {
            "frame_dir": names[at],
            "label": dataset.labels[at],
            "total_frames": len(keypoint[0]),
        }
    # numpy 1 lacks the modules by which numpy 2 pickles arrays.
    assert b"numpy._core" not in out.read_bytes()
    (other,) = export_dataset(made("own"), tmp_path / "own.pkl", "pyskl-pkl")
    assert set(pickle.loads(other.read_bytes())["split"]) == {"xset_train", "xset_val"}


def test_other_trainers_take_two_bodies(made: Made, tmp_path: Path):
    dataset = made("own")
    (out,) = export_dataset(dataset, tmp_path / "own.npz", "ctrgcn-npz")
    with np.load(out) as arrays:
        assert arrays["x_train"].shape == (5, 300, 2 * 20 * 3)
        assert not arrays["x_train"].reshape(5, 300, 2, 20, 3)[:, :, 1].any()
    export_dataset(dataset, tmp_path / "own", "agcn-npy")
    assert np.load(tmp_path / "own" / "xsetup" / "val_data_joint.npy").shape == (5, 3, 300, 20, 2)


@pytest.mark.parametrize("format", FORMATS)
def test_a_protocol_of_one_side(made: Made, write: Write, tmp_path: Path, format: str):
    infos, clips = own_clips()
    dataset = write(
        tmp_path / "set",
        infos,
        clips,
        {"xsub": np.zeros(COUNT, np.int8)},
        layout=KINECT_V1,
        normalisation=RAW,
        class_names=list("abcde"),
    )
    out = tmp_path / ("out" if format == "agcn-npy" else f"out.{format[-3:]}")
    export_dataset(dataset, out, format)
    back, skipped = import_dataset(detect(out), tmp_path / "back", RAW)
    assert skipped == []
    assert back.splits["xsub"].tolist() == [0] * COUNT


@pytest.mark.parametrize(
    ("stated", "protocol"),
    [
        (["xview"], "xview"),
        (["Cross-Setup"], "xsetup"),
        (["none"], "xsub"),
        ([], "xsub"),
        ("xview", "xsub"),
        ([3], "xsub"),
        (["x" * 10**4], "xsub"),
        (["\ud800"], "xsub"),
    ],
)
def test_the_protocol_that_an_archive_states(
    made: Made, tmp_path: Path, stated: object, protocol: str
):
    (out,) = export_dataset(made("own"), tmp_path / "own.npz", "ctrgcn-npz")
    with np.load(out) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "skelcon"}
        np.savez(tmp_path / "other.npz", **{**kept, "protocol": np.array(stated)})
    back, skipped = import_dataset(tmp_path / "other.npz", tmp_path / "back", RAW)
    assert skipped == []
    assert list(back.splits) == [protocol]


@pytest.mark.parametrize("format", FORMATS)
def test_progress_is_reported(made: Made, tmp_path: Path, format: str):
    done = []
    dataset = made("own")
    export_dataset(dataset, tmp_path / "out", format, progress=lambda *counts: done.append(counts))
    total = COUNT if format == "pyskl-pkl" else COUNT - 2
    assert done == [(at + 1, total) for at in range(total)]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["file", "directory", "link to nowhere"])
def test_nothing_is_overwritten(
    made: Made, tmp_path: Path, user_error: UserErrorOf, format: str, kind: str
):
    out = tmp_path / "there.npz"
    if kind == "file":
        out.write_text("mine")
    elif kind == "directory":
        out.mkdir()
    else:
        out.symlink_to(tmp_path / "nowhere")
    dataset = made("own")
    user_error(lambda: export_dataset(dataset, out, format), out, "exists")
    if format == "ctrgcn-npz":
        user_error(lambda: export_dataset(dataset, out.with_suffix(""), format), out, "exists")
    assert out.is_symlink() or out.is_dir() or out.read_text() == "mine"


@pytest.mark.parametrize("format", FORMATS)
def test_what_appears_meanwhile_is_not_overwritten(
    made: Made, tmp_path: Path, user_error: UserErrorOf, format: str
):
    out = tmp_path / "out.npz"
    dataset = made("own")

    def progress(done: int, total: int) -> None:
        if not out.exists():
            out.write_text("mine")

    user_error(lambda: export_dataset(dataset, out, format, None, progress), out, "exists")
    assert out.read_text() == "mine"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt("stopped"), OSError(28, "No space left on device")]
)
def test_an_interrupted_export_leaves_nothing(
    made: Made, tmp_path: Path, format: str, error: BaseException
):
    dataset = made("own")
    before = sorted(tmp_path.iterdir())

    def progress(done: int, total: int) -> None:
        if done == 7:
            raise error

    with pytest.raises((KeyboardInterrupt, UserError), match=r"stopped|No space left"):
        export_dataset(dataset, tmp_path / "out", format, None, progress)
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_exported(made: Made, write: Write, tmp_path: Path, user_error: UserErrorOf):
    ntu, own, out = made("ntu"), made("own"), tmp_path / "out"
    before = sorted(tmp_path.iterdir())

    def refused(named: tuple[str, ...], *arguments: Any) -> None:
        user_error(lambda: export_dataset(*arguments), *named)
        assert sorted(tmp_path.iterdir()) == before

    refused(("pyskl-pk'", "did you mean 'pyskl-pkl'"), ntu, out, "pyskl-pk")
    refused(("xsub, xview", "--protocol"), ntu, out, "ctrgcn-npz")
    for format in FORMATS:
        refused(("xsetup", "xsub, xview"), ntu, out, format, "xset")
        refused(("xviw", "xview"), ntu, out, format, "xviw")
    refused(("NTU60_CS.npz", "xsub", "xview"), ntu, tmp_path / "NTU60_CS", "ctrgcn-npz", "xview")
    refused(
        ("cannot write", "meta.json' is not a directory"),
        own,
        own.path / "meta.json" / "out",
        "pyskl-pkl",
    )


def test_data_sets_that_a_layout_cannot_hold(write: Write, tmp_path: Path, user_error: UserErrorOf):
    infos, clips = own_clips()

    def made(name: str, infos: list, clips: list, splits: dict) -> SkeletonDataset:
        return write(
            tmp_path / name,
            infos,
            clips,
            splits,
            layout=KINECT_V1,
            normalisation=RAW,
            class_names=list("abcde"),
        )

    out = tmp_path / "out"
    bare = made("bare", infos, clips, {})
    for format in ("ctrgcn-npz", "agcn-npy"):
        user_error(lambda format=format: export_dataset(bare, out, format), "no protocol", format)
    export_dataset(bare, out, "pyskl-pkl")
    out.unlink()
    crowd = made("crowd", infos, [moving(1, 3, 4, 20)] * COUNT, SIDES["own"])
    user_error(lambda: export_dataset(crowd, out, "ctrgcn-npz"), "--max-bodies", 3)
    export_dataset(crowd, out, "agcn-npy")
    same = made("same", [ClipInfo("one", 0), *infos[1:-1], ClipInfo("one", 1)], clips, {})
    user_error(lambda: export_dataset(same, tmp_path / "p", "pyskl-pkl"), "'one'")


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_data(write: Write, tmp_path: Path, format: str):
    frames = 80
    infos = [ClipInfo(f"clip {at}", 0) for at in range(300)]
    clip = moving(0, 2, frames, 25)
    dataset = write(
        tmp_path / "set",
        infos,
        [clip] * len(infos),
        {"xsub": np.arange(300) % 2},
        layout=KINECT_V2,
        class_names=["a", "b"],
    )
    tracemalloc.start()
    try:
        export_dataset(dataset, tmp_path / "out", format)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert dataset.frames.nbytes > 13 << 20
    assert peak < 4 << 20


def test_the_command(made: Made, tmp_path: Path):
    app = typer.Typer()
    app.command()(export)
    dataset = made("ntu")
    runner = CliRunner()
    arguments = [str(dataset.path), str(tmp_path / "out"), "--format", "agcn-npy"]
    result = runner.invoke(app, [*arguments, "--protocol", "cross_view"])
    assert result.exit_code == 0, result.output
    for part in ("train", "val"):
        assert str(tmp_path / "out" / "xview" / f"{part}_data_joint.npy") in result.output
    assert "centre, spine-to-z, shoulders-to-x applied to what was written" in result.output
    assert not (tmp_path / "out" / "xsub").exists()
    # What was exported is a data set in a known layout itself.
    arguments = [str(tmp_path / "out"), str(tmp_path / "cv.npz"), "--format", "ctrgcn-npz"]
    result = runner.invoke(app, [*arguments, "--protocol", "xview"])
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "cv.npz") as arrays:
        assert len(arrays["x_train"]) == (SIDES["ntu"]["xview"] == 0).sum()
    assert "normalised" not in result.output
    again = runner.invoke(app, arguments)
    assert isinstance(again.exception, UserError)
    assert "exists" in str(again.exception)
    wrong = runner.invoke(app, [*arguments[:2], "--format", "ctrgcn"])
    assert wrong.exit_code == 2
    assert "'ctrgcn-npz'" in wrong.output
    assert runner.invoke(app, arguments[:2]).exit_code == 2
