"""``skelcon data layouts``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from skelcon.cli.data import app
from skelcon.data import LAYOUTS, layout_from
from skelcon.data.draw import COLOURS
from skelcon.errors import UserError


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["layouts", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_all_are_listed_with_their_size_and_use():
    lines = run().splitlines()
    assert [each.split()[0] for each in lines] == list(LAYOUTS)
    (coco,) = (each for each in lines if each.startswith("coco-17 "))
    assert "17 joints, 2D, px, -y up  COCO keypoints" in coco


def test_what_is_printed_can_be_changed_and_read(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(run("smpl-24"))
    assert layout_from(str(path)) == LAYOUTS["smpl-24"]
    path.write_text(path.read_text().replace("name: smpl-24", "name: mine"))
    assert run(str(path)) == path.read_text()


def test_an_unknown_one_names_the_nearest():
    with pytest.raises(UserError, match="'smpl': did you mean 'smpl-24'"):
        run("smpl")


def test_those_of_plugins_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LAYOUTS, "_registered", dict(LAYOUTS._registered))
    text = run("h36m-17").replace("name: h36m-17", "name: lab-17")
    (tmp_path / "lab.yaml").write_text(text)
    plugin = tmp_path / "lab_layout_plugin.py"
    plugin.write_text(
        "from pathlib import Path\n"
        "from skelcon import register_layout\n"
        "register_layout(Path(__file__).with_name('lab.yaml'))\n"
    )
    assert run("--plugin", str(plugin)).splitlines()[-1].startswith("lab-17 ")


def test_one_is_drawn_with_its_joints_by_name(tmp_path: Path):
    out = tmp_path / "new" / "coco.png"
    assert "coco-17 (17 joints)" in run("coco-17", "--out", str(out))
    with Image.open(out) as picture:
        pixels = np.array(picture.convert("RGB"))
    for colour in COLOURS[0]:
        assert (pixels == np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])).all(
            2
        ).sum() > 99
    with pytest.raises(UserError, match=r"ends in \.png, \.svg, \.pdf"):
        run("coco-17", "--out", str(tmp_path / "coco.gif"))
    with pytest.raises(UserError, match="name the layout to draw: azure-kinect, coco-17"):
        run("--out", str(out))


def test_json_is_what_can_be_registered_again():
    listed = json.loads(run("--json"))
    assert [each["name"] for each in listed] == list(LAYOUTS)
    assert json.loads(run("halpe-26", "--json")) in listed
    for each in listed:
        assert LAYOUTS.register(each) == LAYOUTS[each["name"]]
