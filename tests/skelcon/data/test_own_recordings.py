"""The same clips as an array, as files, in a manifest and in a long table are the same data."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from own_recordings import (
    LONG,
    Made,
    digest,
    imported,
    long_rows,
    made_clips,
    write_files,
    write_layout,
    write_long,
    write_manifest,
    write_npz,
)

import skelcon
from skelcon.data import import_dataset, open_or_import
from skelcon.data.importers.own.finding import described_source
from skelcon.data.normalise import CENTRED, normalise


@pytest.fixture
def clips() -> list[Made]:
    return made_clips()


@pytest.fixture
def layout(tmp_path: Path) -> str:
    return write_layout(tmp_path / "layouts")


def test_all_ways_in_give_the_same_coordinates(tmp_path: Path, clips: list[Made], layout: str):
    write_files(tmp_path / "clips", clips)
    long = write_long(tmp_path / "long.csv", clips)
    pd.DataFrame(long_rows(clips), columns=LONG).to_parquet(tmp_path / "long.parquet")
    rows = {"layout": layout, "rows": "joint"}
    ways = {
        write_npz(tmp_path / "own.npz", clips): {"layout": layout},
        tmp_path / "clips": {**rows, "files": "{label}_p{subject}.txt"},
        write_manifest(tmp_path / "all.csv", clips, "clips"): rows,
        long: {"layout": layout},
        tmp_path / "long.parquet": {"layout": layout},
    }
    found = {}
    for path, options in ways.items():
        dataset, skipped = imported(path, tmp_path / "out", {**options, "split": "subject:odd"})
        assert skipped == []
        assert dataset.class_names == ("sit", "stand", "wave")
        assert dataset.columns["subject"].tolist() == [clip.subject for clip in clips]
        assert dataset.clip_names == tuple(clip.name for clip in clips)
        assert dataset.splits["xsub"].tolist() == [1 - clip.subject % 2 for clip in clips]
        found[path.name] = digest(dataset)
    assert len(set(found.values())) == 1, found
    wanted = normalise(np.float32(clips[-1].values[None]), dataset.layout, CENTRED)
    np.testing.assert_array_equal(dataset.clip(11)[:1], np.float32(wanted))


def test_msr_action3d_by_all_ways(tmp_path: Path, real_msr: Path):
    options = {
        "layout": "msr-action3d",
        "files": "a{label}_s{subject}_e{take}_skeleton3D.txt",
        "rows": "joint",
        "columns": "x,y,z,confidence",
        "split": "subject:odd",
    }
    (tmp_path / "some").mkdir()
    chosen = sorted(real_msr.glob("a0[1-3]_s0[1-4]_e01_*.txt"))
    clips = []
    for file in chosen:
        (tmp_path / "some" / file.name).symlink_to(file)
        values = np.loadtxt(file).reshape(-1, 20, 4)[..., :3]
        clips.append(Made(file.stem, str(int(file.name[1:3])), int(file.name[5:7]), values))
    files, _ = imported(tmp_path / "some", tmp_path / "files", options)
    assert files.layout.name == "msr-action3d"
    assert len(files) == len(chosen) >= 9
    npz = write_npz(tmp_path / "msr.npz", clips)
    with (tmp_path / "msr.csv").open("w", newline="") as file:
        csv.writer(file).writerows([LONG, *long_rows(clips)])
    own = {"layout": "msr-action3d", "split": "subject:odd"}
    for path in (npz, tmp_path / "msr.csv"):
        dataset, _ = imported(path, tmp_path / path.stem, own)
        assert digest(dataset) == digest(files)
        assert dataset.splits["xsub"].tolist() == files.splits["xsub"].tolist()


def test_a_description_beside_the_data_is_found_and_cached(
    tmp_path: Path, clips: list[Made], layout: str, cache: Path
):
    npz = write_npz(tmp_path / "own.npz", clips)
    description = tmp_path / "own.yaml"
    text = "kind: arrays\nlayout: layouts/tiny.yaml\nname: mine\nsplit: subject:odd\n"
    description.write_text(text)
    first, _ = open_or_import(npz)
    again, _ = open_or_import(description)
    assert first.path == again.path
    assert first.path.is_relative_to(cache)
    assert (first.name, first.family) == ("mine", "arrays")
    description.write_text(text.replace("odd", "even"))
    other, _ = open_or_import(npz)
    assert other.splits["xsub"].tolist() == [1 - side for side in first.splits["xsub"]]
    (tmp_path / "layouts" / "tiny.yaml").write_text(
        Path(layout).read_text().replace("centre: base", "centre: top")
    )
    changed, _ = open_or_import(npz)
    assert changed.layout.centre == 1


def test_a_description_of_a_directory(tmp_path: Path, clips: list[Made], layout: str):
    folder = write_files(tmp_path / "clips", clips)
    (folder / "skelcon.yaml").write_text(
        f"kind: files\nlayout: {layout}\nfiles: '{{label}}_p{{subject}}.txt'\nrows: joint\n"
        "split: {xsub: subject:odd, halves: 'random:0.5'}\nclasses: {wave: waving, sit: sitting}\n"
    )
    dataset, skipped = import_dataset(folder, tmp_path / "out", max_bad=0.5)
    assert dataset.class_names == ("waving", "sitting")
    assert {bad.reason for bad in skipped} == {"label 'stand' is not listed in 'classes'"}
    assert sorted(dataset.splits) == ["halves", "xsub"]


def test_texts_become_numbers_that_the_header_explains(
    tmp_path: Path, clips: list[Made], layout: str
):
    people = np.array([f"person {clip.subject}" for clip in clips])
    npz = write_npz(tmp_path / "own.npz", clips, subject=people)
    options = {"layout": layout, "split": "subject=person 1,person 5"}
    dataset, _ = imported(npz, tmp_path / "out", options)
    known = {"person 1": 1, "person 2": 2, "person 3": 3, "person 5": 4}
    assert dataset.meta["origin"]["groups"] == {"subject": known}
    assert dataset.columns["subject"][:4].tolist() == [1, 2, 3, 4]
    assert dataset.splits["xsub"][:4].tolist() == [0, 1, 1, 0]


def test_without_a_split_the_choices_are_reported(
    tmp_path: Path, clips: list[Made], layout: str, monkeypatch: pytest.MonkeyPatch
):
    manifest = write_manifest(tmp_path / "all.csv", clips, "clips")
    write_files(tmp_path / "clips", clips)
    source = described_source(manifest, {"layout": layout, "rows": "joint"})
    with pytest.raises(Exception, match="who trains") as caught:
        import_dataset(source, tmp_path / "out")
    lines = [" ".join(line.split()) for line in str(caught.value).splitlines()]
    half = "6 / 6 clips train / test, 3 / 3 of 3 classes"
    assert f"--split group:subject {half}, 2 / 2 subjects" in lines
    assert f"--split column:side {half}" in lines
    assert f"--split random {half}" in lines
    assert not (tmp_path / "out").exists()
    none, _ = imported(
        manifest, tmp_path / "out", {"layout": layout, "rows": "joint", "split": "none"}
    )
    assert none.splits == {}
    report = json.loads((tmp_path / "out" / "import-report.json").read_text())
    assert "splits" in [note["about"] for note in report["notes"]]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "arays"}, ("kind", "'arays'", "'arrays'")),
        ({"layout": "kinect-v3"}, ("'kinect-v3'", "'kinect-v2'")),
        ({"pading": "nan"}, ("own.yaml', line 3", "'pading'", "'padding'")),
        ({"rows": "joint"}, ("own.yaml', line 3", "'rows'", "files", "arrays")),
        ({"unit": "inch"}, ("unit", "'inch'")),
        ({"unit": "px"}, ("'px'", "in m")),
        ({"axes": "TVC"}, ("TVC", "N")),
        ({"axes": "NTTC"}, ("NTTC", "twice")),
        ({"columns": "x,y"}, ("x,y", "3 dimensions")),
        ({"columns": "x,y,zz"}, ("'zz'", "'z'")),
        ({"keys": {"lable": "y"}}, ("'lable'", "'label'")),
        ({"keys": {"label": "yy"}}, ("'yy'", "'y'")),
        ({"keys": {"x": "xx"}}, ("'xx'", "'x'")),
        ({"split": "subjct=1"}, ("'subjct'", "'subject'")),
        ({"split": "camera=1"}, ("camera", "subject")),
        ({"split": "subject=1,4"}, ("subject '4'",)),
        ({"split": "subject=1,2,3,5"}, ("no test clip",)),
        ({"split": "subject:ood"}, ("'ood'", "'odd'")),
        ({"split": "random:2"}, ("'2'",)),
        ({"split": "column:side"}, ("'side'",)),
        ({"split": "list:none.txt"}, ("none.txt",)),
        ({"split": ["random", "random:0.2"]}, ("'random'", "NAME=RULE")),
        ({"split": "Big Name=random"}, ("Big Name",)),
        ({"padding": "lengths"}, ("lengths",)),
        ({"missing": "ignore"}, ("missing", "'ignore'")),
        ({"min_confidence": "much"}, ("min_confidence", "much")),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    clips: list[Made],
    layout: str,
    user_error: Callable[..., str],
    values: dict,
    named: tuple[str, ...],
):
    write_npz(tmp_path / "own.npz", clips)
    whole = {"kind": "arrays", "layout": layout, **values}
    if len(whole) == 2:
        whole["split"] = "subject:odd"
    lines = [f"{key}: {json.dumps(value)}" for key, value in whole.items()]
    (tmp_path / "own.yaml").write_text("\n".join(lines))
    user_error(lambda: open_or_import(tmp_path / "own.npz"), *named)


def test_the_example_of_the_readme_is_a_description(tmp_path: Path):
    text = (Path(skelcon.__file__).parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(kind: arrays\n.*?)```", text, re.DOTALL)
    (tmp_path / "own.yaml").write_text(example)
    draws = np.random.default_rng(0)
    landmarks = draws.uniform(0.6, 1, (15, 5, 33, 4))
    landmarks[0, 1, 0, 3] = 0.2
    actions = np.arange(15) % 3
    subjects = np.arange(15) // 3 + 1
    np.savez(tmp_path / "own.npz", landmarks=landmarks, action=actions, subject=subjects)
    dataset, skipped = import_dataset(tmp_path / "own.npz", tmp_path / "out", max_bad=0.5)
    assert dataset.class_names == ("wave", "sit down")
    assert [bad.reason for bad in skipped] == ["label '2' is not listed in 'classes'"] * 5
    assert sorted(dataset.splits) == ["halves", "xsub"]
    report = (tmp_path / "out" / "import-report.json").read_text()
    assert "frames interpolated" in report
