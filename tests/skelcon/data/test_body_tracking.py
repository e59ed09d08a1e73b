"""Bodies over frames, tried with made scenes of which the truth is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data import Normalisation, import_dataset
from skelcon.data.importers.pku_mmd import read_video
from skelcon.data.importers.report import read_report
from skelcon.data.importers.tracking import BodyCounts, track

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
NAME = "S001C001P001R001A001"
Array = np.ndarray


def person(rng: np.random.Generator, frames: int, x: float, sway: float = 0.3) -> Array:
    """(T, 25, 3) somebody who stands at ``x``, upright, and sways; in digits that a file has."""
    pose = rng.uniform((-0.2, -0.85, -0.1), (0.2, 0.85, 0.1), (25, 3))
    pose[0, 1], pose[1, 1] = -0.85, 0.85
    phase = rng.uniform(0, 6) + np.arange(frames)[:, None] / 8
    path = (x, 0.0, 3.0) + sway * np.sin(phase) * (0.5, 0.05, 1.0)
    limbs = 0.05 * np.sin(phase[:, None] + rng.uniform(0, 6, (25, 3)))
    return (path[:, None] + pose + limbs).round(5)


def thing(rng: np.random.Generator, frames: int, x: float, size: Sequence[float]) -> Array:
    """(T, 25, 3) what the sensor takes for a body: joints all over a box, trembling."""
    half = np.array(size) / 2
    joints = rng.uniform(-half, half, (25, 3))
    joints[:2] = -half, half
    tremble = rng.normal(0, 0.002, (frames, 25, 3))
    return (np.array([x, 0.0, 3.0]) + joints + tremble).round(5)


@dataclass
class Scene:
    """(T, 25, 3) each; zeros where it is not there."""

    bodies: list[Array]
    ids: list[Array]
    """(T,) each."""

    def listed(self, rng: np.random.Generator, *, shuffled: bool) -> tuple[Array, Array]:
        """(M, T, 25, 3) and (M, T): in each frame those that are there, in any order."""
        clip = np.zeros((len(self.bodies), *self.bodies[0].shape))
        ids = np.full(clip.shape[:2], -1)
        for frame in range(clip.shape[1]):
            here = [n for n, body in enumerate(self.bodies) if body[frame].any()]
            for place, n in enumerate(rng.permutation(here) if shuffled else here):
                clip[place, frame] = self.bodies[n][frame]
                ids[place, frame] = self.ids[n][frame]
        return clip, ids


def scene(*bodies: Array) -> Scene:
    """Every body with an id of its own."""
    return Scene(list(bodies), [np.full(len(body), n) for n, body in enumerate(bodies)])


def only(body: Array, start: int, stop: int) -> Array:
    """A body that is there from ``start`` up to ``stop``."""
    out = np.zeros_like(body)
    out[start:stop] = body[start:stop]
    return out


def same_bodies(found: Array, expected: Sequence[Array]) -> bool:
    """Whether they are the same to the bit, in any order."""
    return sorted(body.tobytes() for body in found) == sorted(body.tobytes() for body in expected)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    people=st.integers(1, 3),
    frames=st.integers(26, 50),
    with_ids=st.booleans(),
    phantoms=st.sets(st.sampled_from(["short", "wide", "motion"])),
)
def test_of_a_scene_the_people_are_left_each_in_one_piece(
    seed: int, people: int, frames: int, with_ids: bool, phantoms: set[str]
):
    rng = np.random.default_rng(seed)
    truth = [person(rng, frames, 1.5 * at) for at in range(people)]
    made = list(truth)
    if "short" in phantoms:  # it moves more than anybody
        start = int(rng.integers(frames - 3))
        made.append(only(person(rng, frames, -4, sway=1.0), start, start + 3))
    if "wide" in phantoms:
        made.append(thing(rng, frames, -2.5, (1.6, 0.7, 0.5)))
    if "motion" in phantoms:
        made.append(thing(rng, frames, 6.0, (0.2, 0.4, 0.2)))
    clip, ids = scene(*made).listed(rng, shuffled=True)
    found, counts = track(clip, ids if with_ids else None)
    assert same_bodies(found, truth)
    assert {rule: getattr(counts, rule) for rule in ("short", "wide", "motion")} == {
        rule: int(rule in phantoms) for rule in ("short", "wide", "motion")
    }


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lost=st.integers(1, 10),
    with_ids=st.booleans(),
    another=st.booleans(),
)
def test_who_is_lost_and_found_again_is_one_body(
    seed: int, lost: int, with_ids: bool, another: bool
):
    rng = np.random.default_rng(seed)
    gone = person(rng, 40, 0.0, sway=0.1)
    gone[15 : 15 + lost] = 0
    made = scene(gone, *([person(rng, 40, 2.5)] if another else []))
    made.ids[0][15:] = 7  # the sensor takes it for somebody new
    clip, ids = made.listed(rng, shuffled=True)
    found, counts = track(clip, ids if with_ids else None)
    assert same_bodies(found, made.bodies)
    assert counts.joined == int(with_ids)


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_body_that_appears_in_an_empty_place_is_a_new_one(with_ids: bool):
    rng = np.random.default_rng(0)
    first, second = person(rng, 60, 0.0), person(rng, 60, 4.0)
    made = scene(only(first, 0, 28), only(second, 30, 60))
    clip, ids = made.listed(rng, shuffled=False)
    found, counts = track(clip, ids if with_ids else None)
    assert same_bodies(found, made.bodies)
    assert counts == BodyCounts()  # body 1 became body 2, at one place


@pytest.mark.parametrize("ids", ["none", "not stated", "twice the same"])
def test_ids_that_cannot_be_used_are_not(ids: str):
    rng = np.random.default_rng(1)
    people = [person(rng, 30, 0.0), person(rng, 30, 2.0)]
    clip, own = scene(*people).listed(rng, shuffled=True)
    given_ids = {"none": None, "not stated": np.where(own == 0, -1, own)}.get(ids, own * 0)
    assert same_bodies(track(clip, given_ids)[0], people)


def test_ids_are_believed_where_people_meet():
    """Two people walk through each other: their centres alone could be confused."""
    rng = np.random.default_rng(2)
    one, other = person(rng, 40, 0.0, sway=0.02), person(rng, 40, 0.0, sway=0.02)
    one[..., 0] += np.linspace(-1.5, 1.5, 40)[:, None]
    other[..., 0] -= np.linspace(-1.5, 1.5, 40)[:, None]
    clip, ids = scene(one, other).listed(rng, shuffled=True)
    assert same_bodies(track(clip, ids)[0], [one, other])


def test_a_clip_never_loses_its_last_body():
    rng = np.random.default_rng(3)
    lying = person(rng, 40, 0.0)[..., [1, 0, 2]]
    for alone in (lying, thing(rng, 40, 0.0, (0.1, 0.2, 0.1)), only(lying, 3, 6)):
        clip, ids = scene(alone).listed(rng, shuffled=False)
        found, counts = track(clip, ids)
        assert found.tobytes() == clip.tobytes()
        assert counts == BodyCounts()
    both = [lying, person(rng, 40, 3.0)[..., [1, 0, 2]] + (3.0, 0.0, 0.0)]
    clip, ids = scene(*both).listed(rng, shuffled=False)
    assert same_bodies(track(clip, ids)[0], both)


def test_bodies_are_ranked_by_presence_and_motion():
    rng = np.random.default_rng(4)
    short = only(person(rng, 60, 0.0, sway=0.4), 20, 34)  # moves most, and is seen in 14 frames
    still, moving = person(rng, 60, 2.0, sway=0.0), person(rng, 60, 4.0, sway=0.3)
    clip, ids = scene(short, still, moving).listed(rng, shuffled=True)
    found, _ = track(clip, ids)
    assert [body.tobytes() for body in found] == [x.tobytes() for x in (moving, still, short)]


def test_joints_that_are_not_there_are_no_place():
    rng = np.random.default_rng(5)
    people = [person(rng, 30, 5.0), person(rng, 30, 6.5)]
    for body in people:
        body[rng.random((30, 25)) < 0.2] = 0
    clip, _ = scene(*people).listed(rng, shuffled=True)
    found, counts = track(clip)
    assert same_bodies(found, people)
    assert counts.wide == 0


def test_a_thing_in_a_real_video_is_dropped(real_utd: Path):
    """Beside the person something 0.67 m high stands still for 708 of 1040 frames.

    Before, for 20 frames, it was taken for somebody 0.7 m away: the file has no ids.
    """
    bodies = read_video(real_utd.parent / "pku_mmd" / "A10N08-L.txt")
    found, counts = track(bodies)
    np.testing.assert_array_equal(found[0], bodies[0])
    assert counts == BodyCounts(motion=1)
    assert found[1:].any(axis=(2, 3)).sum() == 20


# Through an import.


def write_skeletons(path: Path, clip: Array, ids: Array | None) -> None:
    """A file of NTU RGB+D."""
    lines = [str(clip.shape[1])]
    for frame in range(clip.shape[1]):
        here = [place for place in range(len(clip)) if clip[place, frame].any()]
        lines.append(str(len(here)))
        for place in here:
            own = 0 if ids is None else 72057594037900000 + ids[place, frame]
            lines += [f"{own} 0 1 1 1 1 0 0.02 0.05 2", "25"]
            lines += [f"{x:.5f} {y:.5f} {z:.5f}" + " 0" * 9 for x, y, z in clip[place, frame]]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def as_scripts_have_it(clip: Array, most: int) -> Array:
    """The first four bodies of each frame, by the public scripts' energy, as they were listed."""
    listed = clip[:4]
    energy = np.zeros(len(listed))
    for number, body in enumerate(listed):
        seen = body[body.sum((1, 2)) != 0]
        if len(seen):
            energy[number] = sum(seen[..., axis].std() for axis in range(3))
    return listed[energy.argsort(kind="stable")[::-1]][:most].astype(np.float32)


def two_who_swap(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two people, two metres apart, who swap their places in the listing in frame 20."""
    clip, ids = scene(person(rng, 40, 0.0), person(rng, 40, 2.0, 0.2)).listed(rng, shuffled=False)
    clip[:, 20:], ids[:, 20:] = clip[::-1, 20:].copy(), ids[::-1, 20:].copy()
    return clip, ids


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_swap_in_the_listing_is_no_jump(tmp_path: Path, with_ids: bool):
    clip, ids = two_who_swap(np.random.default_rng(6))
    write_skeletons(tmp_path / "ntu" / f"{NAME}.skeleton", clip, ids if with_ids else None)

    def farthest_step(**how: str) -> float:
        dataset, _ = import_dataset(tmp_path / "ntu", tmp_path / "set", RAW, **how)  # type: ignore[arg-type]
        steps = np.diff(dataset.clip(0), axis=1)
        return float(np.linalg.norm(steps, axis=-1).max())

    assert farthest_step(bodies="as-listed") > 1
    assert farthest_step() < 0.2
    report = read_report(tmp_path / "set")
    assert report is not None
    assert report.bodies == BodyCounts(swaps=1)


def test_a_phantom_does_not_push_the_person_out(tmp_path: Path):
    rng = np.random.default_rng(7)
    someone = person(rng, 40, 0.0)
    phantom = only(person(rng, 40, 3.0) + rng.normal(0, 1, (40, 1, 3)), 10, 13)
    clip, ids = scene(someone, phantom).listed(rng, shuffled=False)
    write_skeletons(tmp_path / "ntu" / f"{NAME}.skeleton", clip, ids)
    options = {"normalisation": RAW, "max_bodies": 1}
    listed, _ = import_dataset(
        tmp_path / "ntu",
        tmp_path / "listed",
        bodies="as-listed",
        **options,  # type: ignore[arg-type]
    )
    assert np.count_nonzero(listed.clip(0).any(axis=(0, 2, 3))) == 3
    tracked, _ = import_dataset(tmp_path / "ntu", tmp_path / "tracked", **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(tracked.clip(0)[0], someone.round(5).astype(np.float32))
    report = read_report(tmp_path / "tracked")
    assert report is not None
    assert report.bodies is not None
    assert str(report.bodies) == "1 phantom dropped (short 1), 0 swaps corrected, 0 joined"
    # The two are never taken for each other.
    assert tracked.meta["origin"]["bodies"] == "tracked"
    assert "bodies" not in listed.meta["origin"]
    assert tracked.fingerprint != listed.fingerprint


@pytest.mark.parametrize("most", [1, 2, 4])
def test_as_listed_is_what_the_public_scripts_give(tmp_path: Path, most: int):
    rng = np.random.default_rng(8)
    made = [only(person(rng, 30, 1.5 * n), *sorted(rng.integers(0, 31, 2))) for n in range(6)]
    clip, ids = scene(person(rng, 30, -2), *made).listed(rng, shuffled=True)
    write_skeletons(tmp_path / "ntu" / f"{NAME}.skeleton", clip[:6], ids[:6])
    dataset, _ = import_dataset(
        tmp_path / "ntu", tmp_path / "set", RAW, bodies="as-listed", max_bodies=most
    )
    np.testing.assert_array_equal(dataset.clip(0), as_scripts_have_it(clip[:6], most))
    report = read_report(tmp_path / "set")
    assert report is not None
    assert report.bodies is None


def test_one_body_is_the_same_bits_either_way(tmp_path: Path):
    rng = np.random.default_rng(9)
    clip, ids = scene(only(person(rng, 30, 0.0), 2, 28)).listed(rng, shuffled=False)
    write_skeletons(tmp_path / "ntu" / f"{NAME}.skeleton", clip, ids)
    prints = {
        import_dataset(tmp_path / "ntu", tmp_path / bodies, bodies=bodies)[0].fingerprint  # type: ignore[arg-type]
        for bodies in ("tracked", "as-listed")
    }
    assert len(prints) == 1


def test_clips_whose_makers_chose_the_bodies_are_not_tracked(
    tmp_path: Path, user_error: Callable[..., str]
):
    from skelcon.data import detect
    from skelcon.data.export import export_dataset

    clip, ids = two_who_swap(np.random.default_rng(10))
    write_skeletons(tmp_path / "ntu" / f"{NAME}.skeleton", clip, ids)
    dataset, _ = import_dataset(tmp_path / "ntu", tmp_path / "set")
    export_dataset(dataset, tmp_path / "agcn", "agcn-npy", "xsub")
    for record in (tmp_path / "agcn").rglob("skelcon.json"):
        record.unlink()  # as other makers' files have none
    found = detect(tmp_path / "agcn")
    user_error(
        lambda: import_dataset(found, tmp_path / "again", bodies="tracked"), "--bodies as-listed"
    )
