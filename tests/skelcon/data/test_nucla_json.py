import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from skelcon.data import (
    KINECT_V1_SDK,
    UNKNOWN,
    Fold,
    Normalisation,
    Source,
    detect,
    import_dataset,
    split,
)
from skelcon.data.importers import nucla_json

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
UserErrorOf = Callable[..., str]
Take = tuple[int, int, int, int]

LABEL_OF = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 8: 7, 9: 8, 11: 9, 12: 10}
TAKES: tuple[Take, ...] = tuple(
    (action, subject, 2, view) for action, subject, view in product(LABEL_OF, (1, 10), (1, 2, 3))
)


def stem_of(take: Take) -> str:
    return "a{:02d}_s{:02d}_e{:02d}_v{:02d}".format(*take)


def values_of(take: Take) -> np.ndarray:
    """(T, 20, 3); the first of them has a single frame."""
    frames = 1 if take == TAKES[0] else take[0] + 2
    return np.random.default_rng(take).normal((0.1, -0.2, 2.5), 0.4, (frames, 20, 3))


def json_of(take: Take, **changes: object) -> bytes:
    content = {
        "file_name": stem_of(take),
        "skeletons": values_of(take).tolist(),
        "label": LABEL_OF.get(take[0], 1),
    }
    return json.dumps({**content, **changes}).encode()


def write_clips(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for take in TAKES:
        (folder / f"{stem_of(take)}.json").write_bytes(json_of(take))
    (folder / "val_label.pkl").write_bytes(b"another's")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clips(tmp_path / "NW-UCLA" / "all_sqe")


@pytest.mark.parametrize("parent", [False, True])
def test_what_was_written_is_imported(source: Path, tmp_path: Path, parent: bool):
    dataset, skipped = import_dataset(source.parent if parent else source, tmp_path / "set", RAW)
    assert skipped == []
    assert dataset.clip_names == tuple(map(stem_of, TAKES))
    assert dataset.labels.tolist() == [LABEL_OF[action] - 1 for action, *_ in TAKES]
    assert dataset.columns["subject"].tolist() == [subject for _, subject, _, _ in TAKES]
    assert dataset.columns["camera"].tolist() == [view for *_, view in TAKES]
    assert set(dataset.columns["setup"]) == {UNKNOWN}
    assert (dataset.name, dataset.family) == ("nucla", "nucla-json")
    assert dataset.layout == KINECT_V1_SDK
    assert dataset.num_classes == len(set(dataset.class_names)) == 10
    assert dataset.lengths[0] == 1
    for at, take in enumerate(TAKES):
        np.testing.assert_array_equal(dataset.clip(at)[0], values_of(take).astype(np.float32))
    assert list(dataset.splits) == ["xview"]
    assert dataset.splits["xview"].tolist() == [int(view == 3) for *_, view in TAKES]
    cameras = dataset.columns["camera"]
    held_out = [split(dataset, "xview", "validation", Fold(index, 2)) for index in (0, 1)]
    assert sorted(set(cameras[clips]) for clips in held_out) == [{1}, {2}]


def test_clips_that_repeat_others_are_kept(source: Path, tmp_path: Path):
    again, first = (1, 1, 7, 3), TAKES[1]
    content = json_of(first, file_name=stem_of(again))
    (source / f"{stem_of(again)}.json").write_bytes(content)
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW)
    assert skipped == []
    assert len(dataset) == len(TAKES) + 1
    one, other = (dataset.clip_names.index(stem_of(take)) for take in (first, again))
    np.testing.assert_array_equal(dataset.clip(one), dataset.clip(other))


def test_two_folders_of_clips(source: Path, user_error: UserErrorOf):
    write_clips(source.parent / "copy")
    user_error(lambda: detect(source.parent), source, source.parent / "copy")
    assert detect(source).family == "nucla-json"


TAKE: Take = (8, 3, 4, 1)
GOOD = values_of(TAKE).tolist()


def with_value(value: object) -> list:
    frames = json.loads(json.dumps(GOOD))
    frames[2][4][1] = value
    return frames


def raw(value: str) -> bytes:
    return json_of(TAKE, skeletons=with_value("HERE")).replace(b'"HERE"', value.encode())


BAD: dict[str, tuple[Take, bytes]] = {
    "empty": (TAKE, b""),
    "half": (TAKE, json_of(TAKE)[:900]),
    "the last byte is missing": (TAKE, json_of(TAKE)[:-1]),
    "two objects": (TAKE, json_of(TAKE) * 2),
    "zeros": (TAKE, bytes(500)),
    "not UTF-8": (TAKE, json_of(TAKE).replace(b"label", b"l\xffbel")),
    "UTF-16": (TAKE, json_of(TAKE).decode().encode("utf-16")),
    "a list": (TAKE, b"[1, 2]"),
    "a number": (TAKE, b"3"),
    "deep lists": (TAKE, b"[" * 200_000),
    "deep lists, closed": (TAKE, b"[" * 200_000 + b"]" * 200_000),
    "deep objects": (TAKE, b'{"skeletons":' * 100_000),
    "deep skeletons": (TAKE, b'{"label": 7, "skeletons": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "a deep label": (TAKE, b'{"skeletons": [], "label": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "no label": (TAKE, json_of(TAKE).replace(b'"label"', b'"lable"')),
    "no skeletons": (TAKE, json_of(TAKE).replace(b'"skeletons"', b'"skeleton"')),
    "a key twice": (TAKE, json_of(TAKE)[:-1] + b', "label": 7}'),
    "action 7": ((7, 1, 1, 1), json_of((7, 1, 1, 1))),
    "action 0": ((0, 1, 1, 1), json_of((0, 1, 1, 1))),
    "action 13": ((13, 1, 1, 1), json_of((13, 1, 1, 1), label=11)),
    "view 4": ((1, 1, 1, 4), json_of((1, 1, 1, 4))),
    "view 0": ((1, 1, 1, 0), json_of((1, 1, 1, 0))),
    "another file's name": (TAKE, json_of(TAKE, file_name=stem_of(TAKES[0]))),
    "a name that is a number": (TAKE, json_of(TAKE, file_name=8)),
    "the action as label": (TAKE, json_of(TAKE, label=8)),
    "a label from 0": (TAKE, json_of(TAKE, label=6)),
    **{
        f"label {label!r}": (TAKE, json_of(TAKE, label=label))
        for label in (None, "7", 7.5, [7], {"a": 7}, -7, 10**400)
    },
    "label true": ((1, 1, 1, 1), json_of((1, 1, 1, 1), label=True)),
    "no frame": (TAKE, json_of(TAKE, skeletons=[])),
    "skeletons of null": (TAKE, json_of(TAKE, skeletons=None)),
    "skeletons of text": (TAKE, json_of(TAKE, skeletons="skeletons")),
    "skeletons by name": (TAKE, json_of(TAKE, skeletons={"0": GOOD[0]})),
    "one frame without its axis": (TAKE, json_of(TAKE, skeletons=GOOD[0])),
    "an axis more": (TAKE, json_of(TAKE, skeletons=[GOOD])),
    "25 joints": (TAKE, json_of(TAKE, skeletons=[frame + frame[:5] for frame in GOOD])),
    "a joint less": (TAKE, json_of(TAKE, skeletons=[*GOOD, GOOD[0][1:]])),
    "2 coordinates": (TAKE, json_of(TAKE, skeletons=[[j[:2] for j in f] for f in GOOD])),
    "a coordinate more": (TAKE, json_of(TAKE, skeletons=[[[*j, 0] for j in f] for f in GOOD])),
    "other axes": (TAKE, json_of(TAKE, skeletons=np.ones((3, 20, 4)).tolist())),
    "nobody": (TAKE, json_of(TAKE, skeletons=np.zeros((4, 20, 3)).tolist())),
    "an empty frame": (TAKE, json_of(TAKE, skeletons=[*GOOD, []])),
    "a frame of null": (TAKE, json_of(TAKE, skeletons=[*GOOD, None])),
    **{
        f"a coordinate of {value!r}": (TAKE, json_of(TAKE, skeletons=with_value(value)))
        for value in ("1.0", "", None, True, [], [1.0], {}, "nan")
    },
    **{
        f"a coordinate of {value[:9]}": (TAKE, raw(value))
        for value in ("NaN", "Infinity", "-Infinity", "1e400", "1e300", "9" * 6000, "20000")
    },
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_skipped_and_listed(source: Path, tmp_path: Path, case: str):
    take, content = BAD[case]
    file = source / f"{stem_of(take)}.json"
    for path in source.glob(f"{file.stem[:8]}*.json"):  # the others do not matter here
        path.unlink()
    for path in list(source.glob("*.json"))[20:]:
        path.unlink()
    left = {path.stem for path in source.glob("*.json")}
    file.write_bytes(content)
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW, max_bad=1)
    (only,) = skipped
    assert only.name == file.name
    assert only.reason
    assert "\n" not in only.reason
    assert len(only.reason) < 160
    assert set(dataset.clip_names) == left


@pytest.mark.parametrize("kind", ["a directory", "a pipe", "a link to nowhere", "a huge file"])
def test_what_is_no_clip_is_skipped(source: Path, tmp_path: Path, kind: str):
    bad = source / f"{stem_of(TAKE)}.json"
    if kind == "a directory":
        bad.mkdir()
    elif kind == "a pipe":
        os.mkfifo(bad)
    elif kind == "a link to nowhere":
        bad.symlink_to(source / "nowhere")
    else:
        bad.write_bytes(json_of(TAKE))
        os.truncate(bad, 40 << 30)  # without its blocks on the disk
    dataset, skipped = import_dataset(source, tmp_path / "set", RAW, workers=1)
    assert [only.name for only in skipped] == [bad.name]
    assert ("MiB" in skipped[0].reason) == (kind == "a huge file")
    assert len(dataset) == len(TAKES)


def test_files_as_others_write_them(tmp_path: Path):
    folder = tmp_path / "clips"
    folder.mkdir()
    whole = np.arange(20 * 3 * 2).reshape(2, 20, 3)
    contents = (
        json_of((1, 1, 0, 1), skeletons=whole.tolist()),
        b"\xef\xbb\xbf" + json_of((1, 1, 0, 2), skeletons=whole.tolist(), more=[None]),
        json.dumps({"label": 1.0, "skeletons": whole.tolist()}, indent=2).encode(),
    )
    for view, content in enumerate(contents, 1):
        (folder / f"{stem_of((1, 1, 0, view))}.json").write_bytes(content)
    dataset, skipped = import_dataset(folder, tmp_path / "set", RAW)
    assert skipped == []
    for at in range(3):
        np.testing.assert_array_equal(dataset.clip(at)[0], whole)


def test_nothing_of_it(tmp_path: Path, user_error: UserErrorOf):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a1_s1_t1_skeleton.json").write_text("{}")
    user_error(lambda: detect(tmp_path / "empty"), tmp_path, "N-UCLA")
    user_error(lambda: detect(tmp_path / "empty", "nucla-json"), "nucla-json")


def reads(source: Source) -> bool:
    """Whether the one file gives its clip; whatever is wrong with it must be a `ValueError`."""
    try:
        (clip,) = source.read(source.items[0])
    except ValueError:
        return False
    assert clip.coordinates.shape[::2] == (1, 20)
    assert clip.coordinates.shape[3] == 3
    assert clip.coordinates.dtype == np.float64
    assert clip.info.label == 6
    return True


def test_damaged_bytes_never_raise_anything_else(tmp_path: Path):
    rng = np.random.default_rng(0)
    file = tmp_path / f"{stem_of(TAKE)}.json"
    whole = json_of(TAKE, skeletons=GOOD[:2])
    file.write_bytes(whole)
    source = detect(tmp_path)
    assert reads(source)
    words = (b"[", b"]", b"{", b"}", b",", b":", b'"', b"NaN", b"1e999", b"-", b"null", b"\\u00")
    good = 0
    for _ in range(1500):
        out = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(out) + 1))
            match int(rng.integers(5)):
                case 0 if at < len(out):
                    out[at] ^= int(rng.integers(1, 256))
                case 1:
                    del out[at : at + int(rng.integers(1, 60))]
                case 2:
                    out[at:at] = rng.bytes(int(rng.integers(1, 5)))
                case 3:
                    out[at:at] = words[int(rng.integers(len(words)))]
                case _:
                    del out[at + len(out) // 2 :]
        file.write_bytes(out)
        good += reads(source)
    assert 20 < good < 1400


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


def test_the_limit_is_far_above_any_clip():
    long = json.dumps(np.full((200, 20, 3), -0.12345678901234567).tolist())
    assert 50 * len(long) < nucla_json.LARGEST
