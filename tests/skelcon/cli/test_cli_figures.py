import sys
from pathlib import Path

import pytest

from skelcon.cli.program import main
from skelcon.data import SkeletonDataset


def figures(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of ``skelcon figures``."""
    monkeypatch.setattr(sys, "argv", ["skelcon", "figures", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_figure_is_written(
    monkeypatch: pytest.MonkeyPatch, dataset: SkeletonDataset, tmp_path: Path
):
    words = ("0", "--data", dataset.path, "--only", "jitter", "--format", "png", "--out", tmp_path)
    assert figures(monkeypatch, *words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["jitter.png"]


def test_plugins_are_loaded_before_the_data_is_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "drawn_plugin.py").write_text("raise ValueError('seen')\n")
    words = ("0", "--data", tmp_path, "--plugin", tmp_path / "drawn_plugin.py")
    assert figures(monkeypatch, *words) == 2
    assert "cannot be imported: ValueError: seen" in capsys.readouterr().err
