import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from data_commands import CLIPS, Run, name_of, write_mat
from PIL import Image

from skelcon.data import (
    CENTRED,
    KINECT_V1,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    summarise,
    synthetic,
)
from skelcon.data.importers import RAW
from skelcon.data.synthetic import synthesize

pytestmark = pytest.mark.usefixtures("here")


def facts_of(text: str) -> dict[str, str]:
    """The lines ``  name   value``."""
    rows = (line[2:].split("  ", 1) for line in text.splitlines() if line.startswith("  "))
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def test_import_prints_what_it_found_made_and_skipped(run: Run, raw: Path, here: Path):
    (raw / "a1_s1_t9_skeleton.mat").write_bytes(b"")
    code, shown, error = run("import", raw, "out", "--max-bad", "0.1")
    assert (code, error) == (0, "")
    lines = shown.splitlines()
    assert lines[0] == "UTD-MHAD (utd-mhad): 13 files"
    assert lines[1].startswith("skipped a1_s1_t9_skeleton.mat: not a readable .mat file")
    assert lines[2] == "1 skipped in all, listed in out/import-report.json"
    facts = facts_of(shown)
    assert facts["clips"] == "12"
    assert facts["xsub"] == "6 train, 6 test"
    assert facts["normalisation"] == "centre"
    dataset = SkeletonDataset.open(here / "out")
    assert facts["fingerprint"] == dataset.fingerprint
    assert dataset.normalisation == CENTRED


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("none", {"centre": False, "spine_to_z": False, "shoulders_to_x": False}),
        ("paper", {}),
        ("spine-to-z, centre", {"shoulders_to_x": False}),
        ("shoulders-to-x", {"centre": False, "spine_to_z": False}),
        ("centre,scale", {"spine_to_z": False, "shoulders_to_x": False, "scale": True}),
    ],
)
def test_the_steps_of_normalisation(run: Run, raw: Path, here: Path, text: str, steps: dict):
    assert run("import", raw, "out", "--normalise", text)[0] == 0
    assert SkeletonDataset.open(here / "out").normalisation == Normalisation(**steps)


def test_excluded_names(run: Run, raw: Path, here: Path):
    one, other = here / "one.txt", here / "other.txt"
    one.write_text("These clips are bad:\r\n\r\n  a1_s1_t1  \r\nno clip\r\n", newline="")
    other.write_bytes(b"\xef\xbb\xbfa2_s2_t3.skeleton\na2_s1_t1_skeleton\n\xff\xfe\n")
    code, shown, _ = run("import", raw, "out", "--exclude", one, "--exclude", other)
    assert code == 0
    assert f"3 clips left out, as listed in '{one}', '{other}'" in shown
    left_out = {"a1_s1_t1", "a2_s2_t3", "a2_s1_t1"}
    assert (
        set(SkeletonDataset.open(here / "out").clip_names)
        == {name_of(*clip) for clip in CLIPS} - left_out
    )
    other.write_text("a9_s9_t9\n")
    code, shown, _ = run("import", raw, "out", "--exclude", other)
    assert code == 0
    assert f"warning: no clip of the data is named in '{other}'" in shown
    assert len(SkeletonDataset.open(here / "out")) == 12


def test_the_other_options_of_an_import(run: Run, raw: Path, here: Path):
    more = ("--format", "utd-mhad", "--max-bodies", 1, "--workers", 2)
    assert run("import", raw, "out", *more)[0] == 0
    assert len(SkeletonDataset.open(here / "out")) == 12


def test_another_data_set_is_not_replaced(run: Run, raw: Path, here: Path):
    assert run("synthesize", "out", "--subjects", 2)[0] == 0
    before = SkeletonDataset.open(here / "out").fingerprint
    code, _, error = run("import", raw, "out")
    assert (code, error.count("\n")) == (2, 1)
    assert "'out' is the packed data set" in error
    assert "choose another name" in error
    code, _, error = run("synthesize", "out", "--subjects", 3)
    assert (code, error) == (2, "error: 'out' exists: choose another name, or remove it first\n")
    assert SkeletonDataset.open(here / "out").fingerprint == before
    assert run("import", raw, "own")[0] == 0
    assert run("import", raw, "own", "--normalise", "none")[0] == 0  # the same source


def test_plugins_may_be_named_to_see_data(run: Run, raw: Path, here: Path):
    (here / "seen_plugin.py").write_text("print('loaded')\nraise ValueError('seen')\n")
    export = ("export", raw, "out.pkl", "--format", "pyskl-pkl")
    for command in (("info", raw), ("check", raw), ("show", "0", "--data", raw), export):
        code, _, error = run(*command, "--plugin", "seen_plugin.py")
        assert code == 2
        assert "plugin 'seen_plugin.py' cannot be imported: ValueError: seen" in error


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["import", "{raw}", "out", "--format", "utd"], "'utd-mhad'"),
        (["import", "{raw}", "out", "--normalise", "center"], "did you mean 'centre'"),
        (["import", "{raw}", "out", "--normalise", "centre,papre"], "unknown step 'papre'"),
        (["import", "{raw}", "out", "--normalise", ""], "unknown step ''"),
        (["import", "{raw}", "out", "--exclude", "no.txt"], "'no.txt' does not exist"),
        (["import", "{raw}", "out", "--exclude", "{raw}"], "is a directory"),
        (["import", "{raw}", "out", "--max-bad", "2"], "--max-bad"),
        (["import", "{raw}", "out", "--workers", "0"], "--workers"),
        (["import", "{raw}", "{raw}"], "exists and is not a packed data set"),
        (["import", "{raw}/no", "out"], "does not exist"),
        (["info", "{raw}/no"], "does not exist"),
        (["check", "{raw}/no"], "does not exist"),
        (["show", "a1_s1_t9", "--data", "{raw}"], "has no clip 'a1_s1_t9': did you mean 'a1_s1_t"),
        (["show", "12", "--data", "{raw}"], "has no clip 12: valid are 0 to 11"),
        (["show", "0", "--data", "{raw}", "--out", "a.jpg"], "ends in .png, .gif, .mp4"),
        (["show", "0", "--data", "{raw}", "--frames", "0"], "--frames"),
        (
            ["show", "0", "--data", "{raw}", "--out", "{raw}/a1_s1_t1_skeleton.mat/a.png"],
            "cannot write",
        ),
    ],
)
def test_a_mistake_is_one_clear_line_and_writes_nothing(
    run: Run, raw: Path, here: Path, arguments: list[str], shown: str
):
    code, out, error = run(*(each.format(raw=raw) for each in arguments))
    assert code == 2
    assert shown in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert out == ""
    assert not any(here.iterdir())


def test_info_of_a_packed_and_of_a_raw_data_set(run: Run, raw: Path, here: Path):
    run("import", raw, "out")
    code, packed, error = run("info", "out")
    assert (code, error) == (0, "")
    facts = facts_of(packed)
    assert "imported from" not in facts
    assert facts["path"] == "out"
    assert facts["frames"] == "5 to 16 a clip, median 10.5, 126 in all"
    assert facts["classes"] == "27, 0 to 6 clips each (fewest: wave; most: swipe left)"
    assert facts["subjects"] == "2: 1-2"
    (raw / "a1_s1_t1_skeleton.mat").write_bytes(b"")
    write_mat(raw, "a1_s1_t8", 7, 99)
    code, shown, error = run("info", raw)
    assert code == 2
    assert "--max-bad" in error
    for trial in range(9, 9 + 8):
        write_mat(raw, f"a1_s1_t{trial}", 7, trial)
    code, shown, error = run("info", raw)
    assert (code, error) == (0, "")
    assert facts_of(shown)["imported from"] == "UTD-MHAD (utd-mhad): 21 files"
    assert "import: 1 skipped, 20 clips made" in shown
    assert "a1_s1_t1_skeleton.mat" in shown


def test_info_draws_the_lengths(run: Run, raw: Path):
    _, shown, _ = run("info", raw)
    bars = [line.split() for line in shown.splitlines() if line.startswith(" " * 10)]
    assert [(bar[0], bar[-1]) for bar in bars] == [
        ("4-5", "1"),
        ("6-7", "2"),
        ("8-9", "2"),
        ("10-11", "2"),
        ("12-13", "2"),
        ("14-15", "2"),
        ("16-17", "1"),
    ]
    assert set(bars[1][1]) == {"█"}
    assert len(bars[0][1]) == pytest.approx(len(bars[1][1]) / 2, abs=1)
    assert max(map(len, shown.splitlines()[2:])) <= 80


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_nothing_is_cut_in_any_terminal(
    run: Run, raw: Path, monkeypatch: pytest.MonkeyPatch, columns: int
):
    monkeypatch.setenv("COLUMNS", str(columns))
    for trial in range(4, 24):
        write_mat(raw, f"a3_s3_t{trial}", 7, trial)
    (raw / "a1_s1_t1_skeleton.mat").write_bytes(b"")
    _, shown, _ = run("info", raw)
    (path,) = [line for line in shown.splitlines() if line.startswith("  path")]
    assert Path(path.split(maxsplit=1)[1]).is_dir()
    flat = " ".join(shown.split())
    assert "normalisation centre" in flat
    assert "a1_s1_t1_skeleton.mat" in flat
    assert "a1_s1_t1_skeleton.mat" in run("check", raw)[1]


def test_info_for_scripts(run: Run, raw: Path, here: Path):
    code, shown, error = run("info", raw, "--json")
    assert (code, error) == (0, "")
    answer = json.loads(shown)
    assert answer["source"] == {"family": "utd-mhad", "title": "UTD-MHAD", "files": 12}
    assert answer["import"] == {"files": 12, "clips": 12, "excluded": 0, "skipped": []}
    dataset = SkeletonDataset.open(answer["path"])
    expected = json.loads(json.dumps(summarise(dataset).to_dict()))
    assert expected.items() <= answer.items()
    made = synthesize(here / "made", subjects=2, repetitions=1, cameras=1, setups=1)
    answer = json.loads(run("info", made.path, "--json")[1])
    assert answer["source"] is answer["import"] is None
    assert answer["synthetic"] is True


def test_an_import_warns_of_another_order_of_joints(run: Run, raw: Path, here: Path):
    _, shown, _ = run("import", raw, "good")
    assert "warning" not in shown
    order = [19, 3, 11, 5, 2, 8, 0, 14, 17, 9, 6, 12, 1, 18, 4, 7, 10, 13, 15, 16]
    for file in raw.glob("*.mat"):
        values = scipy.io.loadmat(file)["d_skel"][order]
        scipy.io.savemat(file, {"d_skel": values})
    code, shown, error = run("import", raw, "wrong")
    assert (code, error) == (0, "")
    assert "warning: joint-order" in shown
    assert "no known layout of 20 joints fits better" in " ".join(shown.split())
    sdk = [3, 2, 1, 0, *range(4, 20)]  # as if the sensor's own order had been kept
    for file in raw.glob("*.mat"):
        values = scipy.io.loadmat(file)["d_skel"][np.argsort(order)][sdk]
        scipy.io.savemat(file, {"d_skel": values})
    _, shown, _ = run("import", raw, "sdk")
    assert "(--layout kinect-v1-sdk)" in " ".join(shown.split())
    assert run("check", "sdk")[0] == 1


def test_show_writes_a_strip_and_an_animation(run: Run, raw: Path, here: Path):
    code, shown, error = run("show", "a1_s2_t3", "--data", raw)
    assert (code, error) == (0, "")
    assert shown == "a1_s2_t3 (swipe left, 10 frames): a1_s2_t3.png and a1_s2_t3.gif\n"
    assert {path.name for path in here.iterdir()} == {"a1_s2_t3.png", "a1_s2_t3.gif"}
    with Image.open(here / "a1_s2_t3.gif") as film:
        assert film.n_frames == 10
    with Image.open(here / "a1_s2_t3.png") as picture:
        assert picture.size[0] > picture.size[1]


def test_show_by_number_into_a_file(run: Run, raw: Path, here: Path):
    code, shown, _ = run("show", "3", "--data", raw, "--out", "new/a.png", "--frames", "3")
    assert code == 0
    assert shown == "a1_s2_t1 (swipe left, 8 frames): new/a.png\n"
    run("show", "3", "--data", raw, "--out", "b.png", "--frames", "8")
    with Image.open(here / "new" / "a.png") as three, Image.open(here / "b.png") as eight:
        assert eight.size[0] > three.size[0]
    assert {path.name for path in here.iterdir()} == {"new", "b.png"}


def test_show_without_data_takes_the_embedded_clips(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
):
    made = synthesize(here / "made", subjects=2, repetitions=1, cameras=1, setups=1)
    monkeypatch.setattr(synthetic, "open_embedded", lambda _: made)
    code, shown, _ = run("show", "S001C001P001R001A016", "--out", "pair.png")
    assert code == 0
    assert shown.startswith("S001C001P001R001A016 (shake hands, ")


def test_a_name_that_cannot_be_a_file_name(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with DatasetWriter(
        tmp_path / "set",
        name="odd",
        layout=KINECT_V1,
        class_names=["a"],
        family="made",
        normalisation=RAW,
    ) as writer:
        rng = np.random.default_rng(0)
        for name in ("../up /and $down", "..", "1"):
            writer.add(ClipInfo(name, 0), rng.normal(size=(1, 2, 20, 3)))
        writer.close({})
    for clip in ("../up /and $down", "..", "1"):
        assert run("show", clip, "--data", tmp_path / "set")[0] == 0
    # A name comes before a number.
    assert {path.name for path in here.iterdir()} == {
        "_up_and_down.png",
        "_up_and_down.gif",
        "1.png",
        "1.gif",
    }


def test_synthesize(run: Run, here: Path):
    code, shown, error = run("synthesize", "out", "--subjects", "2", "--seed", "3")
    assert (code, error) == (0, "")
    assert shown.splitlines()[0] == "synthetic (synthetic)"
    facts = facts_of(shown)
    assert facts["fingerprint"] == SkeletonDataset.open(here / "out").fingerprint
    assert facts["classes"] == "18, 12 clips each"
    assert facts["cameras"] == "3: 1-3"
    error = run("import", "out", "again")[2]
    assert error == "error: 'out' is a packed data set already: give it to the other commands\n"
    (here / "mine").write_text("mine")
    assert run("synthesize", "mine")[0] == 2
    assert (here / "mine").read_text() == "mine"
