"""``skelcon data import`` of own recordings, as their owner types it."""

from pathlib import Path

import numpy as np
import pytest
from data_commands import Run
from PIL import Image

from skelcon.data import LAYOUTS, SkeletonDataset

STANDING = np.array([[0.1 * (v % 3), 1.7 - v * 0.08, 2.5] for v in range(20)])
OWN = (
    *("--layout", "msr-action3d", "--files", "a{label}_s{subject}_e{take}.txt"),
    *("--rows", "joint", "--columns", "x,y,z,confidence"),
)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for action in (1, 2):
        for subject in (1, 2, 3):
            moved = STANDING + draws.normal(0, 0.02, (4, 20, 3))
            rows = np.concatenate([moved.reshape(-1, 3), np.ones((80, 1))], axis=1)
            np.savetxt(folder / f"a{action:02d}_s{subject:02d}_e01.txt", rows, "%.5f")
    return folder


def test_one_command_imports_them(run: Run, raw: Path):
    code, printed, _ = run("import", raw, "out", *OWN, "--split", "subject:odd", "--name", "lab")
    assert code == 0
    dataset = SkeletonDataset.open("out")
    assert (dataset.name, len(dataset), dataset.layout) == ("lab", 6, LAYOUTS["msr-action3d"])
    assert dataset.splits["xsub"].tolist() == [0, 1, 0] * 2
    assert "4 train, 2 test" in printed


def test_without_a_split_the_choices_are_printed(run: Run, raw: Path, here: Path):
    code, _, message = run("import", raw, "out", *OWN)
    assert code == 2
    assert "--split group:subject  4 / 2 clips train / test" in message
    assert not (here / "out").exists()


def test_a_dry_run_prints_draws_and_imports_nothing(run: Run, raw: Path, here: Path):
    np.savetxt(raw / "a01_s04_e01.txt", np.zeros((40, 4)))
    code, printed, _ = run("import", raw, "out", *OWN, "--dry-run")
    assert code == 0
    facts = dict(line[2:].split(None, 1) for line in printed.splitlines() if line[:2] == "  ")
    assert facts["clips"].startswith("7;")
    assert facts["classes"] == "2 of 3 to 4 clips: class 1, class 2"
    assert "msr-action3d: 20 joints, 3D; bodies: 1 in 6 clips" in facts["layout"]
    assert "1.5" in facts["size"]
    assert "a01_s04_e01.txt: no body is present" in printed
    assert "--split group:subject" in printed
    assert not (here / "out").exists()
    with Image.open(here / "out.png") as picture:
        assert picture.width > 300


def test_a_dry_run_doubts_the_unit(run: Run, raw: Path):
    for file in raw.iterdir():
        values = np.loadtxt(file)
        np.savetxt(file, values * [1000, 1000, 1000, 1])
    odd = run("import", raw, "out", *OWN, "--split", "random", "--dry-run")[1]
    assert "is the unit mm (--unit mm)?" in odd
    right = run("import", raw, "out", *OWN, "--split", "random", "--unit", "mm", "--dry-run")[1]
    assert "is the unit" not in right
    assert "random (random): 4 / 2 clips" in right or "random (random): 2 / 4 clips" in right


def test_a_dry_run_of_a_known_layout(run: Run, here: Path):
    folder = here / "nucla"
    folder.mkdir()
    skeletons = np.broadcast_to(STANDING, (3, 20, 3)).tolist()
    for subject in (1, 2):
        name = f"a01_s0{subject}_e00_v01"
        text = f'{{"file_name": "{name}", "skeletons": {skeletons}, "label": 1}}'
        (folder / f"{name}.json").write_text(text)
    code, printed, _ = run("import", folder, "out", "--dry-run")
    assert code == 0
    assert "2 clips read" in printed
    assert (here / "out.png").is_file()


def test_options_win_over_a_description(run: Run, raw: Path, here: Path):
    (here / "own.yaml").write_text(
        "kind: files\nlayout: kinect-v1\nfiles: 'a{label}_s{subject}_e{take}.txt'\nrows: joint\n"
        "columns: [x, y, z, confidence]\nsplit: subject:odd\n"
    )
    code, _, _ = run("import", raw, "out", "--describe", "own.yaml", "--layout", "msr-action3d")
    assert code == 0
    assert SkeletonDataset.open("out").layout == LAYOUTS["msr-action3d"]


def test_missing_joints_are_reported_and_counted(run: Run, raw: Path):
    file = raw / "a01_s01_e01.txt"
    values = np.loadtxt(file)
    values[25] = values[47] = 0
    np.savetxt(file, values)
    options = (*OWN, "--split", "subject:odd", "--missing", "interpolate")
    code, printed, _ = run("import", raw, "out", *options)
    assert code == 0
    assert "1 clips with missing joints, 2 frames interpolated" in printed


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--layout", "msr-action", *OWN[2:]), ("'msr-action'", "'msr-action3d'")),
        (("--layout", "msr-action3d"), ("--files",)),
        ((*OWN, "--split", "subjects=1"), ("'subjects", "'subject'")),
        ((*OWN, "--key", "label"), ("--key 'label'",)),
        ((*OWN, "--key", "lable=x"), ("--key:", "'lable'", "'label'")),
        ((*OWN, "--key", "x=y", "--format", "ntu"), ("--layout", "--format ntu")),
        (("--key", "x=y", "--format", "ntu"), ("--key describes", "--format ntu")),
        ((*OWN, "--format", "ntu"), ("--layout", "--format ntu")),
        ((*OWN, "--format", "arrays"), ("--files", "'files'")),
        ((*OWN, "--missing", "ignore"), ("'ignore'", "interpolate")),
        ((), ("--help",)),
        (("--format", "files"), ("--layout", "--describe")),
        (("--format", "fils"), ("'fils'", "'files'")),
    ],
)
def test_mistakes_end_with_2_and_one_line(
    run: Run, raw: Path, options: tuple[str, ...], named: tuple[str, ...]
):
    code, _, message = run("import", raw, "out", *options)
    assert code == 2
    assert message.count("\n") == 1
    for what in named:
        assert what in message


def test_a_dry_run_without_a_good_clip_ends_with_1(run: Run, raw: Path, here: Path):
    for file in raw.iterdir():
        np.savetxt(file, np.zeros((40, 4)))
    code, printed, _ = run("import", raw, "out", *OWN, "--split", "subject:odd", "--dry-run")
    assert code == 1
    assert "none of the clips that were read is good" in printed
    assert not (here / "out.png").exists()
