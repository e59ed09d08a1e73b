from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import ClipInfo, Normalisation, SkeletonDataset, normalise, summarise
from skelcon.data.importers import RAW, SkippedFile
from skelcon.data.importers.report import by_reason, read_report

Write = Callable[..., SkeletonDataset]


def ones(bodies: int, frames: int) -> np.ndarray:
    return np.arange(1.0, bodies * frames * 12 + 1).reshape(bodies, frames, 4, 3)


def test_what_is_written_is_counted(write: Write, tmp_path: Path):
    infos = [
        ClipInfo("a", 0, subject=3, camera=1),
        ClipInfo("b", 0, subject=1, camera=2),
        ClipInfo("c", 1, subject=3),
        ClipInfo("d", 0, subject=2, camera=2),
    ]
    clips = [ones(2, 4), ones(1, 10), ones(1, 21), ones(2, 7)]
    splits = {"xsub": np.array([0, 1, 0, 1]), "xview": np.array([0, -1, -1, 1])}
    dataset = write(tmp_path / "set", infos, clips, splits, normalisation=RAW)
    found = summarise(dataset)
    assert (found.name, found.family, found.layout, found.joints) == ("tried", "made", "tiny", 4)
    assert found.path == str(dataset.path)
    assert found.clips == 4
    assert (found.classes.count, found.classes.smallest, found.classes.largest) == (
        3,
        ("jump", 0),
        ("sit", 3),
    )
    assert (found.subjects, found.cameras, found.setups) == ((1, 2, 3), (1, 2), ())
    assert (found.lengths.min, found.lengths.median, found.lengths.max) == (4, 8.5, 21)
    assert found.lengths.total == 42
    assert found.bodies == {1: 2, 2: 2}
    assert found.missing_joints == 0
    assert [(s.protocol, s.train, s.test, s.neither) for s in found.protocols] == [
        ("xsub", 2, 2, 0),
        ("xview", 1, 1, 2),
    ]
    assert found.normalisation == ()
    assert found.fingerprint == dataset.fingerprint
    assert found.bytes == sum(file.stat().st_size for file in dataset.path.iterdir())
    assert not found.synthetic
    assert found.to_dict()["classes"]["largest"] == ("sit", 3)


@pytest.mark.parametrize(
    ("lengths", "width"),
    [
        ([5], 1),
        ([1, 10], 1),
        ([1, 11], 2),
        ([41, 125], 10),
        ([30, 300], 50),
        ([1, 5000], 1000),
        ([0 + 7, 7, 8], 1),
        ([19, 20, 39, 40], 5),
    ],
)
def test_the_histogram_has_every_clip_in_its_bin(
    write: Write, tmp_path: Path, lengths: list[int], width: int
):
    infos = [ClipInfo(str(at), 0) for at in range(len(lengths))]
    dataset = write(tmp_path / "set", infos, [ones(1, n) for n in lengths])
    bins = summarise(dataset).lengths.bins
    assert len(bins) <= 10
    for first, last, clips in bins:
        assert last - first + 1 == width
        assert first % width == 0
        assert clips == sum(first <= n <= last for n in lengths)
    assert sum(clips for _, _, clips in bins) == len(lengths)
    assert all(one[1] + 1 == other[0] for one, other in pairwise(bins))


def test_missing_joints_are_those_of_bodies_that_are_there(write: Write, tmp_path: Path):
    clip = ones(2, 5)
    clip[0, 1, 2] = clip[0, 3, 0] = 0
    clip[1, :2] = 0  # not yet there
    clip[1, 3] = 0  # away for a frame
    clip[1, 4, 1] = 0
    dataset = write(tmp_path / "set", [ClipInfo("a", 0)], [clip], normalisation=RAW)
    assert summarise(dataset).missing_joints == pytest.approx(3 / (4 * (5 + 2)))


def test_the_centre_of_a_centred_body_is_not_missing(write: Write, tmp_path: Path, tiny: object):
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(2, 6, 4, 3)) for _ in range(3)]
    clips[1][0] = 0  # the second body is the main one
    clips[2][1, :, 0] = 0  # its own centre is missing
    done = Normalisation(spine_to_z=False, shoulders_to_x=False)
    infos = [ClipInfo(str(at), 0) for at in range(3)]
    centred = [normalise(clip, tiny, done) for clip in clips]  # type: ignore[arg-type]
    dataset = write(tmp_path / "set", infos, centred, normalisation=done)
    # 30 body frames; the centre joints of 18 of them, the main bodies', are there
    assert summarise(dataset).missing_joints == pytest.approx(6 / (30 * 4))


def test_frames_without_a_body_are_empty(write: Write, tmp_path: Path):
    clip = ones(2, 8)
    clip[0, 2:] = 0
    clip[1, :5] = clip[1, 6] = 0  # nobody in 2, 3, 4 and 6
    dataset = write(tmp_path / "set", [ClipInfo("a", 0), ClipInfo("b", 0)], [clip, ones(1, 2)])
    assert summarise(dataset).empty_frames == pytest.approx(4 / 10)


def test_the_summary_reads_in_pieces(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clip = ones(1, 50)
    clip[0, 7:39:3, 3] = 0
    dataset = write(tmp_path / "set", [ClipInfo("a", 0)], [clip])
    whole = summarise(dataset).missing_joints
    assert whole == pytest.approx(11 / (50 * 4))
    monkeypatch.setattr("skelcon.data.summary._CHUNK", 7)
    assert summarise(dataset).missing_joints == whole


def test_reasons_that_differ_in_numbers_and_names_are_one():
    skipped = [
        SkippedFile("a", "frame 3: 'x' is not a number"),
        SkippedFile("b", "empty"),
        SkippedFile("c", "frame 12: '-1e' is not a number", 7),
        SkippedFile("d", "a coordinate is -1.5e+30 m"),
    ]
    groups = by_reason(skipped)
    assert [(group.reason, group.count, group.names) for group in groups] == [
        ("frame 3: 'x' is not a number", 2, ("a", "c")),
        ("empty", 1, ("b",)),
        ("a coordinate is -1.5e+30 m", 1, ("d",)),
    ]


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"family": "x", "files": 1, "clips": 1, "excluded": 0, "skipped": ["a"]}',
    ],
)
def test_no_sound_report(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "import-report.json").write_bytes(content)
    assert read_report(tmp_path) is None
