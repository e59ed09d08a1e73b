"""Verdicts on bodies and on protocols, and the sheet of the worst clips."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelcon.data import (
    CENTRED,
    KINECT_V1,
    KINECT_V2,
    ClipInfo,
    SkeletonDataset,
    check_dataset,
    joint_mapping,
    normalise,
)
from skelcon.data.checks import JUDGES, Finding, Verdict
from skelcon.data.sheet import contact_sheet
from skelcon.data.synthetic import Take, render

Write = Callable[..., SkeletonDataset]


@pytest.fixture(scope="module")
def takes() -> list[np.ndarray]:
    """(1, T, 25, 3) centred clips of the first eight actions, each by another subject."""
    clips = [render(Take(1, 2, action, 1, action), seed=1) for action in range(1, 9)]
    return [normalise(clip, KINECT_V2, CENTRED).astype(np.float32) for clip in clips]


@pytest.fixture
def made(write: Write, tmp_path: Path, takes: list[np.ndarray]) -> Callable[..., SkeletonDataset]:
    def made(clips: list[np.ndarray] | None = None, **other: Any) -> SkeletonDataset:
        clips = takes if clips is None else clips
        infos = [ClipInfo(f"clip {at}", at % 3, subject=at // 2) for at in range(len(clips))]
        values = {
            "infos": infos,
            "clips": clips,
            "splits": {"xsub": (np.arange(len(clips)) // 2) % 2},
            "layout": KINECT_V2,
            "normalisation": CENTRED,
        }
        return write(tmp_path / "set", **(values | other))

    return made


def judged(dataset: SkeletonDataset) -> tuple[dict[str, Verdict], dict[str, Finding]]:
    found = check_dataset(dataset)
    assert [one.about for one in found.verdicts] == [judge.about for judge in JUDGES]
    states = {one.about: one for one in found.verdicts if one.state != "ok"}
    return states, {one.kind: one for one in found.findings}


def test_people_are_well(made: Callable[..., SkeletonDataset]):
    found = check_dataset(made())
    assert found.findings == ()
    said = {one.about: one.text for one in found.verdicts}
    assert "kinect-v2 fits" in said["joint order"]
    assert "metres: 1." in said["unit"]
    assert "along y" in said["axis up"]
    assert "both sides of xsub" in said["groups"]
    assert "xsub 4 / 4" in said["sides"]


@pytest.mark.parametrize("joint", [3, 11])
def test_a_joint_that_jumps_for_a_frame(
    made: Callable[..., SkeletonDataset], takes: list[np.ndarray], joint: int
):
    clips = [clip.copy() for clip in takes]
    clips[5][0, 20, joint] += (0, 0, 0.9)
    clips[2][0, 7, joint] -= (1.4, 0, 0)
    states, found = judged(made(clips))
    assert set(states) == {"jumps"}
    assert found["jump"].names == ("clip 2", "clip 5")  # the worst first
    assert found["jump"].places == ((2, 7), (5, 20))
    assert found["jump"].severity == "note"


def test_who_moves_fast_does_not_jump(
    made: Callable[..., SkeletonDataset], takes: list[np.ndarray]
):
    clips = [clip.copy() for clip in takes]
    frames = clips[0].shape[1]
    sweep = np.clip(np.arange(frames) - frames // 2, 0, 4) * 0.2
    clips[0][0, :, 11] += sweep[:, None] * (1, 0, 0)  # a hand, 0.2 m a frame, that stays there
    assert judged(made(clips)) == ({}, {})


def test_a_body_that_is_elsewhere_in_the_next_frame(
    made: Callable[..., SkeletonDataset], takes: list[np.ndarray]
):
    clips = [np.array(clip) for clip in takes]
    other = clips[4][0] + (1.5, 0, 0.5)
    other[30:] += (-1.2, 0, 0)
    clips[4] = np.stack([clips[4][0], other])
    states, found = judged(made(clips))
    assert set(states) == {"jumps"}
    assert found["jump"].places == ((4, 30),)


def test_bones_that_are_none(made: Callable[..., SkeletonDataset], takes: list[np.ndarray]):
    rng = np.random.default_rng(0)
    clips = [clip.copy() for clip in takes]
    clips[3] *= rng.uniform(0.2, 1.8, (1, clips[3].shape[1], 1, 1))
    states, found = judged(made(clips))
    assert "bones" in states
    assert found["bones"].names == ("clip 3",)
    clips = [clip * rng.uniform(0.2, 1.8, (1, clip.shape[1], 1, 1)) for clip in takes]
    states, found = judged(made(clips))
    assert found["bones"].count == len(clips)
    assert "not of constant length" in found["bones"].text


def test_another_order_of_joints_is_an_error(
    made: Callable[..., SkeletonDataset], takes: list[np.ndarray]
):
    order = list(joint_mapping(KINECT_V2, KINECT_V1))
    clips = [clip[:, :, order[::-1]] for clip in takes]
    states, found = judged(made(clips, layout=KINECT_V1))
    assert states["joint order"].state in ("error", "note")
    assert len(found["joint-order"].places) == 4


def test_subjects_on_both_sides(made: Callable[..., SkeletonDataset]):
    splits = {"xsub": np.arange(8) % 2, "xview": np.arange(8) % 2}
    states, found = judged(made(splits=splits))  # (nothing states the cameras)
    assert set(states) == {"groups"}
    group = found["group"]
    assert (group.severity, group.protocol, group.count) == ("error", "xsub", 4)
    assert group.names == ("subject 0", "subject 1", "subject 2", "subject 3")
    infos = [ClipInfo(f"clip {at}", at % 3, subject=at, camera=at // 3) for at in range(8)]
    states, found = judged(made(splits=splits, infos=infos))
    assert (found["group"].protocol, found["group"].count) == ("xview", 3)
    kept = splits | {"xview": np.array([0, 0, 0, 1, 1, 1, -1, -1])}
    assert judged(made(splits=kept, infos=infos)) == ({}, {})


def test_classes_of_very_different_sizes(
    made: Callable[..., SkeletonDataset], takes: list[np.ndarray]
):
    clips = [takes[at % 8][:, :20] + np.float32(0.001 * at) for at in range(23)]
    infos = [ClipInfo(f"clip {at}", max(0, at - 20), subject=at) for at in range(23)]
    states, found = judged(made(clips, infos=infos, splits={}))
    assert set(states) == {"classes"}
    assert found["balance"].names == ("stand", "jump", "sit")
    assert "'sit' has 21" in found["balance"].text
    infos = [ClipInfo(f"clip {at}", at // 10, subject=at) for at in range(23)]
    assert judged(made(clips, infos=infos, splits={})) == ({}, {})


def texts(dataset: SkeletonDataset) -> list[str]:
    figure = contact_sheet(dataset, check_dataset(dataset))
    figure.canvas.draw()
    return [text.get_text() for text in figure.texts]


def test_the_sheet_shows_the_worst_clips(
    made: Callable[..., SkeletonDataset], takes: list[np.ndarray], tmp_path: Path
):
    clips = [clip.copy() for clip in takes]
    clips[5][0, 20, 3] += (0, 0, 0.9)
    clips[1] = clips[3].copy()
    splits = {"xsub": np.array([0, 1, 0, 0, 1, 1, 0, 1])}
    infos = [ClipInfo(f"$clip_{at}$ " + "x" * 60 * (at == 5), at % 3) for at in range(8)]
    dataset = made(clips, splits=splits, infos=infos)
    shown = texts(dataset)
    assert shown[:2] == ["$clip_1$ ", f"leak (xsub), frame {clips[1].shape[1] // 2 + 1}"]
    assert shown[3] == "jump, frame 21"
    assert shown[2].startswith("$clip_5$ xxx")
    assert len(shown[2]) < 40
    assert len(shown) == 4


def test_the_sheet_of_good_and_of_damaged_data(
    made: Callable[..., SkeletonDataset], takes: list[np.ndarray]
):
    dataset = made()
    shown = texts(dataset)
    assert len(shown) == 16
    assert all("ok" in text for text in shown[1::2])
    frames = np.load(dataset.path / "frames.npy")
    frames[:40] = np.nan
    frames[200:210, 3] = 1e7
    content = (dataset.path / "frames.npy").read_bytes()
    (dataset.path / "frames.npy").unlink()
    tail = content[128 + frames.nbytes :]
    (dataset.path / "frames.npy").write_bytes(content[:128] + frames.tobytes() + tail)
    shown = texts(SkeletonDataset.open(dataset.path))
    assert any("nan" in text for text in shown)
    assert any("far" in text for text in shown)
    with np.load(dataset.path / "index.npz") as arrays:
        kept = {name: arrays[name].copy() for name in arrays.files}
    kept["count"][1:3] = kept["offset"][4] = 10**9
    np.savez(dataset.path / "index.npz", **kept)
    assert texts(SkeletonDataset.open(dataset.path))  # what cannot be drawn is left empty
