"""What would go wrong silently in own recordings is reported, or an error."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from own_recordings import (
    LONG,
    digest,
    imported,
    long_rows,
    made_clips,
    padded,
    write_files,
    write_layout,
    write_long,
    write_npz,
)

from skelcon.data import detect
from skelcon.data.importers.preview import preview

CLIPS = made_clips()


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}


@pytest.fixture
def plain(tmp_path: Path, own: dict[str, str]) -> str:
    return digest(imported(write_long(tmp_path / "plain.csv", CLIPS), tmp_path / "out", own)[0])


def table() -> pd.DataFrame:
    return pd.DataFrame(long_rows(CLIPS), columns=LONG)


def notes(out: Path) -> str:
    report = json.loads((out / "import-report.json").read_text(encoding="utf-8"))
    return " ".join(note["text"] for note in report.get("notes", []))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_frames_in_steps_are_one_by_one(tmp_path: Path, own: dict, plain: str, suffix: str):
    places = table()["clip"].map({clip.name: at for at, clip in enumerate(CLIPS)})
    steps = table().assign(frame=lambda t: t["frame"] * 5 + places)
    path = tmp_path / f"steps{suffix}"
    steps.to_parquet(path) if suffix == ".parquet" else steps.to_csv(path, index=False)
    assert digest(imported(path, tmp_path / "out", own)[0]) == plain
    assert "in steps of 5" in notes(tmp_path / "out")


def test_a_frame_that_lacks_among_steps_stays_a_gap(tmp_path: Path, own: dict):
    whole = table().assign(frame=lambda t: t["frame"] * 4)
    (tmp_path / "x.csv").write_text(
        whole[(whole["clip"] != CLIPS[0].name) | (whole["frame"] != 4)].to_csv(index=False)
    )
    dataset, _ = imported(tmp_path / "x.csv", tmp_path / "out", own)
    assert dataset.lengths[0] == len(CLIPS[0].values)
    assert (dataset.clip(0)[0, 1] == 0).all()


def test_clips_with_many_frames_without_a_body_are_counted(tmp_path: Path, own: dict, plain: str):
    assert "no body" not in notes(tmp_path / "out")
    values = padded([clip for clip in CLIPS if len(clip.values) >= 4])
    values[:3, 1:3] = 0
    kept = [clip for clip in CLIPS if len(clip.values) >= 4]
    imported(write_npz(tmp_path / "x.npz", kept, x=values), tmp_path / "out", own)
    assert "3 clips with no body in more than 20% of their frames" in notes(tmp_path / "out")
    assert "6 frames of these clips without a body" in notes(tmp_path / "out")


@pytest.mark.parametrize("marked", [True, False])
def test_joints_at_minus_one_are_counted_and_kept(tmp_path: Path, own: dict, marked: bool):
    values = padded(CLIPS)
    values[:, 1, 2] = -1 if marked else -1.5
    dataset, _ = imported(write_npz(tmp_path / "x.npz", CLIPS, x=values), tmp_path / "out", own)
    assert (f"{len(CLIPS)} joints at exactly -1" in notes(tmp_path / "out")) is marked
    joint, centre = (dataset.clip(0)[0, 1, at] for at in (2, 0))
    np.testing.assert_allclose(joint - centre, values[0, 1, 2] - values[0, 1, 0], rtol=1e-6)


@pytest.mark.parametrize("column", ["clip", "label"])
def test_texts_that_are_not_utf8_are_refused(
    tmp_path: Path, own: dict, user_error: Callable[..., str], column: str
):
    path = tmp_path / "latin.csv"
    changed = table().assign(**{column: table()[column].str.replace("sit", "t\xeat\xe9")})
    path.write_bytes(changed.to_csv(index=False).encode("latin-1"))
    user_error(lambda: imported(path, tmp_path / "out", own), "latin.csv", "line 2", "as UTF-8")


@pytest.mark.parametrize("column", ["clip", "label"])
def test_texts_of_parquet_that_were_no_utf8_are_refused(
    tmp_path: Path, own: dict, user_error: Callable[..., str], column: str
):
    path = tmp_path / "latin.parquet"
    changed = table().assign(**{column: table()[column].str.replace("sit", "t\ufffdt")})
    changed.to_parquet(path)
    user_error(lambda: imported(path, tmp_path / "out", own), "latin.parquet", "line 1", "as UTF-8")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("row", [0, 1])
def test_one_line_with_texts_that_are_not_utf8_costs_its_clip(
    tmp_path: Path, own: dict, suffix: str, row: int
):
    changed = table().astype({"subject": str})
    changed.loc[row, ["label", "subject"]] = ["s\ufffdt", "\ufffd1"]
    path = tmp_path / f"latin{suffix}"
    if suffix == ".parquet":
        changed.to_parquet(path)
    else:
        path.write_bytes(changed.to_csv(index=False).replace("\ufffd", "\xe9").encode("latin-1"))
    dataset, (bad,) = imported(path, tmp_path / "out", own, max_bad=0.5)
    assert CLIPS[0].name in bad.name
    assert bad.line == row + (1 if suffix == ".parquet" else 2)
    assert "as UTF-8" in bad.reason
    assert len(dataset) == len(CLIPS) - 1


def test_a_line_of_a_parquet_manifest_that_was_no_utf8_costs_its_clip(tmp_path: Path, own: dict):
    write_files(tmp_path / "clips", CLIPS)
    rows = [(f"clips/{clip.name}.txt", clip.label, clip.subject) for clip in CLIPS]
    rows[0] = (rows[0][0], "s\ufffdt", 1)
    listed = pd.DataFrame(rows, columns=["path", "label", "subject"])
    listed.to_parquet(tmp_path / "m.parquet")
    _, (bad,) = imported(tmp_path / "m.parquet", tmp_path / "out", own, max_bad=0.5)
    assert "line 1 of 'm.parquet'" in bad.reason


def test_a_line_of_a_manifest_that_is_not_utf8_costs_its_clip(tmp_path: Path, own: dict):
    write_files(tmp_path / "clips", CLIPS)
    lines = ["path,label,subject"]
    lines += [f"clips/{clip.name}.txt,{clip.label},{clip.subject}" for clip in CLIPS]
    lines[1] = lines[1].replace(",sit", ",s\xeft")
    (tmp_path / "m.csv").write_bytes("\n".join(lines).encode("latin-1"))
    dataset, (bad,) = imported(tmp_path / "m.csv", tmp_path / "out", own, max_bad=0.5)
    assert "line 2 of 'm.csv'" in bad.reason
    assert "as UTF-8" in bad.reason
    assert dataset.class_names == ("sit", "stand", "wave")


def numbered(tmp_path: Path, first: int, lost: int) -> Path:
    """Joints by numbers from ``first``, without joint ``lost``."""
    rows = table()
    rows = rows[rows["joint"] != lost].assign(joint=lambda t: t["joint"] + first)
    rows.to_csv(tmp_path / "numbered.csv", index=False)
    return tmp_path / "numbered.csv"


def test_numbers_that_may_be_from_0_or_1_are_reported(tmp_path: Path, own: dict):
    dataset, _ = imported(numbered(tmp_path, 1, 3), tmp_path / "out", own)
    assert (dataset.clip(0)[0, :, 3] == 0).all()
    message = notes(tmp_path / "out")
    assert "joints are numbered 1 to 3, without 0 and 4: taken as from 1" in message
    assert "joints: {base: 0}" in message


@pytest.mark.parametrize("first", [0, 1])
def test_a_description_says_from_which_number(tmp_path: Path, own: dict, first: int):
    lost = 0 if first == 0 else 3
    options = {**own, "joints": {"base": first}}
    dataset, _ = imported(numbered(tmp_path, first, lost), tmp_path / "out", options)
    assert (dataset.clip(0)[0, :, lost] == 0).all()
    assert "numbered" not in notes(tmp_path / "out")


def test_a_clip_that_a_manifest_lists_again_is_reported(tmp_path: Path, own: dict):
    write_files(tmp_path / "clips", CLIPS)
    lines = ["path,label,subject,start,end"]
    lines += [f"clips/{clip.name}.txt,{clip.label},{clip.subject},," for clip in CLIPS]
    lines += [f"clips/{CLIPS[0].name}.txt,sit,1,0,2", lines[2]]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    imported(tmp_path / "m.csv", tmp_path / "out", own)
    message = notes(tmp_path / "out")
    assert "1 line of the manifest repeats" in message
    assert f"'{CLIPS[1].name}" in message


def with_confidence(path: Path) -> Path:
    x = padded(CLIPS)
    return write_npz(path, CLIPS, x=np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1))


@pytest.mark.parametrize("word", ["confidence", "visibility", "score", "likelihood"])
def test_names_of_the_confidence(tmp_path: Path, own: dict, plain: str, word: str):
    path = with_confidence(tmp_path / "x.npz")
    dataset, _ = imported(
        path, tmp_path / "out", {**own, "axes": "NTVC", "columns": f"x,y,z,{word}"}
    )
    assert digest(dataset) == plain


def refusals(tmp_path: Path, own: dict) -> dict[str, tuple[Callable[[], object], tuple[str, ...]]]:
    """What is refused -> the call, and what its message names."""
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    (folder / "empty.csv").touch()
    (folder / "twice.csv").write_text("clip,frame,joint,x,y,x\n")
    (folder / "m.csv").write_text("path,label\n")
    layout = tmp_path / "seven.yaml"
    layout.write_text(SEVEN)
    rows = np.ones((6, 9, 7, 4))
    np.savez(folder / "four.npz", x=rows, y=np.arange(6) % 2)
    np.savez(folder / "mp.npz", landmarks=rows)
    np.savez(folder / "described.npz", x=rows)
    (folder / "described.yaml").write_text("layout: kinect-v2\n")

    def call(name: str, **options: str) -> Callable[[], object]:
        return lambda: imported(folder / name, out, {**own, **options})

    return {
        "empty": (call("empty.csv"), ("empty.csv' is empty",)),
        "column": (call("twice.csv"), ("column 'x' appears twice",)),
        "manifest": (call("", manifest="no/m.csv"), ("no manifest 'no/m.csv'",)),
        "both": (call("", manifest="m.csv", files="*.txt"), ("--files --manifest: say",)),
        "axes": (call("four.npz", axes="NTXY"), ("--axes: axes 'NTXY'",)),
        "numbers": (call("four.npz", layout=str(layout)), ("--columns x,y,z,confidence",)),
        "claimed": (lambda: detect(folder / "mp.npz").class_names, ("--layout NAME",)),
        "kind": (lambda: detect(folder / "described.npz"), ("described.yaml", "kind: arrays")),
    }


SEVEN = """\
name: seven
joints: [a, b, c, d, e, f, g]
bones: [[b, a], [c, b], [d, b], [e, b], [f, a], [g, a]]
centre: a
spine: [a, b]
shoulders: [c, d]
"""


@pytest.mark.parametrize(
    "what", ["empty", "column", "manifest", "both", "axes", "numbers", "claimed", "kind"]
)
def test_messages_name_what_was_typed(
    tmp_path: Path, own: dict, user_error: Callable[..., str], what: str
):
    call, named = refusals(tmp_path, own)[what]
    message = user_error(call, *named)
    assert "--describe" not in message
    assert "axes: axes: " not in message


def test_a_layout_beside_data_is_no_description(tmp_path: Path):
    np.savez(tmp_path / "x.npz", x_train=np.ones((2, 3, 150)), y_train=np.arange(2))
    (tmp_path / "x.yaml").write_text(SEVEN)
    assert detect(tmp_path / "x.npz").family == "ctrgcn-npz"


def test_a_dry_run_counts_classes_and_doubts_the_joints(tmp_path: Path):
    from skelcon.data.importers.own.finding import described_source
    from skelcon.data.layouts import KINECT_V2
    from skelcon.data.synthetic import open_embedded

    embedded = open_embedded()
    bodies = [embedded.clip(at)[0][:20] for at in range(12)]
    values = np.stack([body[np.arange(20) % len(body)] for body in bodies])
    labels = np.array(["a", "b"] * 5 + ["", ""])
    order = np.random.default_rng(0).permutation(25)
    odd = {}
    for name, joints in (("right", np.arange(25)), ("wrong", order)):
        np.savez(tmp_path / f"{name}.npz", x=values[:, :, joints], y=labels)
        source = described_source(
            tmp_path / f"{name}.npz", {"layout": KINECT_V2.name, "split": "random"}
        )
        assert source is not None
        found = preview(source)
        assert any(
            what == "protocol" and "2 / 2 of 2 classes" in text for what, text in found.facts
        )
        odd[name] = " ".join(text for what, text in found.facts if what == "odd")
    assert "in the order of" not in odd["right"]
    assert "in the order of" in odd["wrong"]
