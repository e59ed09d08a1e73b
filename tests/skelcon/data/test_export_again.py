"""What was exported is imported again: the same data set, to the bit, whatever was done to it."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data import (
    KINECT_V1,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
    import_dataset,
    normalise,
    open_or_import,
)
from skelcon.data.export import FORMATS, export_dataset
from skelcon.data.importers import SkippedFile

NO = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
SUFFIX = {"ctrgcn-npz": ".npz", "agcn-npy": "", "pyskl-pkl": ".pkl"}
OWN = SkeletonLayout(
    name="own of five",
    joints=("hip", "neck", "left", "right", "head"),
    bones=((1, 0), (2, 1), (3, 1), (4, 1)),
    centre=0,
    spine=(0, 1),
    shoulders=(3, 2),
)


def clip_of(rng: np.random.Generator, bodies: int, joints: int) -> np.ndarray:
    """A clip in which joints, frames and bodies are absent, but not everything."""
    clip = rng.normal(size=(bodies, rng.integers(1, 9), joints, 3))
    for _ in range(3):
        body, frame = rng.integers(bodies), rng.integers(clip.shape[1])
        what = rng.integers(5)
        if what == 0:
            clip[body, frame] = 0
        elif what == 1:
            clip[body, :, rng.integers(joints)] = 0
        elif what == 2:
            clip[body, frame, 0] = 0
        elif what == 3:
            clip[:, frame:] = 0
        else:
            clip[body] = 0
    if not clip.any():
        clip[-1, 0] = 1.0
    return clip


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    """All that a data set is made of; each clip takes part in a protocol."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    layout = draw(st.sampled_from([KINECT_V1, OWN]))
    count, bodies = draw(st.integers(2, 7)), draw(st.integers(1, 2))
    steps = Normalisation(**{name: draw(st.booleans()) for name in Normalisation.model_fields})
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    names = draw(st.lists(text, min_size=count, max_size=count, unique=True))
    clips = []
    for _ in range(count):
        clip = clip_of(rng, bodies, layout.num_joints)
        try:
            done = normalise(clip, layout, steps).astype(np.float32)
        except ValueError:  # its spine is never seen, by which it would be scaled
            done = clip.astype(np.float32)
        clips.append(done if done.any() else clip.astype(np.float32))
    sides = rng.integers(0, 2, count)
    some = np.where(rng.random(count) < 0.3, -1, rng.integers(0, 2, count))
    return {
        "infos": [
            ClipInfo(name, int(rng.integers(3)), *map(int, rng.integers(-1, 9, 3)))
            for name in names
        ],
        "clips": clips,
        "splits": {"xsub": sides, "xview": some} if draw(st.booleans()) else {"xview": sides},
        "layout": layout,
        "normalisation": steps,
        "synthetic": draw(st.booleans()),
        "class_names": draw(st.lists(text, min_size=3, max_size=4)),
    }


def written(path: Path, made: dict[str, Any]) -> SkeletonDataset:
    with DatasetWriter(
        path,
        name="made – ü",
        family="own",
        **{key: made[key] for key in ("layout", "normalisation", "synthetic", "class_names")},
    ) as writer:
        for info, clip in zip(made["infos"], made["clips"], strict=True):
            writer.add(info, clip)
        return writer.close(made["splits"])


def assert_same(back: SkeletonDataset, dataset: SkeletonDataset) -> None:
    assert back.clip_names == dataset.clip_names
    assert back.normalisation == dataset.normalisation
    for name, column in (*dataset.columns.items(), *dataset.blocks.items()):
        np.testing.assert_array_equal({**back.columns, **back.blocks}[name], column)
    assert set(back.splits) == set(dataset.splits)
    np.testing.assert_array_equal(back.frames, dataset.frames)
    assert back.fingerprint == dataset.fingerprint
    assert back.content_digest() == dataset.fingerprint
    assert (back.name, back.synthetic) == (dataset.name, dataset.synthetic)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=6, deadline=None)
@given(made=datasets())
def test_an_import_of_an_export_is_the_data_set(format: str, made: dict[str, Any]):
    if format == "ctrgcn-npz":
        made["splits"] = {"xview": np.abs(made["splits"]["xview"])}
    with TemporaryDirectory() as folder:
        dataset = written(Path(folder) / "set", made)
        out = Path(folder) / f"out{SUFFIX[format]}"
        export_dataset(dataset, out, format)
        back, skipped = import_dataset(out, Path(folder) / "back")
        assert skipped == []
        assert_same(back, dataset)
        if format != "ctrgcn-npz":
            again, _ = import_dataset(out, Path(folder) / "again", NO)
            assert_same(again, dataset)  # what was done cannot be undone, nor is it done again


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., SkeletonDataset]:
    """Eight clips of three bodies (or fewer) of the own layout, of two protocols."""

    def made(bodies: int = 3, steps: Normalisation = NO, **other: Any) -> SkeletonDataset:
        rng = np.random.default_rng(3)
        raw = [rng.normal(size=(bodies, 4 + at, 5, 3)) for at in range(8)]
        values = {
            "infos": [ClipInfo(f"take {at}", at % 3, at, at % 2) for at in range(8)],
            "clips": [normalise(clip, OWN, steps).astype(np.float32) for clip in raw],
            "splits": {"xsub": np.arange(8) % 2, "xview": np.array([0, 1, 1, 0, -1, 0, -1, 1])},
            "layout": OWN,
            "normalisation": steps,
            "synthetic": True,
            "class_names": ["a", "b", "c"],
        }
        return written(tmp_path / "set", values | other)

    return made


@pytest.mark.parametrize("format", ["agcn-npy", "pyskl-pkl"])
def test_all_bodies_come_back_unless_fewer_are_asked_for(
    made: Callable[..., SkeletonDataset], tmp_path: Path, format: str
):
    dataset = made()
    out = tmp_path / f"out{SUFFIX[format]}"
    export_dataset(dataset, out, format)
    assert_same(open_or_import(out)[0], dataset)  # as --data reads it
    fewer, _ = import_dataset(out, tmp_path / "fewer", max_bodies=2)
    assert fewer.max_bodies == 2
    centred, _ = import_dataset(out, tmp_path / "centred", Normalisation(spine_to_z=False))
    assert centred.normalisation == Normalisation(spine_to_z=False)
    wanted = normalise(dataset.clip(5), OWN, centred.normalisation).astype(np.float32)
    np.testing.assert_array_equal(centred.clip(5), wanted)


def test_one_protocol_of_several(made: Callable[..., SkeletonDataset], tmp_path: Path):
    dataset = made()
    export_dataset(dataset, tmp_path / "out", "agcn-npy")
    (tmp_path / "out" / "xview").rename(tmp_path / "elsewhere")
    back, skipped = import_dataset(tmp_path / "elsewhere", tmp_path / "back")
    assert skipped == []
    assert back.clip_names == tuple(f"take {at}" for at in (0, 1, 2, 3, 5, 7))
    assert back.splits["xview"].tolist() == [0, 1, 1, 0, 0, 1]
    assert back.splits["xsub"].tolist() == [0, 1, 0, 1, 1, 1]
    np.testing.assert_array_equal(back.clip(4), dataset.clip(5))


def test_an_archive_that_was_compressed_since(made: Callable[..., SkeletonDataset], tmp_path: Path):
    dataset = made(2, Normalisation())
    export_dataset(dataset, tmp_path / "out.npz", "ctrgcn-npz", "xsub")
    with np.load(tmp_path / "out.npz") as arrays:
        np.savez_compressed(tmp_path / "packed.npz", **arrays)
    back, skipped = import_dataset(tmp_path / "packed.npz", tmp_path / "back")
    assert skipped == []
    assert sorted(back.clip_names) == sorted(dataset.clip_names)
    for at, name in enumerate(back.clip_names):
        index = dataset.clip_names.index(name)
        np.testing.assert_array_equal(back.clip(at), dataset.clip(index))
        assert back.splits["xsub"][at] == dataset.splits["xsub"][index]


@pytest.mark.parametrize("format", ["ctrgcn-npz", "pyskl-pkl"])
def test_an_export_without_its_suffix(
    made: Callable[..., SkeletonDataset], tmp_path: Path, format: str
):
    dataset = made(2, steps=Normalisation(), splits={"xsub": np.arange(8) % 2})
    (written,) = export_dataset(dataset, tmp_path / "out", format)
    written.rename(tmp_path / "out")  # (an archive is given its suffix)
    assert_same(import_dataset(tmp_path / "out", tmp_path / "back")[0], dataset)


@pytest.mark.parametrize("format", FORMATS)
def test_names_that_are_no_text(
    made: Callable[..., SkeletonDataset],
    tmp_path: Path,
    user_error: Callable[..., str],
    format: str,
):
    infos = [ClipInfo(f"take \udc80 {at}", 0) for at in range(8)]
    dataset = made(2, infos=infos)
    user_error(lambda: export_dataset(dataset, tmp_path / "out", format, "xsub"), "U+DC80", "UTF-8")
    assert not (tmp_path / "out").exists()


def spoiled(out: Path, format: str, change: Callable[[str], str]) -> None:
    """Change the record that is in an export."""
    if format == "agcn-npy":
        for file in out.glob("*/skelcon.json"):
            file.write_text(change(file.read_text()))
    elif format == "pyskl-pkl":
        content = pickle.loads(out.read_bytes())
        out.write_bytes(pickle.dumps({**content, "skelcon": change(content["skelcon"])}))
    else:
        with np.load(out) as arrays:
            text = change(arrays["skelcon"].tobytes().decode())
            np.savez(out, **{**arrays, "skelcon": np.frombuffer(text.encode(), np.uint8)[None]})


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda text: text[:-9], "damaged"),
        (lambda text: "[1]", "damaged"),
        (lambda text: json.dumps({**json.loads(text), "format": 2}), "format"),
        (lambda text: json.dumps({**json.loads(text), "label": [0]}), "differ in length"),
        (lambda text: json.dumps({**json.loads(text), "layout": {"name": "x"}}), "layout"),
        (lambda text: json.dumps({**json.loads(text), "bodies": 0}), "bodies"),
        (lambda text: text.replace('"xsub":[0', '"xsub":[10000000000000000000000'), "splits"),
        (
            lambda text: json.dumps({**json.loads(text), "splits": {"xsub": [0] * 8}}),
            "of other clips|was changed",
        ),
    ],
)
def test_a_damaged_record_is_reported_and_no_clip_is_lost(
    made: Callable[..., SkeletonDataset],
    tmp_path: Path,
    format: str,
    change: Callable[[str], str],
    named: str,
):
    # (a layout that is known by its number of joints)
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(1, 5, 20, 3)).astype(np.float32) for _ in range(8)]
    dataset = made(layout=KINECT_V1, clips=clips)
    out = tmp_path / f"out{SUFFIX[format]}"
    export_dataset(dataset, out, format, "xsub")
    spoiled(out, format, change)
    back, skipped = import_dataset(out, tmp_path / "back", NO, max_bad=0.2)
    assert [type(one) for one in skipped] == [SkippedFile]
    assert re.search(named, skipped[0].reason)
    assert "read as any other" in skipped[0].reason
    assert sorted(back.clip_names) == sorted(dataset.clip_names)
    assert back.family == format


def test_coordinates_that_were_changed_since(made: Callable[..., SkeletonDataset], tmp_path: Path):
    export_dataset(made(), tmp_path / "out", "agcn-npy", "xsub")
    place = tmp_path / "out" / "xsub"
    array = np.load(place / "train_data_joint.npy")
    array[1] *= 1.5
    np.save(place / "train_data_joint.npy", array)
    back, skipped = import_dataset(tmp_path / "out", tmp_path / "back", max_bad=0.5)
    assert [one.name for one in skipped] == ["take 2"]
    assert "remove skelcon.json" in skipped[0].reason
    assert len(back) == 7
    (place / "val_as_they_are.npy").write_bytes(b"")
    back, skipped = import_dataset(tmp_path / "out", tmp_path / "back", max_bad=0.9)
    assert [one.name for one in skipped] == ["take 1", "take 2", "take 3", "take 5", "take 7"]


@pytest.mark.parametrize("format", FORMATS)
def test_labels_that_were_changed_since(
    made: Callable[..., SkeletonDataset], tmp_path: Path, format: str
):
    out = tmp_path / f"out{SUFFIX[format]}"
    export_dataset(made(2), out, format, "xsub")
    spoiled(
        out,
        format,
        lambda text: json.dumps({**json.loads(text), "label": [0, 1, 2, 0, 1, 2, 0, 2]}),
    )
    back, skipped = import_dataset(out, tmp_path / "back", max_bad=0.5)
    assert [one.name for one in skipped] == ["take 7"]
    assert "exported with 2" in skipped[0].reason
    assert back.splits["xsub"].tolist() == [0, 1, 0, 1, 0, 1, 0]
