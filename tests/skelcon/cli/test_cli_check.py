"""``skelcon data check``, as a user runs it."""

import json
import shutil
from pathlib import Path

import pytest
from data_commands import Run, write_mat
from PIL import Image

from skelcon.data.synthetic import synthesize

pytestmark = pytest.mark.usefixtures("here")


def test_check_ends_well_unless_there_is_an_error(run: Run, raw: Path, here: Path):
    code, shown, error = run("check", raw)
    assert (code, error) == (0, "")
    assert "note: empty-class" in shown
    assert "25 classes have no clip, of 27" in " ".join(shown.split())
    assert shown.splitlines()[-1] == "1 note"
    shutil.copy(raw / "a1_s1_t1_skeleton.mat", raw / "a1_s2_t1_skeleton.mat")
    code, shown, error = run("check", raw)
    assert (code, error) == (1, "")
    assert "error: leak (xsub)" in shown
    assert "a1_s2_t1 = a1_s1_t1" in shown
    assert shown.splitlines()[-1] == "1 error, 1 note"


def test_check_for_scripts(run: Run, raw: Path, here: Path):
    shutil.copy(raw / "a2_s1_t1_skeleton.mat", raw / "a1_s2_t1_skeleton.mat")
    for trial in range(4, 24):
        write_mat(raw, f"a3_s3_t{trial}", 7, trial)
    (raw / "a1_s1_t1_skeleton.mat").write_bytes(b"")
    code, shown, error = run("check", raw, "--json")
    assert (code, error) == (1, "")
    answer = json.loads(shown)
    assert answer["ok"] is False
    by_kind = {(one["kind"], one["protocol"]): one for one in answer["findings"]}
    assert by_kind["leak", "xsub"]["pairs"] == [["a1_s2_t1", "a2_s1_t1"]]
    assert by_kind["leak", "xsub"]["severity"] == "error"
    (group,) = answer["import"]["skipped"]
    assert group["names"] == ["a1_s1_t1_skeleton.mat"]
    made = synthesize(here / "made", subjects=2, repetitions=1, cameras=1, setups=1)
    code, shown, _ = run("check", made.path, "--json")
    assert code == 0
    answer = json.loads(shown)
    assert (answer["ok"], answer["findings"], answer["import"]) == (True, [], None)
    assert run("check", made.path)[1].splitlines()[-1] == "nothing wrong"


def test_check_is_a_page_of_verdicts(run: Run, raw: Path, here: Path):
    code, shown, error = run("check", raw, "--sheet", "sub/worst.png")
    assert (code, error) == (0, "")
    page = " ".join(shown.split())
    assert "ok joint order kinect-v1 fits" in page
    assert "note classes 25 classes have no clip, of 27" in page
    assert shown.splitlines()[-1] == "drawn in 'sub/worst.png'"
    with Image.open(here / "sub" / "worst.png") as picture:
        assert picture.size[0] > 1000
    code, _, error = run("check", raw, "--sheet", "worst.jpg")
    assert (code, error.count("\n")) == (2, 1)
    assert "ends in .png" in error
