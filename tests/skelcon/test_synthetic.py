import re
import threading
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import synthetic
from skelcon.data.dataset import SkeletonDataset
from skelcon.data.layouts import KINECT_V2
from skelcon.data.normalise import CENTRED, Normalisation
from skelcon.data.orientation import turns
from skelcon.data.splits import split
from skelcon.data.synthetic import CLASS_NAMES, Take, render, synthesize
from skelcon.data.synthetic_actions import ACTIONS
from skelcon.data.synthetic_performer import performer
from skelcon.errors import UserError

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SkeletonDataset:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "small", subjects=2)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> SkeletonDataset:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "full")


def bone_lengths(clip: np.ndarray) -> np.ndarray:
    children, parents = np.array(KINECT_V2.bones).T
    return np.linalg.norm(clip[:, :, children] - clip[:, :, parents], axis=-1)


def centred(dataset: SkeletonDataset, frames: int = 64) -> np.ndarray:
    """(N, M * frames * V * 3): clips resized linearly, the main body's centre at the origin."""
    rows = []
    for i in range(len(dataset)):
        clip = dataset.clip(i).astype(np.float64)
        at = np.linspace(0, clip.shape[1] - 1, frames)
        low = np.minimum(at.astype(int), clip.shape[1] - 2)
        part = (at - low)[None, :, None, None]
        clip = clip[:, low] * (1 - part) + clip[:, low + 1] * part
        present = np.any(clip != 0, axis=-1, keepdims=True)
        rows.append(((clip - clip[0][None, :, [KINECT_V2.centre]]) * present).ravel())
    return np.array(rows, np.float32)


def nearest_neighbour_accuracy(dataset: SkeletonDataset, protocol: str) -> float:
    values = centred(dataset)
    train, test = (split(dataset, protocol, part) for part in ("train", "test"))
    squares = (values**2).sum(axis=1)
    distances = squares[train][None] - 2 * values[test] @ values[train].T
    found = dataset.labels[train][distances.argmin(axis=1)]
    return float((found == dataset.labels[test]).mean())


def test_the_same_seed_gives_the_same_fingerprint(tmp_path: Path):
    sizes = {"subjects": 2, "repetitions": 1, "cameras": 2}
    first, again, other = (
        synthesize(tmp_path / name, **sizes, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.fingerprint == again.fingerprint == first.content_digest()
    assert first.fingerprint != other.fingerprint
    assert first.name == first.family == "synthetic"
    assert first.synthetic


def test_a_clip_does_not_depend_on_how_many_others_there_are(tmp_path: Path, small):
    alone = synthesize(tmp_path / "one", subjects=1, repetitions=1, cameras=1)
    for i, name in enumerate(alone.clip_names):
        np.testing.assert_array_equal(alone.clip(i), small.clip(small.clip_names.index(name)))


@pytest.mark.parametrize("action", range(1, len(CLASS_NAMES) + 1))
def test_bones_keep_their_lengths_without_noise(action: int):
    clip = render(Take(1, 2, 3, 1, action), noise=False)
    lengths = bone_lengths(clip)
    assert lengths.min() > 0.02
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:, :1], lengths.shape), atol=1e-9)
    assert np.ptp(bone_lengths(render(Take(1, 2, 3, 1, action))), axis=1).min() > 1e-3
    assert 1.2 < np.ptp(clip[0, 0, :, 1]) < 2.2  # a person, upright, in metres
    assert (clip[..., 2] > 0.8).all()


def test_the_right_hand_is_to_the_right_and_moves_in_a_right_wave():
    wave = render(Take(1, 2, 1, 1, CLASS_NAMES.index("wave right hand") + 1), noise=False)[0]
    right, left = (KINECT_V2.joints.index(f"{side}_wrist") for side in ("right", "left"))
    assert wave[0, right, 0] > wave[0, left, 0]
    assert np.ptp(wave[:, right, 1]) > 2 * np.ptp(wave[:, left, 1])
    knee, hip = KINECT_V2.joints.index("left_knee"), KINECT_V2.joints.index("left_hip")
    assert (wave[:, knee, 1] < wave[:, hip, 1]).all()


def test_two_cameras_look_from_45_degrees_to_either_side():
    facing = []
    for camera in (1, 2, 3):
        lines = []
        for subject in range(1, 25):
            pose = render(Take(1, camera, subject, 1, 1), noise=False)[0, 0]
            across = pose[KINECT_V2.joints.index("right_hip")]
            across = across - pose[KINECT_V2.joints.index("left_hip")]
            lines.append(np.degrees(np.arctan2(across[2], across[0])))
        facing.append(np.mean(lines))
    assert np.diff(facing) == pytest.approx([45, 45], abs=12)
    assert facing[1] == pytest.approx(0, abs=10)


def test_subjects_differ_in_limb_lengths_and_habits():
    lengths = np.array([bone_lengths(performer(s).offsets[None, None])[0, 0] for s in range(1, 9)])
    clips = [render(Take(1, 2, s, 1, 1), noise=False) for s in range(1, 9)]
    thighs = {round(float(bone_lengths(clip)[0, 0, 13]), 4) for clip in clips}
    assert lengths.std(axis=0).min() > 0.0005
    assert len(thighs) == 8
    assert len({performer(s).tempo for s in range(1, 9)}) == 8


def test_repetitions_and_cameras_have_performances_of_their_own(small):
    same = [
        i for i, name in enumerate(small.clip_names) if name.endswith("A001") and "P001" in name
    ]
    assert len(same) == 6
    assert len({int(small.lengths[i]) for i in same}) > 3


def test_lengths_are_ragged_and_in_range(full):
    assert 700 <= len(full) <= 1000
    assert full.lengths.min() >= synthetic.MIN_FRAMES
    assert full.lengths.max() <= synthetic.MAX_FRAMES
    assert full.lengths.max() - full.lengths.min() > 60
    assert np.isfinite(full.frames).all()


def test_pairs_have_two_bodies_and_the_others_one(small):
    pairs = np.array([action.apart > 0 for action in ACTIONS])
    assert pairs.sum() >= 2
    assert len(CLASS_NAMES) >= 12
    bodies = (small.blocks["count"] > 0).sum(axis=1)
    np.testing.assert_array_equal(bodies, np.where(pairs[small.labels], 2, 1))


def test_names_columns_and_splits_agree(full):
    for i, name in enumerate(full.clip_names):
        found = re.fullmatch(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", name)
        assert found is not None
        setup, camera, subject, _, action = map(int, found.groups())
        columns = ("setup", "camera", "subject", "label")
        assert [full.columns[c][i] for c in columns] == [setup, camera, subject, action - 1]
        assert full.splits["xsub"][i] == (subject % 2 == 0)
        assert full.splits["xview"][i] == (camera == 1)
        assert full.splits["xsetup"][i] == (setup % 2 == 1)
    assert len(set(full.clip_names)) == len(full)
    assert set(full.columns["camera"]) == {1, 2, 3}
    assert set(full.columns["setup"]) == {1, 2}
    assert set(np.bincount(full.labels)) == {len(full) // len(CLASS_NAMES)}


def test_a_protocol_without_two_sides_is_left_out(tmp_path: Path):
    data = synthesize(tmp_path / "d", subjects=2, repetitions=1, cameras=1)
    assert set(data.splits) == {"xsub"}


def test_joints_are_lost_but_never_those_that_align():
    missing: set[int] = set()
    for subject in range(1, 40):
        lost = np.all(render(Take(1, 2, subject, 1, 1))[0] == 0, axis=-1)
        missing |= set(np.flatnonzero(lost[~lost.all(axis=1)].any(axis=0)).tolist())
    assert missing
    assert not missing & {KINECT_V2.centre, *KINECT_V2.spine, *KINECT_V2.shoulders}


def test_by_default_clips_are_centred_and_stand_upright_when_they_are_turned(small, tmp_path: Path):
    raw = synthesize(tmp_path / "raw", subjects=1, repetitions=1, cameras=1, normalisation=RAW)
    assert raw.normalisation == RAW
    assert raw.clip(0)[0, 0, KINECT_V2.centre, 2] > 1.5
    assert small.normalisation == CENTRED
    found = turns(small, "first_frame")
    assert found is not None
    first = small.clip(0)[0, 0] @ found[0].T
    np.testing.assert_allclose(first[KINECT_V2.centre], 0, atol=1e-6)
    right, left = KINECT_V2.shoulders
    assert first[right, 0] - first[left, 0] == pytest.approx(
        np.linalg.norm(first[right] - first[left]), abs=1e-5
    )


@pytest.mark.parametrize("protocol", ["xview", "xsub"])
def test_it_is_a_real_problem_for_nearest_neighbours(full, protocol: str):
    assert 2 / len(CLASS_NAMES) < nearest_neighbour_accuracy(full, protocol) < 0.8


def test_unaligned_coordinates_do_not_cross_views(tmp_path: Path):
    raw = synthesize(tmp_path / "raw", normalisation=RAW)
    assert 2 / len(CLASS_NAMES) < nearest_neighbour_accuracy(raw, "xview") < 0.8


@pytest.mark.parametrize("wrong", [{"subjects": 0}, {"cameras": 4}, {"setups": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_the_users_to_mend(tmp_path: Path, wrong: dict[str, int]):
    with pytest.raises(UserError, match=next(iter(wrong))):
        synthesize(tmp_path / "d", **wrong)
    assert not (tmp_path / "d").exists()


def test_progress_counts_clips(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    synthesize(
        tmp_path / "d",
        subjects=1,
        repetitions=1,
        cameras=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i + 1, len(CLASS_NAMES)) for i in range(len(CLASS_NAMES))]


@pytest.fixture
def quick_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A cache of its own; the returned list grows with each generation (of a small set)."""
    made: list[Path] = []

    def generate(path: Path, seed: int = 0) -> SkeletonDataset:
        made.append(path)
        return synthesize(path, subjects=1, repetitions=1, cameras=1)

    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(synthetic, "synthesize", generate)
    return made


def test_the_embedded_set_is_generated_once(quick_cache: list[Path], tmp_path: Path, monkeypatch):
    first, again = synthetic.open_embedded(), synthetic.open_embedded()
    assert first.fingerprint == again.fingerprint
    assert first.path.parent == tmp_path / "cache"
    assert len(quick_cache) == 1
    monkeypatch.setattr(synthetic, "GENERATOR_VERSION", synthetic.GENERATOR_VERSION + 1)
    assert synthetic.open_embedded().path != first.path


def test_commands_that_start_at_once_make_it_once(quick_cache: list[Path], tmp_path: Path):
    together = threading.Barrier(3)
    found: list[int] = []

    def run() -> None:
        together.wait(60)
        found.append(synthetic.open_embedded().path.stat().st_ino)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3
    assert len(set(found)) == len(quick_cache) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("file", ["meta.json", "index.npz", "frames.npy"])
@pytest.mark.parametrize("how", ["cut", "emptied", "changed", "gone"])
def test_a_damaged_cache_is_made_again(quick_cache: list[Path], file: str, how: str):
    first = synthetic.open_embedded()
    target = first.path / file
    content = target.read_bytes()
    if how == "gone":
        target.unlink()
    elif how == "changed":
        target.write_bytes(
            content.replace(b"synthetic", b"")
            if file == "meta.json"
            else content[:-300] + b"\x7f" * 300
        )
    else:
        target.write_bytes(content[: len(content) // 2] if how == "cut" else b"")
    again = synthetic.open_embedded()
    assert len(quick_cache) == 2
    assert again.content_digest() == again.fingerprint == first.fingerprint


def test_a_cache_that_cannot_be_written_names_the_variable(quick_cache, monkeypatch):
    def refuse(path: Path, seed: int = 0) -> SkeletonDataset:
        raise PermissionError(13, "denied", str(path))

    monkeypatch.setattr(synthetic, "synthesize", refuse)
    with pytest.raises(UserError, match="SKELCON_CACHE"):
        synthetic.open_embedded()


def test_another_seed_is_another_data_set_in_the_cache(quick_cache: list[Path]):
    first, other = synthetic.open_embedded(), synthetic.open_embedded(seed=1)
    assert first.path != other.path
    assert synthetic.open_embedded(seed=1).path == other.path
    assert len(quick_cache) == 2
