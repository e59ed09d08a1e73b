"""``skelcon data layouts``."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from skelcon.cli.data import app
from skelcon.data import LAYOUTS, layout_from
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
    path.write_text(path.read_text().replace("name: smpl-24", "name: mine").replace("#", ""))
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
