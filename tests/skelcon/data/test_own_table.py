"""Long tables: lines in any order, joints by name or number, frames by number or time."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from own_recordings import LONG, digest, imported, long_rows, made_clips, write_layout

CLIPS = made_clips()
ROWS = long_rows(CLIPS)
JOINTS = ("base", "top", "left", "right")


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}


@pytest.fixture
def plain(tmp_path: Path, own: dict[str, str]) -> str:
    return digest(imported(write(tmp_path / "plain.csv", table()), tmp_path / "out", own)[0])


def table() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=LONG)


def write(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(joint=[JOINTS[v] for v in t["joint"]]),
        lambda t: t.assign(joint=t["joint"] + 1),
        lambda t: t.assign(frame=t["frame"] + 100),
        lambda t: t.assign(frame=t["frame"] / 30.0 + 0.01),
        lambda t: t.assign(body="one"),
        lambda t: t.rename(columns={"clip": "video", "joint": "landmark", "label": "class"}),
        lambda t: t[t.columns[::-1]],
    ],
    ids=["names", "from 1", "later", "times", "body", "columns", "order"],
)
def test_ways_to_write_a_table(
    tmp_path: Path, own: dict, plain: str, change: Callable, suffix: str
):
    path = write(tmp_path / f"long{suffix}", change(table()))
    dataset, skipped = imported(path, tmp_path / "out", own)
    assert skipped == []
    assert digest(dataset) == plain


def test_lines_in_any_order(tmp_path: Path, own: dict):
    rows = list(ROWS)
    random.Random(0).shuffle(rows)
    path = write(tmp_path / "long.csv", pd.DataFrame(rows, columns=LONG))
    dataset, _ = imported(path, tmp_path / "out", own)
    for at, name in enumerate(dataset.clip_names):
        (clip,) = (clip for clip in CLIPS if clip.name == name)
        wanted = np.float32(clip.values - clip.values[:, :1])
        np.testing.assert_allclose(dataset.clip(at)[0], wanted, atol=1e-6)


def test_two_bodies_and_frames_without_a_line(tmp_path: Path, own: dict):
    whole = table().assign(body=7)
    second = whole[(whole["clip"] == CLIPS[0].name) & (whole["frame"] != 1)].assign(body=9)
    gap = whole[(whole["clip"] == CLIPS[1].name) & (whole["frame"] == 1)]
    both = pd.concat([whole.drop(gap.index), second])
    dataset, _ = imported(write(tmp_path / "long.csv", both), tmp_path / "out", own)
    first = dataset.clip(0)
    assert (first[1, 1] == 0).all()
    np.testing.assert_array_equal(first[1, [0, 2]], first[0, [0, 2]])
    assert (dataset.clip(1)[0, 1] == 0).all()
    assert dataset.lengths[1] == len(CLIPS[1].values)


def test_a_manifest_beside_the_table(tmp_path: Path, own: dict, plain: str):
    path = write(tmp_path / "long.csv", table()[LONG[:6]])
    listed = [{"clip": clip.name, "label": clip.label, "subject": clip.subject} for clip in CLIPS]
    listed[0]["clip"] = "gone"
    write(tmp_path / "clips.csv", pd.DataFrame(listed))
    options = {**own, "manifest": "clips.csv"}
    dataset, (bad,) = imported(path, tmp_path / "out", options, max_bad=0.5)
    assert (bad.name, bad.reason) == (CLIPS[0].name, "is not in the manifest")
    assert dataset.clip_names == tuple(clip.name for clip in CLIPS[1:])
    assert '"gone"' in (tmp_path / "out" / "import-report.json").read_text()


def test_joints_that_are_called_otherwise(tmp_path: Path, own: dict, plain: str):
    words = {"base": "Hüfte", "top": "Kopf, oben", "left": "links", "right": "rechts"}
    path = write(
        tmp_path / "long.csv", table().assign(joint=[words[JOINTS[v]] for v in table()["joint"]])
    )
    dataset, _ = imported(path, tmp_path / "out", {**own, "joints": words})
    assert digest(dataset) == plain


@pytest.mark.parametrize(
    ("row", "column", "value", "reason"),
    [
        (5, "x", "much", "x is 'much', which is not a number"),
        (5, "joint", "tob", "unknown joint 'tob': did you mean 'top'?"),
        (5, "joint", "0", "a joint of a frame appears twice"),
        (5, "frame", "", "has no frame"),
        (5, "frame", "1000000", "its 7 frames go from 0 to 1e+06"),
        (5, "label", "other", "has two labels"),
    ],
)
def test_a_bad_line_costs_its_clip(
    tmp_path: Path, own: dict, row: int, column: str, value: str, reason: str
):
    frame = table().astype(object)
    frame.loc[row, column] = value
    path = write(tmp_path / "long.csv", frame)
    dataset, (bad,) = imported(path, tmp_path / "out", own, max_bad=0.5)
    assert bad.name == CLIPS[0].name
    assert bad.reason.startswith(reason[:16])
    assert bad.line in (row + 2, None)
    assert len(dataset) == len(CLIPS) - 1


def test_a_line_of_too_few_values(tmp_path: Path, own: dict):
    path = write(tmp_path / "long.csv", table())
    lines = path.read_text().splitlines()
    lines[3] = lines[3].rpartition(",")[0]
    lines[7] = ",,"
    path.write_text("\n".join(lines))
    dataset, (bad,) = imported(path, tmp_path / "out", own, max_bad=0.5)
    assert (bad.reason, bad.line) == ("7 values in a table of 8 columns", 4)
    assert "name no clip" in (tmp_path / "out" / "import-report.json").read_text()
    assert len(dataset) == len(CLIPS) - 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.drop(columns="z"), ("'z'",)),
        (lambda t: t.drop(columns="clip"), ("'clip'",)),
        (lambda t: t.drop(columns="label"), ("label",)),
        (lambda t: t[:0], ("no clip",)),
    ],
)
def test_tables_that_lack_a_column(
    tmp_path: Path, own: dict, user_error: Callable[..., str], change: Callable, named: tuple
):
    path = write(tmp_path / "long.csv", change(table()))
    user_error(lambda: imported(path, tmp_path / "out", own), "long.csv", *named)
    user_error(lambda: imported(path, tmp_path / "out", {**own, "columns": "x,y,z"}), "--key x=")
    damaged = tmp_path / "bad.parquet"
    damaged.write_bytes(b"PAR1 no table PAR1")
    user_error(lambda: imported(damaged, tmp_path / "out", own), "bad.parquet")
