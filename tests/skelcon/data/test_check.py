"""Damage is done to the files of a packed data set, and must be named."""

import json
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import ClipInfo, SkeletonDataset, check_dataset, import_dataset
from skelcon.data.checks import JUDGES, Finding

Write = Callable[..., SkeletonDataset]
CLASSES = 3


BODY = np.array([[0.1, 1, 0.2], [0, 1.5, 0.1], [-0.4, 1.2, 0.2], [0.4, 1.2, 0.3]])
"""The joints of the tiny layout, somewhere in a room."""


def clips_of(count: int, seed: int = 0) -> list[np.ndarray]:
    """(2, T, 4, 3) clips, no two alike; the second body comes late, or not at all."""
    rng = np.random.default_rng(seed)
    clips = []
    for at in range(count):
        clip = BODY + rng.normal(scale=0.02, size=(2, 5 + at % 4, 4, 3))
        clip = clip.astype(np.float32)
        clip[1, : (at % 3) * 10] = 0
        clips.append(clip)
    return clips


def infos_of(count: int) -> list[ClipInfo]:
    return [ClipInfo(f"clip {at}", at % CLASSES, subject=at) for at in range(count)]


@pytest.fixture
def made(write: Write, tmp_path: Path) -> Callable[..., SkeletonDataset]:
    """Twelve clips, the first six of which train, by default."""

    def made(
        clips: Sequence[np.ndarray] | None = None,
        infos: Sequence[ClipInfo] | None = None,
        splits: dict[str, np.ndarray] | None = None,
    ) -> SkeletonDataset:
        clips = clips or clips_of(12)
        count = len(clips)
        halves = {"xsub": (np.arange(count) >= count // 2).astype(int)}
        return write(
            tmp_path / "set", infos or infos_of(count), clips, halves if splits is None else splits
        )

    return made


def damaged(
    dataset: SkeletonDataset, frames: Callable[[np.ndarray], object] | None = None, **index: object
) -> SkeletonDataset:
    """The data set again after its frames and columns were changed in place, on disk."""
    if frames is not None:
        values = np.load(dataset.path / "frames.npy")
        frames(values)
        content = (dataset.path / "frames.npy").read_bytes()
        (dataset.path / "frames.npy").unlink()
        tail = content[128 + values.nbytes :]
        (dataset.path / "frames.npy").write_bytes(content[:128] + values.tobytes() + tail)
    if index:
        with np.load(dataset.path / "index.npz") as arrays:
            kept = {name: arrays[name].copy() for name in arrays.files}
        for name, change in index.items():
            change(kept[name])  # type: ignore[operator]
        np.savez(dataset.path / "index.npz", **kept)
    return SkeletonDataset.open(dataset.path)


def found(dataset: SkeletonDataset) -> dict[tuple[str, str | None], Finding]:
    findings = check_dataset(dataset).findings
    by_kind = {(one.kind, one.protocol): one for one in findings}
    assert len(by_kind) == len(findings)
    for one in findings:
        assert one.count > 0
        assert "\n" not in one.text
    return by_kind


def row_of(dataset: SkeletonDataset, clip: int, body: int = 0) -> int:
    return int(dataset.blocks["offset"][clip, body])


def test_nothing_is_wrong_with_good_data(made: Callable[..., SkeletonDataset]):
    dataset = made()
    findings = check_dataset(dataset)
    assert findings.findings == ()
    assert findings.clips == 12
    assert findings.fingerprint == dataset.fingerprint
    assert {verdict.state for verdict in findings.verdicts} == {"ok"}
    assert len(findings.verdicts) == len(JUDGES)
    answer = json.loads(json.dumps(findings.to_dict()))
    assert [each["about"] for each in answer.pop("verdicts")] == [each.about for each in JUDGES]
    assert answer == {
        "ok": True,
        "name": "tried",
        "path": str(dataset.path),
        "clips": 12,
        "fingerprint": dataset.fingerprint,
        "findings": [],
    }


@pytest.mark.parametrize("body", [0, 1])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.nan, "nan"),
        (-np.nan, "nan"),
        (np.inf, "infinite"),
        (-np.inf, "infinite"),
        (1e4, "far"),
        (-2e7, "far"),
        (9.99e3, None),
        (-9.99e3, None),
    ],
)
def test_a_bad_coordinate(
    made: Callable[..., SkeletonDataset], value: float, kind: str | None, body: int
):
    dataset = made()
    row = row_of(dataset, 9, body) + 1

    def spoil(frames: np.ndarray) -> None:
        frames[row, 2, 1] = value

    known = found(damaged(dataset, spoil))
    errors = {(kind, None) for (kind, _), one in known.items() if one.severity == "error"}
    assert errors == {("fingerprint", None)} | ({(kind, None)} if kind else set())
    if kind:
        assert known[kind, None].names == ("clip 9",)
        assert known[kind, None].count == 1
        assert known[kind, None].severity == "error"


def test_a_clip_may_be_bad_in_several_ways(made: Callable[..., SkeletonDataset]):
    dataset = made()

    def spoil(frames: np.ndarray) -> None:
        frames[row_of(dataset, 3), 0] = (np.nan, np.inf, 1e5)
        frames[row_of(dataset, 4), 0] = (np.nan, 0, 0)

    known = found(damaged(dataset, spoil))
    assert known["nan", None].names == ("clip 3", "clip 4")
    assert known["infinite", None].names == known["far", None].names == ("clip 3",)


def test_a_clip_of_zeros(made: Callable[..., SkeletonDataset]):
    dataset = made()
    blocks = [(row_of(dataset, 6, body), int(dataset.blocks["count"][6, body])) for body in (0, 1)]

    def spoil(frames: np.ndarray) -> None:
        for offset, count in blocks:
            frames[offset : offset + count] = 0

    def forget(counts: np.ndarray) -> None:
        counts[7] = 0

    known = found(damaged(dataset, spoil, count=forget))
    assert set(known) == {("zero", None), ("fingerprint", None)}
    assert known["zero", None].names == ("clip 6", "clip 7")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("offset", -1),
        ("offset", 10**6),
        ("offset", -(2**63)),
        ("offset", 2**63 - 1),
        ("start", -1),
        ("start", 1),
        ("start", 2**63 - 1),
        ("count", -1),
        ("length", 0),
        ("length", -3),
        ("label", -1),
        ("label", CLASSES),
    ],
)
def test_an_index_that_cannot_be_true(
    made: Callable[..., SkeletonDataset], column: str, value: int
):
    def spoil(values: np.ndarray) -> None:
        values[5] = value

    known = found(damaged(made(), **{column: spoil}))
    assert known["index", None].names == ("clip 5",)
    assert known["index", None].severity == "error"
    assert ("fingerprint", None) in known


@pytest.mark.parametrize("count", [50, 2**40, 2**62])
def test_an_index_of_more_frames_than_there_are(made: Callable[..., SkeletonDataset], count: int):
    def spoil(counts: np.ndarray) -> None:
        counts[:] = count

    known = found(damaged(made(), count=spoil))
    assert set(known) == {("index", None), ("fingerprint", None)}
    assert known["index", None].count == 12


def test_any_change_breaks_the_fingerprint(made: Callable[..., SkeletonDataset]):
    dataset = made()

    def nudge(frames: np.ndarray) -> None:
        frames[3] = np.nextafter(frames[3], np.float32(9))

    assert set(found(damaged(dataset, nudge))) == {("fingerprint", None)}


def test_clips_that_leak_from_training_to_test(made: Callable[..., SkeletonDataset]):
    clips = clips_of(12)
    clips[8], clips[9], clips[11] = clips[2].copy(), clips[2].copy(), clips[5].copy()
    splits = {
        "xsub": np.repeat([0, 1], 6),
        "xview": np.array([0, 0, -1, 0, 0, 0, 1, 1, 1, 1, 1, 1]),
        "xsetup": np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, -1, 1, 0]),
    }
    known = found(made(clips, None, splits))
    assert set(known) == {
        ("leak", "xsub"),
        ("leak", "xview"),
        ("repeat", "xsub"),
        ("repeat", "xview"),
        ("repeat", "xsetup"),
    }
    leak = known["leak", "xsub"]
    assert leak.severity == "error"
    assert leak.count == 3
    assert leak.pairs == (("clip 8", "clip 2"), ("clip 9", "clip 2"), ("clip 11", "clip 5"))
    assert leak.names == ("clip 8", "clip 9", "clip 11")
    assert known["leak", "xview"].pairs == (("clip 11", "clip 5"),)
    assert known["repeat", "xsub"].severity == "note"
    assert known["repeat", "xsub"].pairs == (("clip 9", "clip 8"),)
    assert known["repeat", "xsetup"].pairs == (("clip 8", "clip 2"), ("clip 11", "clip 5"))
    assert "1 under another label" in leak.text  # clip 9
    infos = [*infos_of(8), ClipInfo("clip 8", 0), *infos_of(12)[9:]]
    again = found(made(clips, infos, {"xsub": splits["xsub"]}))
    assert "2 under another label" in again["leak", "xsub"].text


def test_repeats_without_a_protocol(made: Callable[..., SkeletonDataset]):
    clips = clips_of(4)
    clips[3] = clips[1].copy()
    known = found(made(clips, None, {}))
    assert set(known) == {("repeat", None)}
    assert known["repeat", None].pairs == (("clip 3", "clip 1"),)


@pytest.mark.parametrize("what", ["longer", "later", "the other body", "a bit"])
def test_what_is_almost_a_repeat_is_none(made: Callable[..., SkeletonDataset], what: str):
    one = np.zeros((2, 6, 4, 3), np.float32)
    one[0, 1:5] = np.arange(48).reshape(4, 4, 3)
    other = one.copy()
    if what == "longer":
        other = np.concatenate([one, np.zeros((2, 1, 4, 3), np.float32)], axis=1)
    elif what == "later":
        other = np.roll(one, 1, axis=1)
    elif what == "the other body":
        other = one[::-1].copy()
    else:
        other[0, 2, 3, 1] = np.nextafter(other[0, 2, 3, 1], np.float32(0))
    third = one + 1
    assert ("leak", "xsub") in found(made([one, third, third, one]))
    assert ("leak", "xsub") not in found(made([one, third, third + 1, other]))


def test_an_absent_last_body_makes_no_difference(made: Callable[..., SkeletonDataset]):
    one, other = clips_of(2)
    padded = np.concatenate([one, np.zeros_like(one[:1])])
    assert found(made([one, other, padded, other + 1]))["leak", "xsub"].count == 1


def test_clips_of_zeros_are_no_repeats(made: Callable[..., SkeletonDataset]):
    def forget(counts: np.ndarray) -> None:
        counts[:] = 0

    assert set(found(damaged(made(), count=forget))) == {("zero", None), ("fingerprint", None)}


def test_single_frames_and_names(made: Callable[..., SkeletonDataset]):
    clips = clips_of(12)
    clips[2] = clips[2][:, :1]
    infos = [*infos_of(10), ClipInfo("clip 1", 1), ClipInfo("clip 1", 2)]
    known = found(made(clips, infos))
    assert set(known) == {("single-frame", None), ("name", None)}
    assert known["single-frame", None].names == ("clip 2",)
    assert known["name", None].names == ("clip 1",)
    assert known["name", None].count == 1
    assert {one.severity for one in known.values()} == {"note"}


def test_classes_without_clips(made: Callable[..., SkeletonDataset]):
    infos = [ClipInfo(f"clip {at}", int(at >= 10)) for at in range(12)]
    known = found(made(None, infos))
    assert set(known) == {("empty-class", None), ("empty-class", "xsub")}
    assert known["empty-class", None].names == ("jump",)
    assert known["empty-class", "xsub"].names == ("stand",)
    assert "2 test clips" in known["empty-class", "xsub"].text
    assert {one.severity for one in known.values()} == {"note"}


def test_sides_without_clips(made: Callable[..., SkeletonDataset]):
    splits = {"xsub": np.zeros(12, int), "xview": np.ones(12, int), "xsetup": np.full(12, -1)}
    known = found(made(None, None, splits))
    assert {(kind, name): one.names for (kind, name), one in known.items()} == {
        ("empty-side", "xsub"): ("test",),
        ("empty-side", "xview"): ("training",),
        ("empty-side", "xsetup"): ("training", "test"),
    }


def test_errors_come_first_and_names_end(made: Callable[..., SkeletonDataset]):
    clips = [clip[:, :1] for clip in clips_of(30)]

    def spoil(frames: np.ndarray) -> None:
        frames[:] = np.nan

    findings = check_dataset(damaged(made(clips), spoil))
    assert [one.severity for one in findings.findings] == ["error", "error", "note"]
    assert [one.count for one in findings.findings] == [30, 1, 30]
    assert [len(one.names) for one in findings.findings] == [10, 0, 10]
    assert findings.errors == findings.findings[:2]
    assert findings.notes == findings.findings[2:]
    values = findings.to_dict()
    assert values["ok"] is False
    assert values["findings"] == tuple(map(asdict, findings.findings))


def test_progress_counts_all_clips(made: Callable[..., SkeletonDataset]):
    calls: list[tuple[int, int]] = []
    check_dataset(made(), lambda done, total: calls.append((done, total)))
    assert calls[-1] == (12, 12)


def test_memory_does_not_grow_with_the_data(write: Write, tmp_path: Path):
    noise = np.random.default_rng(0).normal(scale=0.02, size=(1, 10000, 4, 3))
    clip = (BODY + noise).astype(np.float32)
    infos = [ClipInfo(f"{at}", at % 3) for at in range(24)]
    dataset = write(tmp_path / "big", infos, [clip + at for at in range(24)])
    assert dataset.frames.nbytes > 11e6
    tracemalloc.start()
    try:
        assert check_dataset(dataset).findings == ()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < clip.nbytes


def test_real_clips_are_good(real_utd: Path, tmp_path: Path):
    dataset, _ = import_dataset(real_utd, tmp_path / "set")
    assert [one.kind for one in check_dataset(dataset).findings] == []
