"""A wrong order of joints, a wrong unit and a wrong axis are reported; right ones are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data import (
    CENTRED,
    KINECT_V1,
    KINECT_V1_SDK,
    KINECT_V2,
    LAYOUTS,
    ClipInfo,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
    import_dataset,
    joint_mapping,
    normalise,
)
from skelcon.data.anatomy import Doubt, anatomy_of, bone_variation, doubts, fit_of, height_of
from skelcon.data.synthetic import Take, render

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
Write = Callable[..., SkeletonDataset]
MSR = LAYOUTS["msr-action3d"]


@pytest.fixture(scope="module")
def takes() -> list[np.ndarray]:
    """(M, T, 25, 3) clips of the synthetic sensor, in its own frame."""
    return [render(Take(1, 1 + at % 3, 1 + at, 1, 1 + at * 4), seed=0) for at in range(4)]


def doubted(
    write: Write,
    path: Path,
    clips: list[np.ndarray],
    layout: SkeletonLayout,
    steps: Normalisation = CENTRED,
) -> dict[str, Doubt]:
    dataset = write(
        path / "set",
        [ClipInfo(f"clip {at}", 0) for at in range(len(clips))],
        [normalise(clip, layout, steps) for clip in clips],
        layout=layout,
        normalisation=steps,
    )
    found = doubts(anatomy_of(dataset), layout, steps)
    for each in found:
        assert "\n" not in each.text
    return {each.kind: each for each in found}


def mapped(clips: list[np.ndarray], layout: SkeletonLayout) -> list[np.ndarray]:
    return [clip[:, :, list(joint_mapping(KINECT_V2, layout))] for clip in clips]


@pytest.mark.parametrize("steps", [RAW, CENTRED, Normalisation(), Normalisation(scale=True)])
@pytest.mark.parametrize("layout", [KINECT_V2, KINECT_V1, KINECT_V1_SDK, MSR])
def test_what_is_right_is_not_doubted(
    write: Write,
    tmp_path: Path,
    takes: list[np.ndarray],
    layout: SkeletonLayout,
    steps: Normalisation,
):
    clips = takes if layout is KINECT_V2 else mapped(takes, layout)
    assert doubted(write, tmp_path, clips, layout, steps) == {}
    assert doubted(write, tmp_path, clips[:1], layout, steps) == {}


@pytest.mark.parametrize("steps", [RAW, CENTRED, Normalisation()])
@pytest.mark.parametrize("called", [KINECT_V1, KINECT_V1_SDK, MSR])
@pytest.mark.parametrize("true", [KINECT_V1, KINECT_V1_SDK, MSR])
def test_another_order_of_twenty_joints_is_reported_and_the_right_one_proposed(
    write: Write,
    tmp_path: Path,
    takes: list[np.ndarray],
    true: SkeletonLayout,
    called: SkeletonLayout,
    steps: Normalisation,
):
    found = doubted(write, tmp_path, mapped(takes, true), called, steps)
    if true is called:
        assert found == {}
    else:
        assert set(found) == {"joint-order"}
        assert found["joint-order"].severity == "error"
        assert f"--layout {true.name})" in found["joint-order"].text
        assert f"order of {called.name}" in found["joint-order"].text


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(25)))
def test_an_unknown_joint_order(
    write: Write,
    tmp_path_factory: pytest.TempPathFactory,
    takes: list[np.ndarray],
    order: list[int],
):
    moved = sum(at != joint for at, joint in enumerate(order))
    clips = [clip[:, :, order] for clip in takes]
    found = doubted(write, tmp_path_factory.mktemp("any"), clips, KINECT_V2)
    if moved > 12:
        assert found["joint-order"].severity == "note"
        assert "no known layout of 25 joints" in found["joint-order"].text
        assert set(found) == {"joint-order"}  # nothing else can be judged


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1000), ("cm", 100), (None, 0.01), (None, 7)])
def test_a_unit_that_is_not_metres(
    write: Write, tmp_path: Path, takes: list[np.ndarray], unit: str | None, factor: float
):
    found = doubted(write, tmp_path, [clip * factor for clip in takes], KINECT_V2)
    assert set(found) == {"unit"}
    assert found["unit"].severity == ("note" if unit is None else "error")
    assert (f"unit: {unit}" if unit else "were scaled") in found["unit"].text


@pytest.mark.parametrize(
    ("up", "axes", "sign"), [("-y", [0, 1, 2], -1), ("z", [0, 2, 1], 1), ("x", [1, 0, 2], 1)]
)
def test_an_axis_up_that_lies(
    write: Write, tmp_path: Path, takes: list[np.ndarray], up: str, axes: list[int], sign: int
):
    clips = [sign * clip[..., axes] for clip in takes]
    for steps in (RAW, CENTRED):
        found = doubted(write, tmp_path, clips, KINECT_V2, steps)
        assert set(found) == {"up"}
        assert f"along {up}, and the layout says that y is up" in found["up"].text
    assert doubted(write, tmp_path, clips, KINECT_V2, Normalisation()) == {}  # turned upright


def test_two_dimensions(write: Write, tmp_path: Path, takes: list[np.ndarray]):
    """The same joints in pixels, y down; the third value is a confidence."""
    coco = LAYOUTS["coco-17"]
    names = ["head"] * 5 + [name.removesuffix("_eye") for name in coco.joints[5:]]
    picked = [KINECT_V2.joints.index(name) for name in names]
    clips = []
    for clip in takes:
        flat = clip[:, :, picked] * [200, -200, 0] + [300, 400, 0.9]
        flat[..., :5, :2] += np.array([[0, 5], [3, 0], [-3, 0], [6, 2], [-6, 2]])
        clips.append(flat)
    assert doubted(write, tmp_path, clips, coco, RAW) == {}
    upside_down = [clip * [1, -1, 1] for clip in clips]
    assert set(doubted(write, tmp_path, upside_down, coco, RAW)) == {"up"}
    order = np.random.default_rng(0).permutation(17)
    assert "joint-order" in doubted(write, tmp_path, [c[:, :, order] for c in clips], coco, RAW)


def test_little_to_judge_by(write: Write, tmp_path: Path, tiny: SkeletonLayout):
    same = [np.full((1, 3, 4, 3), 2.0)]
    assert doubted(write, tmp_path, same, tiny, RAW) == {}
    one_joint = [np.zeros((1, 3, 4, 3))]
    one_joint[0][:, :, 2] = 1
    assert doubted(write, tmp_path, one_joint, tiny, RAW) == {}


def test_the_numbers_behind_it(write: Write, tmp_path: Path, tiny: SkeletonLayout):
    body = np.array([[0.0, 0, 0], [0, 2, 0], [-1, 2, 0], [1.5, 2, 0]]) + 5
    clip = np.stack([body, body + 1, body * [1, 1, 1] + 2])[None]
    dataset = write(tmp_path / "set", [ClipInfo("a", 0)], [clip], layout=tiny, normalisation=RAW)
    anatomy = anatomy_of(dataset)
    np.testing.assert_allclose(anatomy.distances[0], [0, 2, 5**0.5, 2.5], rtol=1e-6)
    fit = fit_of(anatomy, tiny)
    assert fit is not None
    assert fit.length == pytest.approx(1)  # the bones are the shortest tree
    assert fit.asymmetry == pytest.approx(0.5)
    assert height_of(anatomy.distances, tiny) is None
    loose = clip[0].copy()
    loose[1] = loose[1].mean(axis=0) + 1.5 * (loose[1] - loose[1].mean(axis=0))
    loose[2] = loose[2].mean(axis=0) + 0.5 * (loose[2] - loose[2].mean(axis=0))
    assert bone_variation(clip[0], tiny) == pytest.approx(0, abs=1e-9)
    assert bone_variation(loose, tiny) == pytest.approx(0.5)


def test_real_recordings(real_utd: Path, write: Write, tmp_path: Path):
    dataset, _ = import_dataset(real_utd, tmp_path / "utd")
    assert doubts(anatomy_of(dataset), KINECT_V1, CENTRED) == ()
    folder = real_utd.parent / "msr_action3d"
    if not folder.is_dir():
        pytest.skip(f"no real data at '{folder}'")
    clips = [
        np.loadtxt(file)[:, :3].reshape(1, -1, 20, 3)
        for file in sorted(folder.glob("a0[1-6]_s0[1-3]_e01_*.txt"))
    ]
    assert doubted(write, tmp_path, clips, MSR) == {}
    for called in (KINECT_V1, KINECT_V1_SDK):
        found = doubted(write, tmp_path, clips, called)
        assert set(found) == {"joint-order"}
        assert "--layout msr-action3d" in found["joint-order"].text
