import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data import (
    UNKNOWN,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
)
from skelcon.errors import UserError

Write = Callable[..., SkeletonDataset]
COLUMNS = ("label", "subject", "camera", "setup")

numbers = st.integers(UNKNOWN, 200)
infos = st.builds(
    ClipInfo,
    name=st.text(max_size=12),
    label=st.integers(0, 2),
    subject=numbers,
    camera=numbers,
    setup=numbers,
)


@st.composite
def clips(draw: st.DrawFn) -> np.ndarray:
    """A float32 clip (1-3, T, 4, 3) whose bodies are each absent, whole, or in some range."""
    bodies, frames = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1.0, 1e-41, 1e38]))
    clip = np.zeros((bodies, frames, 4, 3), np.float32)
    for body in range(bodies):
        start = draw(st.integers(0, frames))
        stop = draw(st.integers(start, frames))
        clip[body, start:stop] = rng.uniform(-1, 1, (stop - start, 4, 3)) * scale
        clip[body, start:stop][rng.random((stop - start, 4)) < 0.2] = 0  # a joint not found
    if not clip.any():
        clip[draw(st.integers(0, bodies - 1)), draw(st.integers(0, frames - 1)), 1, 2] = scale
    return clip


@st.composite
def sources(draw: st.DrawFn) -> tuple[list[ClipInfo], list[np.ndarray], dict[str, np.ndarray]]:
    pairs = draw(st.lists(st.tuples(infos, clips()), min_size=1, max_size=6))
    names = draw(st.sets(st.sampled_from(["xsub", "xview", "xsetup"])))
    row = st.lists(st.integers(-1, 1), min_size=len(pairs), max_size=len(pairs))
    splits = {name: np.array(draw(row)) for name in sorted(names)}
    return [info for info, _ in pairs], [clip for _, clip in pairs], splits


def is_mapped(values: np.ndarray | None) -> bool:
    while values is not None and not isinstance(values, np.memmap):
        values = values.base
    return values is not None


@settings(max_examples=25, deadline=None)
@given(sources())
def test_what_is_written_is_what_is_opened(write: Write, source: tuple):
    infos, given_clips, splits = source
    with tempfile.TemporaryDirectory() as folder:
        closed = write(Path(folder) / "set", infos, given_clips, splits)
        opened = SkeletonDataset.open(str(Path(folder) / "set"))
        bodies = max(len(clip) for clip in given_clips)
        for dataset in (closed, opened):
            assert len(dataset) == len(infos)
            assert dataset.max_bodies == bodies
            assert dataset.lengths.tolist() == [clip.shape[1] for clip in given_clips]
            assert dataset.labels.tolist() == [info.label for info in infos]
            for name in COLUMNS:
                values = [getattr(info, name) for info in infos]
                assert dataset.columns[name].tolist() == values
            assert dataset.clip_names == tuple(info.name for info in infos)
            assert dataset.class_names == ("sit", "stand", "jump")
            assert set(dataset.splits) == set(splits)
            for name, row in splits.items():
                assert dataset.splits[name].dtype == np.int8
                np.testing.assert_array_equal(dataset.splits[name], row)
            for at, clip in enumerate(given_clips):
                found = dataset.clip(at)
                assert found.dtype == np.float32
                np.testing.assert_array_equal(found[: len(clip)], clip)
                assert not found[len(clip) :].any()
            assert is_mapped(dataset.frames)
            assert dataset.frames.dtype == np.float32
            assert dataset.fingerprint == dataset.content_digest()
        assert opened.fingerprint == closed.fingerprint


@settings(max_examples=20, deadline=None)
@given(sources(), st.data())
def test_the_fingerprint_knows_each_coordinate_label_and_side(
    write: Write, source: tuple, data: st.DataObject
):
    infos, given_clips, splits = source
    at = data.draw(st.integers(0, len(infos) - 1))
    clip = given_clips[at].copy()
    place = tuple(data.draw(st.integers(0, size - 1)) for size in clip.shape)
    clip[place] = np.nextafter(clip[place], np.float32(np.inf))
    if not clip.any():
        clip[place] = 1
    moved = [*given_clips[:at], clip, *given_clips[at + 1 :]]
    label = replace(infos[at], label=(infos[at].label + 1) % 3)
    labelled = [*infos[:at], label, *infos[at + 1 :]]
    sides = {"xsub": np.zeros(len(infos), int), **splits}
    other = {**sides, "xsub": sides["xsub"].copy()}
    other["xsub"][at] = (other["xsub"][at] + 2) % 3 - 1
    with tempfile.TemporaryDirectory() as folder:
        base = write(Path(folder) / "a", infos, given_clips, sides).fingerprint
        assert write(Path(folder) / "b", infos, given_clips, sides, name="b").fingerprint == base
        assert write(Path(folder) / "a", infos, moved, sides).fingerprint != base
        assert write(Path(folder) / "a", labelled, given_clips, sides).fingerprint != base
        assert write(Path(folder) / "a", infos, given_clips, other).fingerprint != base


INFOS = (ClipInfo("one", 0, 1, 2, 3), ClipInfo("two", 2, 4, 5, 6))


def two_clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(1, 5, 4, 3)), rng.normal(size=(2, 3, 4, 3))]


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": ["sit", "stand", "hop"]},
        {"class_names": ["sit", "stand", "jump", "run"]},
        {"family": "other"},
        {"normalisation": Normalisation(centre=False)},
        {"normalisation": Normalisation(spine_to_z=False)},
        {"normalisation": Normalisation(shoulders_to_x=False)},
        {"layout": {"name": "small"}},
        {"layout": {"joints": ("base", "neck", "left", "right")}},
        {"layout": {"bones": ((1, 0), (2, 0), (3, 1))}},
        {"layout": {"centre": 1}},
        {"layout": {"spine": (1, 0)}},
        {"layout": {"shoulders": (2, 3)}},
        {"infos": (replace(INFOS[0], name="uno"), INFOS[1])},
        {"infos": (replace(INFOS[0], subject=9), INFOS[1])},
        {"infos": (replace(INFOS[0], camera=9), INFOS[1])},
        {"infos": (replace(INFOS[0], setup=9), INFOS[1])},
        {"clips": two_clips()[::-1]},
        {"splits": {}},
        {"splits": {"xview": np.array([0, 1])}},
        {"splits": {"xsub": np.array([0, 1]), "xview": np.array([0, 1])}},
    ],
    ids=repr,
)
def test_the_fingerprint_knows_all_that_decides_a_number(
    write: Write, tiny: SkeletonLayout, tmp_path: Path, change: dict
):
    base = {"infos": INFOS, "clips": two_clips(), "splits": {"xsub": np.array([0, 1])}}
    if "layout" in change:
        change = {"layout": replace(tiny, **change["layout"])}
    first = write(tmp_path / "first", **base)
    second = write(tmp_path / "second", **{**base, **change})
    assert second.fingerprint != first.fingerprint
    assert second.fingerprint == second.content_digest()


def test_the_fingerprint_is_of_the_content_alone(write: Write, tmp_path: Path):
    first = write(tmp_path / "first", INFOS, two_clips())
    second = write(tmp_path / "deep" / "down" / "second", INFOS, two_clips(), name="other name")
    assert first.fingerprint == second.fingerprint
    assert (first.name, second.name) == ("tried", "other name")
    moved = first.path.rename(tmp_path / "moved")
    assert SkeletonDataset.open(moved).fingerprint == first.fingerprint


def test_the_digest_detects_a_flipped_bit(write: Write, tmp_path: Path):
    dataset = write(tmp_path / "set", INFOS, two_clips())
    frames = np.lib.format.open_memmap(tmp_path / "set" / "frames.npy", mode="r+")
    frames[3, 2, 1] = np.nextafter(frames[3, 2, 1], np.float32(9))
    del frames
    opened = SkeletonDataset.open(tmp_path / "set")
    assert opened.fingerprint == dataset.fingerprint
    assert opened.content_digest() != dataset.fingerprint


def test_the_header_is_kept(write: Write, tiny: SkeletonLayout, tmp_path: Path):
    options = Normalisation(centre=False)
    header = {"normalisation": options, "synthetic": True, "family": "some family"}
    write(tmp_path / "set", INFOS, **header)
    dataset = SkeletonDataset.open(tmp_path / "set")
    assert dataset.layout == tiny
    assert dataset.normalisation == options
    assert dataset.synthetic is True
    assert dataset.family == "some family"
    assert dataset.num_classes == 3


def test_nothing_on_disk_is_pickled(write: Write, tmp_path: Path):
    write(tmp_path / "set", INFOS, splits={"xsub": np.array([0, 1])})
    assert {file.name for file in (tmp_path / "set").iterdir()} == {
        "frames.npy",
        "index.npz",
        "meta.json",
    }
    with np.load(tmp_path / "set" / "index.npz", allow_pickle=False) as index:
        assert all(index[name].dtype.kind == "i" for name in index.files)
    assert np.load(tmp_path / "set" / "frames.npy", allow_pickle=False).dtype == np.float32
    assert json.loads((tmp_path / "set" / "meta.json").read_text())["clip_names"] == ["one", "two"]


@pytest.mark.parametrize("index", [2, 99])
def test_a_clip_that_is_not_there(write: Write, tmp_path: Path, index: int):
    dataset = write(tmp_path / "set", INFOS)
    with pytest.raises(IndexError):
        dataset.clip(index)


def refused() -> dict[str, tuple[ClipInfo, np.ndarray]]:
    good, info = np.ones((2, 3, 4, 3)), ClipInfo("bad", 0)
    cases = {}
    for value in (np.nan, np.inf, -np.inf):
        clip = good.copy()
        clip[1, 2, 3, 0] = value
        cases[f"a coordinate of {value}"] = (info, clip)
    for shape in (
        (3, 4, 3),
        (1, 2, 3, 4, 3),
        (1, 3, 5, 3),
        (1, 3, 4, 2),
        (1, 0, 4, 3),
        (0, 3, 4, 3),
    ):
        cases[f"shape {shape}"] = (info, np.ones(shape))
    cases["a label below"] = (replace(info, label=-1), good)
    cases["a label above"] = (replace(info, label=3), good)
    cases["all bodies absent"] = (info, np.zeros_like(good))
    return cases


@pytest.mark.parametrize("case", refused())
def test_the_writer_refuses(tiny: SkeletonLayout, tmp_path: Path, write: Write, case: str):
    info, clip = refused()[case]
    with pytest.raises(ValueError, match=r"\w"):
        write(tmp_path / "set", [INFOS[0], info], [two_clips()[0], clip])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", refused())
def test_a_refused_clip_leaves_no_trace_in_the_others(
    tiny: SkeletonLayout, tmp_path: Path, write: Write, case: str
):
    first, second = two_clips()
    with DatasetWriter(
        tmp_path / "set",
        name="tried",
        layout=tiny,
        class_names=["sit", "stand", "jump"],
        family="made",
        normalisation=Normalisation(),
    ) as writer:
        writer.add(INFOS[0], first)
        with pytest.raises(ValueError, match=r"\w"):
            writer.add(*refused()[case])
        writer.add(INFOS[1], second)
        assert writer.infos == INFOS
        dataset = writer.close({})
    assert dataset.fingerprint == dataset.content_digest()
    assert dataset.fingerprint == write(tmp_path / "other", INFOS, two_clips()).fingerprint


def test_no_clips_are_refused(write: Write, tmp_path: Path, user_error: Callable[..., str]):
    user_error(lambda: write(tmp_path / "set", []), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
@pytest.mark.parametrize("before", [False, True])
def test_a_block_that_raises_changes_nothing(
    write: Write, tiny: SkeletonLayout, tmp_path: Path, error: type[BaseException], before: bool
):
    if before:
        write(tmp_path / "set", INFOS, two_clips())
        kept = {file.name: file.read_bytes() for file in (tmp_path / "set").iterdir()}

    def half() -> None:
        with DatasetWriter(
            tmp_path / "set",
            name="x",
            layout=tiny,
            class_names=["sit"],
            family="made",
            normalisation=Normalisation(),
        ) as writer:
            writer.add(INFOS[0], two_clips()[0])
            raise error("stop")

    with pytest.raises(error):
        half()
    if before:
        assert [path.name for path in tmp_path.iterdir()] == ["set"]
        after = {file.name: file.read_bytes() for file in (tmp_path / "set").iterdir()}
        assert after == kept
    else:
        assert list(tmp_path.iterdir()) == []


def test_an_older_data_set_is_replaced_whole(write: Write, tmp_path: Path):
    old = write(tmp_path / "set", INFOS, two_clips())
    (tmp_path / "set" / "import-report.json").write_text("{}")
    new = write(tmp_path / "set", INFOS[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert not (tmp_path / "set" / "import-report.json").exists()
    assert len(SkeletonDataset.open(tmp_path / "set")) == 1
    assert new.fingerprint != old.fingerprint
    # Who has the old one open still reads it.
    np.testing.assert_array_equal(old.clip(1), two_clips()[1].astype(np.float32))


def test_a_file_in_the_way_is_replaced(write: Write, tmp_path: Path):
    (tmp_path / "set").write_text("a file")
    write(tmp_path / "set", INFOS)
    assert len(SkeletonDataset.open(tmp_path / "set")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_link_in_the_way_leaves_nothing_beside_it(write: Write, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("mine")
    (tmp_path / "set").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "set", INFOS)
    assert len(SkeletonDataset.open(tmp_path / "set")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "set"]
    assert (tmp_path / "elsewhere" / "kept").read_text() == "mine"


def test_what_an_interrupted_replacement_left_does_not_stop_the_next(write: Write, tmp_path: Path):
    write(tmp_path / "set", INFOS)
    for name in (".set.old", ".set.tmp", ".set.abcdefgh"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "frames.npy").write_text("left over")
    write(tmp_path / "set", INFOS[:1])
    assert len(SkeletonDataset.open(tmp_path / "set")) == 1
